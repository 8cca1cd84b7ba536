"""A small policy with the interface of OmniVLA's own code, under its names."""
