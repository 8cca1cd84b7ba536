"""Datasets of tokens: made of recordings, and read for training. Needs the extra `dataset`, which no node needs."""
