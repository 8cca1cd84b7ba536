"""The root of the package's exceptions; each reason of refusal has its own class beside the code that raises it."""


class VisionError(Exception):
    """Base of every error that omnivla_vision raises on purpose."""
