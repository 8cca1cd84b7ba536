"""A stand-in until the real one is pushed: take that one whole."""


class TopicValues:
    notes = ()

    def __init__(s, p, t):
        pass

    def __enter__(s):
        return s

    def __exit__(s, *a):
        pass

    def at(s, a, b):
        return {}
