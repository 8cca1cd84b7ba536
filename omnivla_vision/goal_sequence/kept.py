"""An encoded sequence on the disk: a folder with a .safetensors file of each goal's features, and an index."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from omnivla_vision.goal import EncodedGoal, KnownGoal
from omnivla_vision.goal_sequence.errors import DamagedGoalSequenceError
from omnivla_vision.goal_sequence.landmarks import Landmarks
from omnivla_vision.goal_sequence.made_by import MadeBy

FORMAT = 1
INDEX = "index.safetensors"
_DESCRIPTION = "goal_sequence"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One goal of a sequence, and its name in the folder or the bag that it came from."""

    name: str
    goal: KnownGoal


@dataclass(frozen=True, kw_only=True)
class _File:
    """What a file of features must be: where a size is wrong, that is seen when the sequence is opened."""

    bytes: int
    sha256: str


class KeptSequence:
    """A folder that `Writer` wrote. The features are read when they are asked for.

    Raises:
        DamagedGoalSequenceError: something is missing, or is not what was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            with safe_open(folder / INDEX, "pt") as file:
                description = json.loads((file.metadata() or {})[_DESCRIPTION])
                tensors = {name: file.get_tensor(name) for name in ("descriptors", "mean", "scale")}
            if description["format"] != FORMAT:
                raise DamagedGoalSequenceError(
                    f"found the goal sequence {folder} in format {description['format']}, of another version of "
                    f"omnivla_vision; expected {FORMAT}; encode it again"
                )
            self.made_by = MadeBy(**description["made_by"])
            self.nodes = tuple(Node(name=n["name"], goal=KnownGoal(**n["goal"])) for n in description["nodes"])
            self._files = [_File(**file) for file in description["files"]]
            sizes = [(folder / features_name(index)).stat().st_size for index in range(len(self.nodes))]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DamagedGoalSequenceError(
                f"found the goal sequence {folder} damaged ({type(error).__name__}: {error}); encode it again"
            ) from error
        self.landmarks = Landmarks(**tensors)
        if sizes != [file.bytes for file in self._files]:
            raise DamagedGoalSequenceError(f"found files in {folder} of another size than was written; encode it again")

    def features(self, index: int) -> dict[str, Tensor]:
        """A goal's features before pooling and projector, named as `VisionEncoder.recall_goal` takes them.

        Raises:
            DamagedGoalSequenceError: the file is gone, or is not what was written.
        """
        path = self.folder / features_name(index)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DamagedGoalSequenceError(f"found {path}: {error.strerror}; encode the sequence again") from error
        if hashlib.sha256(content).hexdigest() != self._files[index].sha256:
            raise DamagedGoalSequenceError(f"found {path} with another SHA-256 than was written; encode it again")
        return load(content)


class Writer:
    """Fills an empty folder, goal by goal, so that they need not all be in memory; raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[_File] = []

    def add(self, goal: EncodedGoal) -> None:
        """Write the features of the next goal, in float32; poolings and projector can be computed again."""
        features = {"fused": goal.fused.contiguous()}
        if goal.class_tokens is not None:
            features["class_tokens"] = goal.class_tokens.contiguous()
        content = bytes(save(features))
        (self._folder / features_name(len(self._files))).write_bytes(content)
        self._files.append(_File(bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))

    def finish(self, nodes: tuple[Node, ...], landmarks: Landmarks, made_by: MadeBy) -> None:
        """Write the index: only now is it a sequence."""
        description = {
            "format": FORMAT,
            "made_by": asdict(made_by),
            "nodes": [asdict(node) for node in nodes],
            "files": [asdict(file) for file in self._files],
        }
        tensors = {name: getattr(landmarks, name).contiguous() for name in ("descriptors", "mean", "scale")}
        (self._folder / INDEX).write_bytes(save(tensors, metadata={_DESCRIPTION: json.dumps(description)}))


def features_name(index: int) -> str:
    """The file of a goal's features."""
    return f"{index}.safetensors"


def is_kept(folder: Path) -> bool:
    """Whether a folder is an encoded sequence."""
    return (folder / INDEX).is_file()
