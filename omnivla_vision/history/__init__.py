"""Past frames: their tokens, kept from when they were the present ones."""
