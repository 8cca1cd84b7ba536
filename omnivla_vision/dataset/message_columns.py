"""A stand-in until the real one is pushed: take that one whole."""

DEFAULT_TYPES = ()


def value_types(topics):
    return {}
