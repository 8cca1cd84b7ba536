"""What is in a dataset, as tables and as a page."""
