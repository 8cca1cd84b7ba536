"""Recorded drives: bags in, camera frames out."""
