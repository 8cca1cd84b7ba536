"""One frame's tokens as a .safetensors file, with what a message says of them: outputs, goal, provenance."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from omnivla_vision.tokens.fields import constant_fields
from omnivla_vision.tokens.outputs import output_shape
from omnivla_vision.tokens.packing import TokenFormatError, pack, unpack_torch
from omnivla_vision.tokens.provenance import Provenance

if TYPE_CHECKING:
    import torch

    from omnivla_vision.tokens.token_set import TokenSet

_TENSORS = "tensors"


class TokenFileError(TokenFormatError):
    """A file holds no tokens, or does not say what they are."""


@dataclass(frozen=True)
class FileOutput:
    """What a file says of one output; the names are those of TokenOutput.msg."""

    name: str
    pooling: str
    image_names: list[str]
    tokens_per_image: int
    grid_height: int
    grid_width: int
    segment_names: list[str]
    segment_widths: list[int]


@dataclass(frozen=True, kw_only=True)
class TokenFile(Provenance):
    """What a file holds; the names are those of VisualTokens.msg, where there is such a field.

    Attributes:
        tensors: each output's tokens by name, [images, tokens, width], in the number format of the file.
        dtype: the number format that the values were rounded to when they left the encoder, whatever the file's is.
        past_image_stamps: in nanoseconds; 0 where there is no such frame, or where images have no stamps.
    """

    tensors: dict[str, torch.Tensor]
    dtype: str
    image_names: list[str]
    tokens_per_image: int
    grid_height: int
    grid_width: int
    space: str
    segment_names: list[str]
    segment_widths: list[int]
    outputs: list[FileOutput]
    goal_valid: bool
    goal_id: str
    past_image_names: list[str]
    past_image_stamps: list[int]
    past_image_valid: list[bool]

    @property
    def tokens(self) -> torch.Tensor:
        """[1, rows, width] of the first output, which is the only one unless the preset has several."""
        return self.tensors[self.outputs[0].name].flatten(0, 1).unsqueeze(0)


def token_file(tokens: TokenSet, dtype: str) -> bytes:
    """The content of a file: each output's tokens [1, rows, width] under its name, which is `tokens` where a preset has
    one output, and in the metadata the description, lists as JSON.

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
        "past_image_stamps": list(tokens.past_stamps_ns),
        "past_image_valid": list(tokens.past_valid),
        "dtype": dtype,
    }
    metadata = {name: value if isinstance(value, str) else json.dumps(value) for name, value in described.items()}
    tensors = {
        output.name: unpack_torch(pack(blocks, dtype)).unsqueeze(0)
        for output, blocks in zip(tokens.layout.outputs, tokens.outputs, strict=True)
    }
    return bytes(save(tensors, metadata=metadata))


def read_token_file(path: Path) -> TokenFile:
    """Read what `token_file` made.

    Raises:
        TokenFileError: it cannot be read, or does not say what its tokens are.
        OutputDescriptionError: what it says of an output does not fit together.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            described = {
                field.name: metadata[field.name] if field.type == "str" else json.loads(metadata[field.name])
                for field in fields(TokenFile)
                if field.name != _TENSORS
            }
            outputs = described["outputs"] = [FileOutput(**output) for output in described["outputs"]]
            tensors = {output.name: file.get_tensor(output.name) for output in outputs}
    except OSError as error:
        raise TokenFileError(f"found {path}: {error}; expected a file of tokens that can be read") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TokenFileError(
            f"found {path} without what is needed ({error}); expected a .safetensors file of tokens that says what "
            "they are; write it again with `omnivla-vision encode`"
        ) from error
    return TokenFile(tensors={o.name: _by_image(path, o, tensors[o.name]) for o in outputs}, **described)


def _by_image(path: Path, output: FileOutput, tokens: torch.Tensor) -> torch.Tensor:
    images, count, width = output_shape(output)
    if tuple(tokens.shape) != (1, images * count, width):
        raise TokenFileError(
            f"found {path} with {output.name!r} {list(tokens.shape)}; expected [1, {images * count}, {width}], as it "
            "describes them; write it again with `omnivla-vision encode`"
        )
    return tokens.view(images, count, width)
