"""What comes out: how it lies in memory, how it is packed into a message and read from one, and pictures of it."""

from omnivla_vision.tokens.outputs import OutputDescriptionError, unpack_outputs, unpack_outputs_torch
from omnivla_vision.tokens.packing import (
    DTYPES,
    NonFiniteTokensError,
    PackedTokens,
    TokenFormatError,
    TokenSizeError,
    UnknownDtypeError,
    pack,
    unpack,
    unpack_torch,
)

__all__ = [
    "DTYPES",
    "NonFiniteTokensError",
    "OutputDescriptionError",
    "PackedTokens",
    "TokenFormatError",
    "TokenSizeError",
    "UnknownDtypeError",
    "pack",
    "unpack",
    "unpack_outputs",
    "unpack_outputs_torch",
    "unpack_torch",
]
