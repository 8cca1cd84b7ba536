"""From a path to a sequence that is ready, step by step, so that whoever prepares it can do other work in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal, KnownGoal
from omnivla_vision.goal_sequence.errors import DamagedGoalSequenceError
from omnivla_vision.goal_sequence.kept import KeptSequence, Node, is_kept
from omnivla_vision.goal_sequence.landmarks import Landmarks, describe
from omnivla_vision.goal_sequence.made_by import MadeBy
from omnivla_vision.goal_sequence.sequence import GoalSequence
from omnivla_vision.goal_sequence.source import Source, open_source
from omnivla_vision.goal_sequence.store import SequenceStore
from omnivla_vision.images.raw import MAX_PIXELS

Value = TypeVar("Value")
Steps = Generator[None, None, Value]


def prepare(
    path: Path,
    encoder: VisionEncoder,
    store: SequenceStore,
    *,
    spacing_s: float,
    max_pixels: int = MAX_PIXELS,
    announce: Callable[[str], None],
) -> Steps[GoalSequence]:
    """Find the sequence in the store, or encode it and keep it there; one goal a step.

    Args:
        path: a folder of numbered images, a bag, or a folder that `omnivla-vision goals encode` wrote.
        encoder: used in the steps only.
        store: where encoded sequences are kept.
        spacing_s: seconds from one image of a bag to the next.
        max_pixels: larger images are refused.
        announce: gets sentences that the user should know.

    Raises:
        GoalSequenceError, BagError: it cannot be had, as a whole; the message says why.
    """
    if is_kept(path):
        kept = KeptSequence(path)
        if note := kept.made_by.check(path, encoder):
            announce(note)
        return _recalled(path, kept, None, announce)
    source = open_source(path, spacing_s=spacing_s, max_pixels=max_pixels)
    made_by = MadeBy.of(encoder)
    digest = hashlib.sha256(json.dumps(asdict(made_by), sort_keys=True).encode())
    for part in source.parts():
        digest.update(part)
        yield
    try:
        found = store.find(digest.hexdigest())
        if found is not None:
            return _recalled(path, found, source, announce)
    except DamagedGoalSequenceError as error:
        announce(f"{error}: that is done now")
    return (yield from _encode(path, encoder, store, source, digest.hexdigest(), announce))


def _recalled(path: Path, kept: KeptSequence, source: Source | None, announce: Callable[[str], None]) -> GoalSequence:
    return GoalSequence(path, nodes=kept.nodes, landmarks=kept.landmarks, source=source, kept=kept, announce=announce)


def _encode(
    path: Path,
    encoder: VisionEncoder,
    store: SequenceStore,
    source: Source,
    key: str,
    announce: Callable[[str], None],
) -> Steps[GoalSequence]:
    nodes: list[Node] = []
    descriptors: list[Tensor] = []
    with store.keeping(key, announce) as keeping:
        for picture in source.pictures():
            encoded = encoder.encode_goal(Goal(rgb=picture.rgb))
            goal = encoded.goal
            nodes.append(Node(name=picture.name, goal=KnownGoal(id=goal.id, height=goal.height, width=goal.width)))
            descriptors.append(describe(encoded.fused, encoder.preset.grid))
            keeping.add(encoded)
            yield
        landmarks = Landmarks.of(torch.stack(descriptors))
        kept = keeping.finish(tuple(nodes), landmarks, MadeBy.of(encoder))
    return GoalSequence(path, nodes=tuple(nodes), landmarks=landmarks, source=source, kept=kept, announce=announce)


def complete(steps: Steps[Value], between: Callable[[], None] = lambda: None) -> Value:
    """Do all steps at once, and `between` after each."""
    result: list[Value] = []

    def watched() -> Steps[None]:
        result.append((yield from steps))

    for _ in watched():
        between()
    return result[0]
