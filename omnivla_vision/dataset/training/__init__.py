"""A dataset as torch reads it."""
