"""Whether the middleware in use carries messages of a given size: what its settings say, read without asking it."""
