"""A sequence is encoded once, kept, found again, and never taken for another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.goal_sequence.errors import (
    BadGoalImageError,
    DamagedGoalSequenceError,
    ForeignGoalSequenceError,
    GoalImageChangedError,
)
from omnivla_vision.goal_sequence.kept import INDEX
from omnivla_vision.goal_sequence.prepare import complete, prepare
from omnivla_vision.goal_sequence.sequence import GoalSequence
from omnivla_vision.goal_sequence.store import SequenceStore
from omnivla_vision.images.files import read_rgb
from omnivla_vision.network.image_paths import IMAGE_PATHS
from omnivla_vision.tokens.pictures import save_png
from test.disks import read_only
from test.encoders import random_encoder
from test.presets import shallow


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def said() -> list[str]:
    return []


def taken(path: Path, encoder: VisionEncoder, store: Path, said: list[str], **options: bool) -> GoalSequence:
    steps = prepare(path, encoder, SequenceStore(str(store), **options), spacing_s=2.0, announce=said.append)
    return complete(steps)


def kept_folder(store: Path) -> Path:
    (folder,) = (store / "goal_sequences").iterdir()
    return folder


def test_kept_tokens_are_bit_equal_to_fresh_ones(
    route: Path, pictures: list[NDArray[np.uint8]], encoder: VisionEncoder, store: Path, said: list[str]
) -> None:
    before = encoder.goal_encodes
    taken(route, encoder, store, said)
    assert encoder.goal_encodes == before + 4
    again = taken(route, encoder, store, said)
    assert encoder.goal_encodes == before + 4
    assert said == []
    for index, picture in enumerate(pictures):
        fresh = encoder.encode_goal(Goal(rgb=picture))
        encoded = again.encoded(index, encoder)
        assert encoded.goal.id == fresh.goal.id
        assert torch.equal(encoded.outputs[0], fresh.outputs[0])


def test_a_projected_goal_is_made_of_the_same_kept_tokens(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str], pictures: list[NDArray[np.uint8]]
) -> None:
    taken(route, encoder, store, said)
    projected = random_encoder(shallow("small", 2), seed=3, space="projected")
    encoded = taken(route, projected, store, said).encoded(1, projected)
    assert projected.goal_encodes == 0
    fresh = projected.encode_goal(Goal(rgb=pictures[1]))
    assert fresh.outputs[0].shape == (256, 4096)
    assert torch.equal(encoded.outputs[0], fresh.outputs[0])


def test_other_weights_and_another_preprocessing_are_other_sequences(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str]
) -> None:
    kept = taken(route, encoder, store, said).encoded(0, encoder).fused
    preset = shallow("small", 2)
    for other in (
        random_encoder(preset, seed=4),
        random_encoder(replace(preset, image_path=IMAGE_PATHS["openvla-crop-pil"]), seed=3),
    ):
        fresh = taken(route, other, store, said)
        assert other.goal_encodes == 4
        assert not torch.equal(fresh.encoded(0, other).fused, kept)


def test_an_edited_folder_is_another_sequence(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str], pictures: list[NDArray[np.uint8]]
) -> None:
    taken(route, encoder, store, said)
    save_png(route / "9.png", pictures[0])
    assert taken(route, encoder, store, said).nodes[1].goal.id == Goal(rgb=pictures[0]).id
    (route / "9.png").rename(route / "12.png")
    assert [node.name for node in taken(route, encoder, store, said).nodes] == ["2.png", "10.png", "11.png", "12.png"]


def test_a_kept_sequence_that_is_named_is_refused_with_other_weights(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str], tmp_path: Path
) -> None:
    taken(route, encoder, store, said)
    named = tmp_path / "named"
    shutil.copytree(kept_folder(store), named)
    shutil.rmtree(route)
    sequence = taken(named, encoder, store, said)
    assert [node.name for node in sequence.nodes] == ["2.png", "9.png", "10.png", "11.png"]
    assert (sequence.picture(0) == 255).all()  # its images did not come along
    with pytest.raises(ForeignGoalSequenceError, match=r"seed 3, small, expected weights: random, seed 4"):
        taken(named, random_encoder(shallow("small", 2), seed=4), store, said)
    assert said == []
    # Its tokens cannot be computed again.
    (named / "2.safetensors").write_bytes(bytes((named / "2.safetensors").stat().st_size))
    with pytest.raises(DamagedGoalSequenceError, match="SHA-256"):
        sequence.encoded(2, encoder)


def test_another_engine_of_the_same_weights_is_said(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str], tmp_path: Path
) -> None:
    taken(route, encoder, store, said)
    index = kept_folder(store) / INDEX
    with safe_open(index, "pt") as file:
        metadata = file.metadata()
    description = json.loads(metadata["goal_sequence"])
    description["made_by"]["precision"] = "bfloat16"
    save_file(load_file(index), index, metadata={"goal_sequence": json.dumps(description)})
    taken(kept_folder(store), encoder, store, said)
    assert len(said) == 1
    assert "precision bfloat16, expected float32: equal within the gate's limits" in said[0]


@pytest.mark.parametrize("damage", ["cut", "gone", "index"])
def test_a_damaged_sequence_is_made_anew_and_that_is_said(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str], damage: str
) -> None:
    expected = taken(route, encoder, store, said).encoded(1, encoder).fused
    folder, before = kept_folder(store), encoder.goal_encodes
    if damage == "cut":
        (folder / "1.safetensors").write_bytes((folder / "1.safetensors").read_bytes()[:-1])
    elif damage == "gone":
        (folder / "1.safetensors").unlink()
    else:
        (folder / INDEX).write_bytes((folder / INDEX).read_bytes()[:100])
    sequence = taken(route, encoder, store, said)
    assert encoder.goal_encodes == before + 4
    assert torch.equal(sequence.encoded(1, encoder).fused, expected)
    assert len(said) == 1
    assert str(folder) in said[0]


def test_a_damaged_goal_is_encoded_from_its_image(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str]
) -> None:
    sequence = taken(route, encoder, store, said)
    expected = sequence.encoded(1, encoder).fused
    file = kept_folder(store) / "1.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\1\2\3\4")
    assert torch.equal(sequence.encoded(1, encoder).fused, expected)
    assert len(said) == 1
    assert "9.png is encoded anew" in said[0]
    save_png(route / "9.png", read_rgb(route / "2.png"))
    with pytest.raises(GoalImageChangedError, match=r"another picture in 9\.png"):
        sequence.encoded(1, encoder)


def test_a_bad_image_leaves_nothing_behind(route: Path, encoder: VisionEncoder, store: Path, said: list[str]) -> None:
    (route / "11.png").write_bytes(b"no image")
    with pytest.raises(BadGoalImageError, match=r"11\.png"):
        taken(route, encoder, store, said)
    assert list((store / "goal_sequences").iterdir()) == []


def test_work_that_is_given_up_leaves_nothing_behind(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str]
) -> None:
    steps = prepare(route, encoder, SequenceStore(str(store)), spacing_s=2.0, announce=said.append)
    for _ in range(7):  # four files are looked at, then three goals encoded
        next(steps)
    assert kept_folder(store).name.startswith(".unfinished-")
    steps.close()
    assert list((store / "goal_sequences").iterdir()) == []


def test_where_nothing_can_be_written_it_works_and_is_said(
    route: Path, encoder: VisionEncoder, store: Path, said: list[str]
) -> None:
    store.mkdir()
    with read_only(store):
        sequence = taken(route, encoder, store, said)
    before = encoder.goal_encodes
    assert len(said) == 1
    assert said[0].startswith("the goal sequence is not kept (found Read-only file system")
    assert sequence.encoded(2, encoder).goal.id == sequence.nodes[2].goal.id
    assert encoder.goal_encodes == before + 1


def test_read_only_uses_what_is_there(route: Path, encoder: VisionEncoder, store: Path, said: list[str]) -> None:
    taken(route, encoder, store, said, read_only=True)
    assert len(said) == 1
    assert not (store / "goal_sequences").exists()
    taken(route, encoder, store, said)
    before = encoder.goal_encodes
    taken(route, encoder, store, said, read_only=True)
    assert encoder.goal_encodes == before
    assert len(said) == 1
