"""A baseline: small enough to keep beside the code, rich enough to notice that the tokens are no longer the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from omnivla_vision.errors import VisionError
from omnivla_vision.output_files import write
from omnivla_vision.replay.measure import EncodedFrame, Features, Segment, mean_norm
from omnivla_vision.replay.sampling import EvenlySpaced
from omnivla_vision.tokens.channels import Channels
from omnivla_vision.tokens.provenance import Provenance

# 2: measured in standardized channels, whose statistics are in the file.
FORMAT = "omnivla_vision replay baseline 2"
# Tokens are kept of so many frames at most, and so many of each: 4 MB for OmniVLA's pair.
SAMPLED_FRAMES = 128
SAMPLED_TOKENS = 4
_STATISTICS = tuple(entry.name for entry in fields(Channels))


class BaselineError(VisionError):
    """A file is not a baseline that can be read."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What was computed when it was saved. A view is a camera frame, or a goal image when it came into force.

    Attributes:
        provenance: what computed it.
        encoders: names and widths of the encoders, in the order of the columns.
        names: one per view: "frame 12", "goal 0".
        stamps_ns: int64 [views].
        channels: the encoders' channels in the first view, by which everything is measured: a massive channel would
            hide all others.
        norms: float32 [views, encoders], the mean length of a view's standardized tokens.
        rows: int64 [tokens], which tokens were sampled.
        samples: view -> float32 [tokens, width].
    """

    provenance: Provenance
    encoders: dict[str, int]
    names: tuple[str, ...]
    stamps_ns: NDArray[np.int64]
    channels: tuple[Channels, ...]
    norms: NDArray[np.float32]
    rows: NDArray[np.int64]
    samples: dict[int, NDArray[np.float32]]

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            OutputError: the system refused to write.
        """
        tensors: dict[str, NDArray] = {
            "stamps_ns": self.stamps_ns,
            "norms": self.norms,
            "rows": self.rows,
            "sampled": np.array(list(self.samples), np.int64),
            "samples": np.stack(list(self.samples.values())),
            **{name: np.concatenate([getattr(entry, name) for entry in self.channels]) for name in _STATISTICS},
        }
        metadata = {
            "format": FORMAT,
            "provenance": json.dumps(asdict(self.provenance)),
            "encoders": json.dumps(self.encoders),
            "names": json.dumps(self.names),
        }
        write(path, save(tensors, metadata=metadata))

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """Read a file.

        Raises:
            BaselineError: there is none, or it is something else.
        """
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no file"
            raise BaselineError(f"found {found} {path}; expected a file; make a baseline with --save-baseline {path}")
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise BaselineError(
                        f"found {path} with format {metadata.get('format')!r}, which was measured in another way; "
                        f"expected {FORMAT!r}; save it again with --save-baseline"
                    )
                ends = np.cumsum(list(json.loads(metadata["encoders"]).values()))[:-1]
                statistics = [np.split(file.get_tensor(name), ends) for name in _STATISTICS]
                samples = dict(zip(file.get_tensor("sampled").tolist(), file.get_tensor("samples"), strict=True))
                return cls(
                    provenance=Provenance(**json.loads(metadata["provenance"])),
                    encoders=json.loads(metadata["encoders"]),
                    names=tuple(json.loads(metadata["names"])),
                    stamps_ns=file.get_tensor("stamps_ns"),
                    channels=tuple(
                        Channels(**dict(zip(_STATISTICS, parts, strict=True)))
                        for parts in zip(*statistics, strict=True)
                    ),
                    norms=file.get_tensor("norms"),
                    rows=file.get_tensor("rows"),
                    samples=samples,
                )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BaselineError(f"{path} cannot be read as a baseline: {error}; save it again") from error


class BaselineBuilder:
    """Collects a baseline from the frames of a replay; a Sink.

    Args:
        segments: the encoders' columns.
        then: the baseline that it will be compared with: its tokens are kept too, and its channels measured by.
    """

    def __init__(self, segments: tuple[Segment, ...], *, then: Baseline | None = None) -> None:
        self._segments = segments
        self._keep = frozenset(then.samples if then is not None else ())
        # Of other encoders nothing can be compared: refused when it comes to that.
        same = then is not None and then.encoders == _widths(segments)
        self._channels = then.channels if then is not None and same else ()
        self._names: list[str] = []
        self._stamps: list[int] = []
        self._norms: list[list[float]] = []
        self._kept: dict[int, NDArray[np.float32]] = {}
        self._spaced: EvenlySpaced[NDArray[np.float32]] = EvenlySpaced(SAMPLED_FRAMES)
        self._rows = np.empty(0, np.int64)
        self._goals = 0
        self._goal_id = ""

    def add(self, frame: EncodedFrame) -> None:
        """Take one frame, and the goal if it is a new one."""
        if frame.goal is not None and frame.goal_id != self._goal_id:
            self._add(f"goal {self._goals}", frame.stamp_ns, frame.goal)
            self._goals += 1
        self._goal_id = frame.goal_id
        self._add(f"frame {frame.index}", frame.stamp_ns, frame.current)

    def build(self, provenance: Provenance) -> Baseline:
        """The baseline of all frames so far.

        Raises:
            BaselineError: there was none.
        """
        if not self._names:
            raise BaselineError("found no frame with tokens; expected at least one to make a baseline of")
        return Baseline(
            provenance=provenance,
            encoders=_widths(self._segments),
            names=tuple(self._names),
            stamps_ns=np.array(self._stamps, np.int64),
            channels=self._channels,
            norms=np.array(self._norms, np.float32),
            rows=self._rows,
            samples=dict(sorted({**self._spaced.kept, **self._kept}.items())),
        )

    def _add(self, name: str, stamp_ns: int, tokens: Features) -> None:
        view = len(self._names)
        if not view:  # spread over the image
            self._channels = self._channels or tuple(Channels.of(tokens[:, s.columns]) for s in self._segments)
            self._rows = np.linspace(0, len(tokens) - 1, SAMPLED_TOKENS + 2).round().astype(np.int64)[1:-1]
        self._names.append(name)
        self._stamps.append(stamp_ns)
        self._norms.append(
            [
                mean_norm(channels.standardize(tokens[:, s.columns]))
                for s, channels in zip(self._segments, self._channels, strict=True)
            ]
        )
        sample = tokens[self._rows].astype(np.float32)
        self._spaced.add(view, sample)
        if view in self._keep:
            self._kept[view] = sample


def _widths(segments: tuple[Segment, ...]) -> dict[str, int]:
    return {s.name: s.columns.stop - s.columns.start for s in segments}
