"""One frame's tokens as a .safetensors file, with what a message says of them: names, segments, goal, provenance."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from omnivla_vision.tokens.fields import constant_fields
from omnivla_vision.tokens.packing import TokenFormatError, pack, unpack_torch
from omnivla_vision.tokens.provenance import Provenance

if TYPE_CHECKING:
    import torch

    from omnivla_vision.tokens.token_set import TokenSet

_TENSOR = "tokens"


class TokenFileError(TokenFormatError):
    """A file holds no tokens, or does not say what they are."""


@dataclass(frozen=True, kw_only=True)
class TokenFile(Provenance):
    """What a file holds; the names are those of VisualTokens.msg, where there is such a field.

    Attributes:
        tokens: [1, rows, width], in the number format of the file.
        dtype: the number format that the values were rounded to when they left the encoder, whatever the file's is.
    """

    tokens: torch.Tensor
    dtype: str
    image_names: list[str]
    tokens_per_image: int
    grid_height: int
    grid_width: int
    space: str
    segment_names: list[str]
    segment_widths: list[int]
    goal_valid: bool
    goal_id: str


def token_file(tokens: TokenSet, dtype: str) -> bytes:
    """The content of a file: `tokens` [1, rows, width], and in its metadata the description, lists as JSON.

    Through the messages' own packing, so that the same values are refused and rounded the same way.

    Raises:
        UnknownDtypeError: `dtype` is not one of `packing.DTYPES`.
        NonFiniteTokensError: the tokens are not finite in `dtype`.
    """
    from safetensors.torch import save

    described = {
        **constant_fields(tokens.layout, tokens.provenance),
        "goal_valid": tokens.goal is not None,
        "goal_id": "" if tokens.goal is None else tokens.goal.id,
        "dtype": dtype,
    }
    metadata = {name: value if isinstance(value, str) else json.dumps(value) for name, value in described.items()}
    return bytes(save({_TENSOR: unpack_torch(pack(tokens.blocks, dtype)).unsqueeze(0)}, metadata=metadata))


def read_token_file(path: Path) -> TokenFile:
    """Read what `token_file` made.

    Raises:
        TokenFileError: it cannot be read, or does not say what its tokens are.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata, tokens = file.metadata() or {}, file.get_tensor(_TENSOR)
        described = {
            field.name: metadata[field.name] if field.type == "str" else json.loads(metadata[field.name])
            for field in fields(TokenFile)
            if field.name != _TENSOR
        }
    except OSError as error:
        raise TokenFileError(f"found {path}: {error}; expected a file of tokens that can be read") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise TokenFileError(
            f"found {path} without what is needed ({error}); expected a .safetensors file of tokens that says what "
            "they are; write it again with `omnivla-vision encode`"
        ) from error
    return TokenFile(tokens=tokens, **described)
