"""Parameters: the shipped file is complete, bad values are refused, live ones change a running node."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from rcl_interfaces.srv import DescribeParameters

from omnivla_vision.checkpoint.errors import AdapterWithoutBaseError
from omnivla_vision.resources import resource_path
from omnivla_vision.ros.drive.node_process import NODE
from omnivla_vision.ros.settings import VisionParameters, parameter_name
from omnivla_vision.ros.start_encoder import load_encoder
from test.ros.conftest import SHARED, TIMEOUT_S, Setup, encode_one, frame, running
from test.ros.control import CLEANUP, CONFIGURE, DEACTIVATE

ITEMS = {parameter_name(item): item for item in fields(VisionParameters)}


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    with running(tmp_path_factory.mktemp("node") / "log", namespace=SHARED, encode_ms=0) as setup:
        yield setup


@pytest.fixture
def black() -> NDArray[np.uint8]:
    return np.zeros((48, 64, 3), np.uint8)


def test_the_shipped_file_holds_every_parameter_with_its_default() -> None:
    content = yaml.safe_load(resource_path("config/vision.yaml").read_text())["/**"]["ros__parameters"]
    flat: dict[str, object] = {}
    for key, value in content.items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    defaults = {name: item.default for name, item in ITEMS.items()}
    assert flat == {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}


def test_the_adapter_reaches_the_weights() -> None:
    with pytest.raises(AdapterWithoutBaseError, match="/nowhere: found a LoRA adapter for random weights"):
        load_encoder(VisionParameters(lora_adapter="/nowhere"), logger=None)


def test_every_parameter_is_described(setup: Setup) -> None:
    client = setup.probe.node.create_client(DescribeParameters, "vision_node/describe_parameters")
    setup.wait_for(client.service_is_ready, "the service")
    future = client.call_async(DescribeParameters.Request(names=list(ITEMS)))
    setup.wait_for(future.done, "the descriptions")
    for descriptor in future.result().descriptors:
        item = ITEMS[descriptor.name]
        assert descriptor.description
        assert ("Takes effect at configure" in descriptor.description) != item.metadata["live"]
        assert bool(descriptor.integer_range or descriptor.floating_point_range) == bool(item.metadata["range"])


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("output.dtype", "int8", "parameter output.dtype: found 'int8'; expected one of float16, bfloat16, float32"),
        ("max_frame_age", -1.0, "max_frame_age"),
        ("max_frame_age", float("nan"), "max_frame_age"),
        ("max_frame_age", "soon", "Wrong parameter type"),
        ("debug.rate", 0.0, "debug.rate"),
        ("log.level", "loud", "parameter log.level: found 'loud'; expected one of default, debug"),
        (
            "preset",
            "dinosiglip-224",
            "parameter preset takes effect at configure, and the node is configured; deactivate",
        ),
        ("image_path", "crop", "parameter image_path: found 'crop'; expected one of plain, omnivla, openvla,"),
        ("history.spacing", "1.5", "parameter history.spacing: found '1.5'; expected a number of frames such as '1'"),
        ("history.pool", "2", "parameter history.pool: found '2'; expected none, ROWSxCOLUMNS such as 8x8"),
        ("history.frames", 8, "takes effect at configure"),
        ("cameras", ["a", "b"], "takes effect at configure"),
        ("no_such", 1, "undeclared"),
    ],
)
def test_a_running_node_refuses(setup: Setup, name: str, value: object, reason: str) -> None:
    result = setup.control.set(name, value)
    assert not result.successful
    assert reason in result.reason


def test_live_parameters_change_the_next_message(setup: Setup, black: NDArray[np.uint8]) -> None:
    for number, (dtype, bits) in enumerate([("float32", 32), ("bfloat16", 16), ("float16", 16)]):
        assert setup.control.set("output.dtype", dtype).successful
        message = encode_one(setup.probe, frame(black, number))
        assert message.dtype_bits == bits
        assert len(message.data) == 512 * 1152 * bits // 8
    assert setup.control.set("log.level", "debug").successful
    assert setup.control.set("log.level", "default").successful
    assert setup.control.set("preset", "small").successful  # it is so already


def test_the_others_change_between_cleanup_and_configure(setup: Setup, black: NDArray[np.uint8]) -> None:
    assert setup.control.change_state(DEACTIVATE)
    setup.wait_for_closed_topics()
    assert not setup.control.set("preset", "dinosiglip-224").successful
    assert setup.control.change_state(CLEANUP)
    assert setup.control.set("preset", "dinosiglip-224").successful
    assert setup.control.change_state(CONFIGURE)
    assert setup.control.change_state(3)
    setup.wait_for_topics()
    assert list(encode_one(setup.probe, frame(black, 100)).shape) == [512, 2176]


def test_the_image_path_becomes_the_encoders() -> None:
    settings = VisionParameters(preset="small", engine="eager", image_path="openvla-crop")
    encoder = load_encoder(settings, logging.getLogger(__name__))
    assert encoder.provenance.preprocessing_id.startswith("crop-and-resize:0.9:224:bilinear|resize-naive:")


def test_misspelt_parameters_are_pointed_out(tmp_path: Path) -> None:
    with running(tmp_path / "log", connect=False, encode_ms=0, max_frame_agee=1.0, output__typ="x") as setup:
        setup.wait_for_state("active")
        log = setup.node.log.read_text()
    assert "parameter max_frame_agee is not one of this node's and has no effect; did you mean max_frame_age?" in log
    assert "parameter output.typ is not one of this node's" in log


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    params_file = tmp_path / "params.yaml"
    params_file.write_text("/**: {ros__parameters: {max_frame_age: 1, preset: small}}")
    with running(tmp_path / "log", connect=False, encode_ms=0, params_file=params_file) as setup:
        setup.wait_for_state("active")


def refused_start(tmp_path: Path, parameters: str | None) -> str:
    """What a node says that does not start because of its parameter file."""
    file = tmp_path / "params.yaml"
    if parameters is not None:
        file.write_text(parameters)
    result = subprocess.run(
        [sys.executable, *NODE, "--ros-args", "--params-file", str(file)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_tab_in_a_parameter_file(tmp_path: Path) -> None:
    said = refused_start(tmp_path, "/**:\n  ros__parameters:\n    preset: small\n\tmax_frame_age: 1.0\n")
    assert f"{tmp_path}/params.yaml, line 4: found a tab" in said
    assert "expected spaces" in said


@pytest.mark.parametrize("parameters", ["/**: [1, 2\n", None], ids=["cut off", "missing"])
def test_a_parameter_file_that_is_none(tmp_path: Path, parameters: str | None) -> None:
    assert f"{tmp_path}/params.yaml" in refused_start(tmp_path, parameters)
