"""What computed a dataset's tokens, and what they are: the schema's metadata, as strings that anyone can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omnivla_vision.dataset.errors import DatasetFormatError, NotATokenDatasetError
from omnivla_vision.network.grid import Grid
from omnivla_vision.tokens.layout import OutputLayout, TokenLayout
from omnivla_vision.tokens.provenance import Provenance

# Of the columns and of this metadata; a reader refuses a later one.
FORMAT = 1
# Before every key of ours in the schema's metadata.
PREFIX = "omnivla_vision."
DTYPES = ("float16", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class StoredOutput:
    """One output of the preset, in a column of its own: [tokens, width] per row, as tokens lie in the grid.

    Attributes:
        name: the preset's name of it.
        column: the dataset's.
        pooling: as `network.outputs.get_pooling` reads it.
        grid: of its tokens; JSON has [height, width].
        segments: names and widths of consecutive features.
    """

    name: str
    column: str
    pooling: str
    grid: Grid
    segments: tuple[tuple[str, int], ...]

    @property
    def tokens(self) -> int:
        """Of a frame."""
        return self.grid.tokens

    @property
    def width(self) -> int:
        """Features of a token."""
        return sum(width for _, width in self.segments)

    @property
    def elements(self) -> int:
        """Numbers of a frame."""
        return self.tokens * self.width


@dataclass(frozen=True, kw_only=True)
class Description:
    """What all rows of a dataset have in common.

    Attributes:
        preset, weights, fingerprint, backbone_fingerprint, preprocessing_id, engine, precision: see `Provenance`.
        notice: what the engine's user should know, empty if nothing; rows with another one may join.
        space: "fused" or "projected".
        dtype: "float16", or "bfloat16" whose bits lie in columns of uint16.
        outputs: the first one's column is `tokens`.
        images: whether there is a column `image`, JPEG.
        sampling: which frames became rows: "every frame", or seconds from one to the next, by stamps.
        topics: columns of other topics or of files beside the frames, and what they were: a message type, or "file".
        made_by: this software and its version; rows of another one may join.
    """

    preset: str
    weights: str
    fingerprint: str
    backbone_fingerprint: str
    preprocessing_id: str
    engine: str
    precision: str
    notice: str = ""
    space: str
    dtype: str
    outputs: tuple[StoredOutput, ...]
    images: bool
    sampling: str
    topics: Mapping[str, str] = field(default_factory=dict)
    made_by: str = ""

    def metadata(self) -> dict[str, str]:
        """For the schema: texts as they are, the rest as JSON."""
        named = {"format": FORMAT, **asdict(self)}
        return {PREFIX + name: value if isinstance(value, str) else json.dumps(value) for name, value in named.items()}

    @classmethod
    def of(cls, metadata: Mapping[bytes, bytes] | None) -> Description:
        """Read a schema's metadata.

        Raises:
            NotATokenDatasetError: it is not there, or not as `metadata` writes it.
            DatasetFormatError: a later version wrote it.
        """
        texts = {
            key.decode().removeprefix(PREFIX): value.decode()
            for key, value in (metadata or {}).items()
            if key.startswith(PREFIX.encode())
        }
        try:
            version = int(texts["format"])
            if version > FORMAT:
                raise DatasetFormatError(
                    f"found a dataset of format {version}; expected {FORMAT} or an earlier one; install a later "
                    "omnivla-vision to read it, or make another dataset"
                )
            outputs = tuple(
                StoredOutput(
                    **output | {"grid": Grid(*output["grid"]), "segments": tuple((n, w) for n, w in output["segments"])}
                )
                for output in json.loads(texts["outputs"])
            )
            values: dict[str, Any] = {item.name: texts[item.name] for item in fields(cls)}
            values |= {name: json.loads(texts[name]) for name in ("images", "topics")}
            return cls(**values | {"outputs": outputs})
        except (KeyError, ValueError, TypeError) as error:
            raise NotATokenDatasetError(
                f"found a Lance dataset whose metadata is not that of tokens ({type(error).__name__}: {error}); "
                "expected one that `omnivla-vision dataset` made"
            ) from error

    def differences(self, other: Description) -> list[str]:
        """How rows of `other` differ from these, so that they may not join; "what: that of other, not mine"."""
        free = ("notice", "made_by")
        return [
            f"{item.name} {_short(getattr(other, item.name))}, not {_short(getattr(self, item.name))}"
            for item in fields(self)
            if item.name not in free and getattr(self, item.name) != getattr(other, item.name)
        ]


def describe(
    layout: TokenLayout, provenance: Provenance, *, dtype: str, images: bool, sampling: str, topics: Mapping[str, str]
) -> Description:
    """Of an encoder of one camera without a goal."""
    computed = {name: value for name, value in asdict(provenance).items() if name in Description.__dataclass_fields__}
    return Description(
        **computed,
        space=layout.space,
        dtype=dtype,
        outputs=tuple(_stored(output, first=output is layout.outputs[0]) for output in layout.outputs),
        images=images,
        sampling=sampling,
        topics=dict(topics),
    )


def _stored(output: OutputLayout, *, first: bool) -> StoredOutput:
    return StoredOutput(
        name=output.name,
        column="tokens" if first else f"tokens_{output.name}",
        pooling=str(output.pooling),
        grid=output.grid,
        segments=tuple((segment.name, segment.width) for segment in output.segments),
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
