"""Recordings into rows, and rows into the dataset."""
