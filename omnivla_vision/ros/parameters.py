"""The node's parameters: one typed declaration with descriptions, ranges and checks."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from omnivla_vision.engine.base import PRECISIONS
from omnivla_vision.engine.start import ENGINES
from omnivla_vision.errors import VisionError
from omnivla_vision.layout import FUSED, SPACES
from omnivla_vision.loading import EncoderOptions
from omnivla_vision.presets import DEFAULT_PRESET
from omnivla_vision.tokens import DTYPES


class InvalidParameterError(VisionError):
    """A parameter's value is not allowed."""


def _parameter(
    default: Any,
    description: str,
    *,
    name: str = "",
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    live: bool = False,
) -> Any:
    """A dataclass field that carries all there is to know of a parameter."""
    return field(
        default=default,
        metadata={
            "name": name,
            "description": description,
            "choices": choices,
            "range": None if minimum is None else (minimum, maximum),
            "live": live,
        },
    )


@dataclass(frozen=True, kw_only=True)
class VisionParameters:
    """Every parameter of the node. Live ones can change while it runs; the others take effect at configure."""

    autostart: bool = _parameter(True, "Configure and activate without waiting for a lifecycle manager.")
    checkpoint: str = _parameter("", "Folder or file of the weights, or hub:NAME; empty for random weights.")
    preset: str = _parameter("", f"Which encoders; empty: as the checkpoint says, {DEFAULT_PRESET} without one.")
    seed: int = _parameter(0, "Seed of the random weights.", minimum=0, maximum=2**31 - 1)
    space: str = _parameter(FUSED, "fused: the encoders' features; projected: behind the projector.", choices=SPACES)
    lora_alpha: float = _parameter(
        0.0, "Alpha of unmerged LoRA weights without an adapter_config.json; 0 for none.", minimum=0.0, maximum=4096.0
    )
    encoder_weights: str = _parameter("", "Where the encoders are, if the checkpoint was trained with frozen ones.")
    takes_goal: bool = _parameter(True, "Whether a goal's tokens follow the camera's; false for OpenVLA.")

    engine: str = _parameter("auto", "What runs the network.", choices=("auto", *ENGINES))
    precision: str = _parameter("auto", "What it computes in.", choices=("auto", *PRECISIONS))
    bundle_dir: str = _parameter("", "Where built engines are kept; empty for the user's cache.")
    read_only: bool = _parameter(False, "Use engines that are built; build none.")
    threads: int = _parameter(0, "CPU threads for the network; 0 lets torch decide.", minimum=0, maximum=256)
    output_dtype: str = _parameter(
        "float16", "Number format of the published tokens.", name="output.dtype", choices=tuple(DTYPES), live=True
    )


def parameter_name(item: Any) -> str:
    """The ROS name of a field of VisionParameters."""
    return item.metadata["name"] or item.name


def encoder_options(parameters: VisionParameters) -> EncoderOptions:
    """The parameters that the encoder depends on, which have its options' names."""
    names = {item.name for item in fields(EncoderOptions)} & {item.name for item in fields(VisionParameters)}
    return EncoderOptions(**{name: getattr(parameters, name) for name in names})


def declare(node: Node) -> None:
    """Declare every parameter on the node, with its description and range."""
    for item in fields(VisionParameters):
        node.declare_parameter(parameter_name(item), item.default, _descriptor(item))


def read(node: Node) -> VisionParameters:
    """The parameters' present values, checked.

    Raises:
        InvalidParameterError: a value is not allowed; the message names it and says what is.
    """
    values = {}
    for item in fields(VisionParameters):
        value = node.get_parameter(parameter_name(item)).value
        problem = check(item, value)
        if problem:
            raise InvalidParameterError(problem)
        values[item.name] = value
    return VisionParameters(**values)


def check_change(parameters: list[Parameter]) -> SetParametersResult:
    """Refuse bad values; rclpy then keeps the old ones."""
    known = {parameter_name(item): item for item in fields(VisionParameters)}
    for parameter in parameters:
        item = known.get(parameter.name)
        problem = check(item, parameter.value) if item is not None else ""
        if problem:
            return SetParametersResult(successful=False, reason=problem)
    return SetParametersResult(successful=True)


def with_live_changes(current: VisionParameters, changes: list[Parameter]) -> VisionParameters:
    """`current` with those of the changes that apply while the node runs; the others wait for the next configure."""
    live = {parameter_name(item): item.name for item in fields(VisionParameters) if item.metadata["live"]}
    return replace(current, **{live[change.name]: change.value for change in changes if change.name in live})


def check(item: Any, value: Any) -> str:
    """What is wrong with a value, as a sentence, or an empty string."""
    name, choices = parameter_name(item), item.metadata["choices"]
    if choices and value not in choices:
        return f"parameter {name}: found {value!r}; expected one of {', '.join(choices)}"
    if item.metadata["range"] is not None:
        low, high = item.metadata["range"]
        if not low <= value <= high:
            return f"parameter {name}: found {value!r}; expected {low} to {high}"
    return ""


def _descriptor(item: Any) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=item.metadata["description"], additional_constraints=", ".join(item.metadata["choices"])
    )
    if item.metadata["range"] is not None:
        low, high = item.metadata["range"]
        if isinstance(item.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
    return descriptor
