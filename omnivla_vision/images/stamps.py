"""A header's stamp -> nanoseconds, or a refusal: nobody means a time before 1970, and nobody agrees on what it is."""

from __future__ import annotations

from omnivla_vision.images.raw import ImageError

NS_PER_S = 1_000_000_000


class InvalidStampError(ImageError):
    """A header's stamp is not a time."""


def to_nanoseconds(sec: int, nanosec: int) -> int:
    """A builtin_interfaces/Time as nanoseconds.

    Raises:
        InvalidStampError: it lies before 1970, or has a second or more of nanoseconds.
    """
    if sec < 0 or nanosec >= NS_PER_S:
        raise InvalidStampError(
            f"found a header stamped {sec} s + {nanosec} ns; expected no negative seconds and less than {NS_PER_S} ns"
        )
    return int(sec) * NS_PER_S + int(nanosec)
