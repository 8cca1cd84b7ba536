"""Every parameter of the node: name, type, default, description, range, and when a change takes effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from omnivla_vision.engine.base import PRECISIONS
from omnivla_vision.engine.start import ENGINES
from omnivla_vision.images.raw import MAX_PIXELS
from omnivla_vision.network.history import MAX_FRAMES, UnknownSpacingError, get_spacing
from omnivla_vision.network.image_paths import IMAGE_PATHS
from omnivla_vision.network.outputs import UnknownPoolingError, get_pooling
from omnivla_vision.network.presets import DEFAULT_PRESET, PRESETS
from omnivla_vision.tokens.layout import FUSED, SPACES, camera_names_problem
from omnivla_vision.tokens.packing import DTYPES
from omnivla_vision.weights import DISTRIBUTIONS, PLAIN

LATCHED, APPROXIMATE, EXACT = "latched", "approximate", "exact"
RAW, COMPRESSED = "raw", "compressed"


def _parameter(
    default: Any,
    description: str,
    *,
    name: str = "",
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    check: Callable[[Any], str] | None = None,
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
            "check": check,
            "live": live,
        },
    )


def _check_preset(name: Any) -> str:
    if name in ("", *PRESETS) or name.startswith("timm:"):
        return ""
    return f"one of {', '.join(PRESETS)}, or timm:ID[+ID]"


def _check_spacing(name: Any) -> str:
    try:
        if name:
            get_spacing(name)
    except UnknownSpacingError:
        return "a number of frames such as '1' or '5', or seconds such as '0.5s'"
    return ""


def _check_pooling(name: Any) -> str:
    try:
        if name:
            get_pooling(name)
    except UnknownPoolingError:
        return "none, ROWSxCOLUMNS such as 8x8, shuffle:K such as shuffle:4, or class"
    return ""


@dataclass(frozen=True, kw_only=True)
class VisionParameters:
    """Every parameter of the node. Live ones can change while it runs; the others take effect at configure."""

    autostart: bool = _parameter(True, "Configure and activate without waiting for a lifecycle manager.")

    checkpoint: str = _parameter("", "Folder or file of the weights, or hub:NAME; empty for random weights.")
    preset: str = _parameter(
        "", f"Which encoders; empty: as the checkpoint says, {DEFAULT_PRESET} without one.", check=_check_preset
    )
    seed: int = _parameter(0, "Seed of the random weights.", minimum=0, maximum=2**31 - 1)
    weights: str = _parameter(
        PLAIN, "Random weights: benign, or with the outliers of real networks.", choices=DISTRIBUTIONS
    )
    space: str = _parameter(FUSED, "fused: the encoders' features; projected: behind the projector.", choices=SPACES)
    lora_alpha: float = _parameter(
        0.0, "Alpha of unmerged LoRA weights without an adapter_config.json; 0 for none.", minimum=0.0, maximum=4096.0
    )
    lora_adapter: str = _parameter(
        "", "Folder of a LoRA adapter, as PEFT saves it, to merge into the checkpoint; empty for none."
    )
    encoder_weights: str = _parameter("", "Where the encoders are, if the checkpoint was trained with frozen ones.")
    image_path: str = _parameter(
        "",
        "What the policy's own code does to its images first; empty: as is assumed of the checkpoint, or the preset's.",
        check=lambda name: "" if name in ("", *IMAGE_PATHS) else f"one of {', '.join(IMAGE_PATHS)}",
    )
    region: str = _parameter(
        "",
        "x,y,width,height in fractions: what of each image is looked at; or NAME=... of some, separated by semicolons.",
    )
    mask: str = _parameter(
        "",
        "PNG of the camera's size, white where the robot's own body is; or NAME=... of some, separated by semicolons.",
    )
    takes_goal: bool = _parameter(True, "Whether a goal's tokens follow the cameras'; false for OpenVLA.")

    history_frames: int = _parameter(
        -1,
        "Past frames whose tokens a message holds, too; -1: as the preset says, none for most.",
        name="history.frames",
        minimum=-1,
        maximum=MAX_FRAMES,
    )
    history_spacing: str = _parameter(
        "",
        "How far apart past frames are: 1, 5, ... encoded frames, or 0.5s by stamps; empty: as the preset says, or 1.",
        name="history.spacing",
        check=_check_spacing,
    )
    history_tolerance: float = _parameter(
        0.0,
        "Seconds that a past frame may be off its moment, of a spacing in seconds; 0: half of the spacing.",
        name="history.tolerance",
        minimum=0.0,
        maximum=5000.0,
    )
    history_pool: str = _parameter(
        "",
        "How past frames are pooled: none, 8x8, shuffle:2, ...; empty: 2x2, or as the preset says.",
        name="history.pool",
        check=_check_pooling,
    )

    engine: str = _parameter("auto", "What runs the network.", choices=("auto", *ENGINES))
    precision: str = _parameter("auto", "What it computes in.", choices=("auto", *PRECISIONS))
    bundle_dir: str = _parameter("", "Where built engines are kept; empty for the user's cache.")
    read_only: bool = _parameter(False, "Use engines that are built; build none.")
    gate_tolerance: float = _parameter(
        1.0,
        "Accept engines up to so many times the gate's limits; above 1 only if you have measured your own task.",
        name="gate.tolerance",
        minimum=1.0,
        maximum=100.0,
    )
    threads: int = _parameter(0, "CPU threads for the network; 0 lets torch decide.", minimum=0, maximum=256)

    cameras: tuple[str, ...] = _parameter(
        ("current",),
        "One name: its images come on image_raw. Several: on <name>/image_raw each, paired by time, one message.",
        check=camera_names_problem,
    )
    image_transport: str = _parameter(
        RAW, "raw: sensor_msgs/Image; compressed: CompressedImage on <topic>/compressed.", choices=(RAW, COMPRESSED)
    )
    goal_image_transport: str = _parameter(RAW, "The same for goal_image.", choices=(RAW, COMPRESSED))
    goal_image_path: str = _parameter("", "Image file of a goal to start with; empty for none.")
    goal_sequence_path: str = _parameter(
        "", "Folder of images 0.png, 1.png, ..., or a bag, as goals one after the other; empty for none.", live=True
    )
    goal_sequence_spacing: float = _parameter(
        2.0,
        "Seconds from one goal to the next in a bag; read when goal_sequence_path is set.",
        name="goal_sequence.spacing",
        minimum=0.01,
        maximum=3600.0,
        live=True,
    )
    goal_sequence_window: int = _parameter(
        3,
        "Nodes before and behind the one in force that frames are compared with.",
        name="goal_sequence.window",
        minimum=0,
        maximum=100,
        live=True,
    )
    goal_sequence_advance: bool = _parameter(
        False,
        "Move on by itself when frames are like the next goal: a heuristic.",
        name="goal_sequence.advance",
        live=True,
    )
    goal_sequence_advance_similarity: float = _parameter(
        0.6,
        "How similar to the next goal a frame must be to count.",
        name="goal_sequence.advance_similarity",
        minimum=-1.0,
        maximum=1.0,
        live=True,
    )
    goal_sequence_advance_frames: int = _parameter(
        3,
        "How many such frames in a row move on.",
        name="goal_sequence.advance_frames",
        minimum=1,
        maximum=1000,
        live=True,
    )
    goal_sequence_advance_hysteresis: float = _parameter(
        0.1,
        "By so much below must the similarity have been before the node moves on by itself once more.",
        name="goal_sequence.advance_hysteresis",
        minimum=0.0,
        maximum=2.0,
        live=True,
    )
    max_image_pixels: int = _parameter(
        MAX_PIXELS,
        "Images that claim more pixels are refused before anything is decoded.",
        minimum=1,
        maximum=2**31 - 1,
    )
    max_frame_age: float = _parameter(
        0.0, "Seconds; older frames are dropped. 0: no limit.", minimum=0.0, maximum=3600.0, live=True
    )

    pairing: str = _parameter(
        LATCHED,
        "latched: a goal holds until the next one; approximate, exact: every frame comes with a goal of its own stamp.",
        choices=(LATCHED, APPROXIMATE, EXACT),
    )
    pairing_slop: float = _parameter(
        0.05, "Seconds by which stamps that are paired approximately may differ.", minimum=0.0, maximum=10.0
    )

    output_pool: str = _parameter(
        "",
        "How each image's patches are pooled: ROWSxCOLUMNS, shuffle:K, class, none; empty: as the preset says.",
        name="output.pool",
        check=_check_pooling,
    )
    output_dtype: str = _parameter(
        "float16", "Number format of the published tokens.", name="output.dtype", choices=tuple(DTYPES), live=True
    )

    debug_rate: float = _parameter(
        5.0, "Debug pictures per second at most.", name="debug.rate", minimum=0.1, maximum=100.0, live=True
    )
    debug_height: int = _parameter(
        336, "Height of the debug pictures in pixels.", name="debug.height", minimum=64, maximum=2160, live=True
    )

    log_level: str = _parameter(
        "default",
        "default: as --log-level says.",
        name="log.level",
        choices=("default", "debug", "info", "warn", "error", "fatal"),
        live=True,
    )
    log_period: float = _parameter(
        5.0,
        "Seconds between log lines about refused images of the same source.",
        name="log.period",
        minimum=0.0,
        maximum=3600.0,
        live=True,
    )


def parameter_name(item: Any) -> str:
    """The ROS name of a field of VisionParameters."""
    return item.metadata["name"] or item.name


def problem_with(item: Any, value: Any) -> str:
    """What is wrong with a value of a field of VisionParameters, as a sentence, or an empty string."""
    name, choices, limits, check = parameter_name(item), *(item.metadata[k] for k in ("choices", "range", "check"))
    if choices and value not in choices:
        return f"parameter {name}: found {value!r}; expected one of {', '.join(choices)}"
    if limits is not None and not limits[0] <= value <= limits[1]:
        return f"parameter {name}: found {value!r}; expected {limits[0]} to {limits[1]}"
    expected = check(value) if check else ""
    return f"parameter {name}: found {value!r}; expected {expected}" if expected else ""
