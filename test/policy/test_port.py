"""What a port refuses, each for its own reason, in messages that were serialized and read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from omnivla_vision.goal import Goal
from omnivla_vision.loading import EncoderOptions
from omnivla_vision.loading import encoder_of as encoder_of_weights
from omnivla_vision.network.outputs import Output, get_pooling
from omnivla_vision.network.views import ImageNameError
from omnivla_vision.policy import (
    ModalityError,
    NoGoalError,
    NotTokensError,
    Port,
    RandomWeightsError,
    SeveralOutputsError,
    WrongImagesError,
    WrongOutputsError,
    WrongPreprocessingError,
    WrongSpaceError,
    WrongWeightsError,
    check,
    expect,
)
from omnivla_vision.tokens.files import TokenFileError, read_token_file, token_file
from omnivla_vision.tokens.packing import NonFiniteTokensError, TokenSizeError
from omnivla_vision.weights import open_weights
from test.encoders import random_encoder
from test.policy.folder import encoder_of, write_policy
from test.policy.messages import recorded

if TYPE_CHECKING:
    from omnivla_vision.encoder import VisionEncoder
    from omnivla_vision.policy import Expectation


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> Expectation:
    return expect(checkpoint)


@pytest.fixture(scope="module")
def images(photographs: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    return photographs[:2]


@pytest.fixture(scope="module")
def message(encoder: VisionEncoder, images: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a frame and its goal."""
    encoder.set_goal(Goal(rgb=images[1]))
    return recorded(encoder.encode(images[0]), tmp_path_factory.mktemp("bag"))


@pytest.fixture
def goalless(encoder: VisionEncoder, images: list[NDArray[np.uint8]], tmp_path: Path) -> Any:
    encoder.set_goal(None)
    return recorded(encoder.encode(images[0]), tmp_path)


def test_its_own_tokens_pass(expected: Expectation, message: Any) -> None:
    tokens = Port(expected).read(message)
    assert tokens.shape == (1, 512, 1152)
    assert tokens.dtype == torch.float16
    assert tokens.any(dim=2).all()


def test_other_weights(message: Any, tmp_path: Path) -> None:
    port = Port(expect(write_policy(tmp_path, seed=7)))
    with pytest.raises(WrongWeightsError, match=r"found tokens of vision weights [0-9a-f]{64}; expected [0-9a-f]{64}"):
        port.read(message)


def test_another_projector(checkpoint: Path, images: list[NDArray[np.uint8]], message: Any, tmp_path: Path) -> None:
    """The message names the backbone, too: so it can be told which of the two is wrong."""
    encoder = encoder_of(checkpoint, space="projected", takes_goal=False)
    projected = recorded(encoder.encode(images[0]), tmp_path)
    assert (
        projected.fingerprint != projected.backbone_fingerprint == message.fingerprint == message.backbone_fingerprint
    )
    expected = expect(checkpoint, images=["current"], space="projected")
    assert Port(expected).read(projected).shape == (1, 256, 64)
    with pytest.raises(WrongWeightsError, match=r"the right encoders and of another projector"):
        Port(replace(expected, fingerprint="another")).read(projected)


def test_random_weights(expected: Expectation, images: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    encoder = random_encoder("small")
    encoder.set_goal(Goal(rgb=images[1]))
    message = recorded(encoder.encode(images[0]), tmp_path)
    with pytest.raises(
        RandomWeightsError, match=r"random weights \(weights: random, seed 0, small\), which mean nothing"
    ):
        Port(expected).read(message)
    allowed = expect("", preset="small", allow_random=True)
    assert any("RANDOM WEIGHTS" in warning for warning in allowed.warnings)
    assert Port(allowed).read(message).any()
    with pytest.raises(WrongWeightsError, match=r"found tokens of preset 'small'; expected 'dinosiglip-224'"):
        Port(replace(allowed, preset=replace(allowed.preset, name="dinosiglip-224"))).read(message)


def test_random_ones_may_be_allowed_for_a_checkpoint(
    checkpoint: Path, images: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    encoder = random_encoder("small", takes_goal=False)
    message = recorded(encoder.encode(images[0]), tmp_path)
    with pytest.raises(RandomWeightsError):
        Port(expect(checkpoint, images=["current"])).read(message)
    port = Port(expect(checkpoint, images=["current"], allow_random=True))
    assert port.read(message).any()
    message.preprocessing_id = "another"
    with pytest.raises(WrongPreprocessingError):
        port.read(message)


def test_another_preprocessing(expected: Expectation, message: Any, checkpoint: Path) -> None:
    cropped = expect(checkpoint, image_path="openvla-crop")
    match = r"found images prepared with no such step; expected crop-and-resize:0.9:224:bilinear; choose one image_path"
    with pytest.raises(WrongPreprocessingError, match=match):
        Port(cropped).read(message)


def test_another_region(checkpoint: Path, message: Any, images: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    cut = expect(checkpoint, region="0,0,1,0.8")
    match = r"found images prepared with no such step; expected region:0,0,1,0.8; choose one image_path, region and"
    with pytest.raises(WrongPreprocessingError, match=match):
        Port(cut).read(message)
    encoder = encoder_of(checkpoint, region="current=0,0,1,0.8; goal=0,0,1,0.8")
    encoder.set_goal(Goal(rgb=images[1]))
    assert Port(cut).read(recorded(encoder.encode(images[0]), tmp_path)).any()
    with pytest.raises(ImageNameError, match=r"found a region for 'wrist'"):
        expect(checkpoint, region="wrist=0,0,1,0.8")


def test_another_space(checkpoint: Path, message: Any) -> None:
    with pytest.raises(WrongSpaceError, match=r"found 'fused' tokens; expected 'projected'"):
        Port(expect(checkpoint, space="projected")).read(message)


def test_other_columns(expected: Expectation, message: Any) -> None:
    output = expected.layout.outputs[0]
    layout = replace(expected.layout, outputs=(replace(output, segments=output.segments[::-1]),))
    with pytest.raises(WrongSpaceError, match=r"found columns \['dinov2', 'siglip'\] of \[384, 768\]"):
        Port(replace(expected, layout=layout)).read(message)


def test_pooled_tokens_pass_where_they_are_expected(
    checkpoint: Path, images: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    encoder = encoder_of(checkpoint, output_pool="8x8")
    encoder.set_goal(Goal(rgb=images[1]))
    tokens = encoder.encode(images[0])
    message = recorded(tokens, tmp_path)
    assert torch.equal(Port(expect(checkpoint, pool="8x8")).read(message)[0], tokens.tokens.half())
    for pool, wanted in (("", "none"), ("4x4", "4x4"), ("shuffle:2", "shuffle:2")):
        sentence = rf"found outputs tokens \(pooling 8x8\); expected tokens \(pooling {wanted}\)"
        with pytest.raises(WrongOutputsError, match=sentence):
            Port(expect(checkpoint, pool=pool)).read(message)


def test_several_outputs_are_no_one_tensor(
    checkpoint: Path, expected: Expectation, images: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    weights = open_weights(checkpoint)
    preset = replace(weights.preset, outputs=(Output("tokens"), Output("coarse", get_pooling("2x2"))))
    tokens = encoder_of_weights(replace(weights, preset=preset), EncoderOptions(engine="eager")).encode(images[0])
    message = recorded(tokens, tmp_path)
    with pytest.raises(SeveralOutputsError, match=r"found outputs tokens, coarse; .*unpack_outputs_torch\(message\)"):
        Port(expected).read(message)
    (tmp_path / "t").write_bytes(token_file(tokens, "float16"))
    with pytest.raises(SeveralOutputsError):
        Port(expected).read(tmp_path / "t")
    check(message, expected)  # what is behind the expected outputs is the policy's own affair
    message.outputs = message.outputs[::-1]
    with pytest.raises(WrongOutputsError, match=r"found outputs coarse \(pooling 2x2\), tokens \(pooling none\)"):
        check(message, expected)


@pytest.mark.parametrize("names", [("goal", "current"), ("current",), ("full", "goal"), ("current", "wrist", "goal")])
def test_other_images(names: tuple[str, ...], checkpoint: Path, message: Any) -> None:
    with pytest.raises(WrongImagesError, match=r"found tokens of current, goal; expected " + ", ".join(names)):
        Port(expect(checkpoint, images=names)).read(message)


def test_no_goal(expected: Expectation, goalless: Any) -> None:
    port = Port(expected)
    with pytest.raises(NoGoalError, match=r"its tokens are zeros"):
        port.read(goalless)
    assert not port.read(goalless, goal=False)[:, 256:].any()


def test_a_message_that_lies_about_its_goal(expected: Expectation, goalless: Any) -> None:
    goalless.goal_valid = True
    with pytest.raises(NoGoalError):
        Port(expected).read(goalless)


def test_modalities(expected: Expectation, message: Any, goalless: Any) -> None:
    port = Port(expected)
    with pytest.raises(NoGoalError, match=r"found no tokens read"):
        port.omnivla_modality(image=True)
    port.read(message)
    found = [
        float(port.omnivla_modality(**dict.fromkeys(names.split(), True)))
        for names in ("pose", "pose image", "image", "language", "language pose")
    ]
    assert found == [4, 5, 6, 7, 8]
    for names in ({}, {"image": True, "language": True}):
        with pytest.raises(ModalityError, match=r"expected one of image, pose, language"):
            port.omnivla_modality(**names)
    port.read(goalless, goal=False)
    with pytest.raises(NoGoalError, match=r"a goal whose tokens are zeros; expected a goal image for modality 5"):
        port.omnivla_modality(image=True, pose=True)
    assert float(port.omnivla_modality(pose=True)) == 4
    port.read(message)
    message.image_names = ["goal", "current"]
    with pytest.raises(WrongImagesError):
        port.read(message)
    message.image_names = ["current", "goal"]
    with pytest.raises(NoGoalError, match=r"no tokens read"):  # what was refused does not count
        port.omnivla_modality(image=True)


def test_a_modality_without_a_goal_among_the_images(checkpoint: Path) -> None:
    with pytest.raises(NoGoalError, match=r"found a port without a goal among its images"):
        Port(expect(checkpoint, images=["current"])).omnivla_modality(image=True)


@pytest.mark.parametrize("thing", [None, b"bytes", 3])
def test_what_is_no_message(expected: Expectation, thing: Any) -> None:
    with pytest.raises(NotTokensError, match=rf"found {type(thing).__name__}; expected a VisualTokens message"):
        Port(expected).read(thing)


def test_broken_messages(expected: Expectation, message: Any) -> None:
    port, data, shape = Port(expected), message.data, message.shape
    for broken in ({"data": data[:-2]}, {"shape": np.array([256, 1152]), "data": data[: data.size // 2]}):
        for name, value in broken.items():
            setattr(message, name, value)
        with pytest.raises(TokenSizeError):
            port.read(message)
        message.data, message.shape, message.strides = data, shape, np.array([1152, 1])
    message.data = data.copy()
    message.data[:2] = 0x00, 0x7E  # float16's NaN
    with pytest.raises(NonFiniteTokensError):
        port.read(message)
    message.data = data
    port.read(message)


def assert_said_alike(described: dict[str, Any], message: Any, leaving_out: tuple[str, ...] = ()) -> None:
    for name, value in described.items():
        if name not in leaving_out:
            said = getattr(message, name)
            assert value == (said.tolist() if isinstance(said, np.ndarray) else said), name


def test_files_say_what_a_message_says(
    encoder: VisionEncoder, images: list[NDArray[np.uint8]], message: Any, tmp_path: Path
) -> None:
    encoder.set_goal(Goal(rgb=images[1]))
    (tmp_path / "t").write_bytes(token_file(encoder.encode(images[0]), "float16"))
    found = read_token_file(tmp_path / "t")
    assert_said_alike(vars(found), message, leaving_out=("tensors", "dtype", "outputs"))
    assert len(found.outputs) == len(message.outputs) == 1
    assert_said_alike(vars(found.outputs[0]), message.outputs[0])
    assert found.dtype == "float16"
    assert found.goal_valid is True


def test_broken_files(
    expected: Expectation, encoder: VisionEncoder, images: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    port, good = Port(expected), tmp_path / "good"
    encoder.set_goal(Goal(rgb=images[1]))
    good.write_bytes(token_file(encoder.encode(images[0]), "float32"))
    for file, content in (("empty", b""), ("cut", good.read_bytes()[:-8]), ("text", b"x" * 100)):
        (tmp_path / file).write_bytes(content)
        with pytest.raises(TokenFileError, match=r"write it again with `omnivla-vision encode`"):
            port.read(tmp_path / file)
    save_file(load_file(good), tmp_path / "bare")
    with pytest.raises(TokenFileError, match=r"without what is needed \('preset'\)"):
        port.read(str(tmp_path / "bare"))
    with pytest.raises(TokenFileError, match=r"No such file"):
        port.read(tmp_path / "nothing")
