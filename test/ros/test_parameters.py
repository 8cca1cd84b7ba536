"""Parameters: the shipped file is complete, bad values are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import pytest
import rclpy
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from omnivla_vision.resources import resource_path
from omnivla_vision.ros import parameters
from omnivla_vision.ros.parameters import InvalidParameterError, VisionParameters


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("parameters", context=context)
    parameters.declare(node)
    yield node
    node.destroy_node()
    context.shutdown()


def test_the_shipped_file_holds_every_parameter_with_its_default() -> None:
    content = yaml.safe_load(resource_path("config/vision.yaml").read_text())["/**"]["ros__parameters"]
    flat = {}
    for key, value in content.items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    assert flat == {parameters.parameter_name(item): item.default for item in fields(VisionParameters)}


def test_defaults_are_valid_and_described(node: Node) -> None:
    assert parameters.read(node) == VisionParameters()
    for item in fields(VisionParameters):
        assert node.describe_parameter(parameters.parameter_name(item)).description


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("engine", "tensorflow", "parameter engine: found 'tensorflow'; expected one of auto, eager"),
        ("output.dtype", "int8", "expected one of float16, bfloat16, float32"),
    ],
)
def test_bad_values_are_refused_with_the_allowed_ones(node: Node, name: str, value: object, match: str) -> None:
    change = [Parameter(name, value=value)]
    result = parameters.check_change(change)
    assert not result.successful
    assert match in result.reason
    node.set_parameters(change)
    with pytest.raises(InvalidParameterError, match=match):
        parameters.read(node)


def test_ranges_are_refused_by_rclpy_itself(node: Node) -> None:
    (result,) = node.set_parameters([Parameter("threads", value=-1)])
    assert not result.successful
    assert node.get_parameter("threads").value == 0


def test_only_live_parameters_change_a_running_node() -> None:
    changes = [Parameter("output.dtype", value="float32"), Parameter("preset", value="small")]
    changed = parameters.with_live_changes(VisionParameters(), changes)
    assert changed == VisionParameters(output_dtype="float32")
