"""Pixels as they arrive, made ready for the network."""
