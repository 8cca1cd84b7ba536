"""The demonstration behind `omnivla-vision demo`."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rclpy.utilities import get_rmw_implementation_identifier
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from omnivla_vision.msg import VisualTokens
from omnivla_vision.network.grid import Grid
from omnivla_vision.output_files import check_file, make_folder, write
from omnivla_vision.replay.decoding import BagFrame, read_images
from omnivla_vision.resources import resource_path
from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.drive.probe import NodeTimeoutError, Probe
from omnivla_vision.ros.messages import image_message, stamp_to_ns
from omnivla_vision.tokens.layout import GOAL
from omnivla_vision.tokens.outputs import output_shape, unpack_outputs
from omnivla_vision.tokens.packing import DTYPES
from omnivla_vision.tokens.pictures import save_png
from omnivla_vision.tokens.sheet import Shown, sheet
from omnivla_vision.transport.local import stay_on_this_machine
from omnivla_vision.transport.shipped import use_shipped_profile

CAMERA_TOPIC = "/camera/image_raw/compressed"
GOAL_TOPIC = "/goal_image/compressed"
# A name that no robot's topics have, so that a demo on a robot stays apart from what runs there.
NAMESPACE = "/omnivla_vision_demo"
# The first start builds the engine.
STARTUP_TIMEOUT_S = 600.0
DRAIN_TIMEOUT_S = 20.0


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """What came of the frames.

    Attributes:
        token_shape: of the whole tensor of a message, with a 1 in front.
        outputs: of each output the images, tokens of each and features of each.
        latency_ms: milliseconds from sending a frame to receiving its tokens.
    """

    preset: str
    frames_sent: int
    tokens_received: int
    frames_superseded: int
    frames_lost: int
    token_shape: list[int]
    outputs: dict[str, list[int]]
    dtype: str
    goal_encodes: int
    latency_ms: dict[str, float]
    encode_ms: dict[str, float]
    weights: str
    rmw: str


@dataclass(frozen=True)
class _SentFrame:
    frame: BagFrame
    stamp_ns: int


def run_demo(
    *, preset_name: str, distribution: str, seconds: float | None, json_file: Path | None, folder: Path
) -> int:
    """Play the sample drive and report; returns the exit code.

    Args:
        preset_name: which encoders the node runs.
        distribution: of their random weights.
        seconds: how long to play; the drive starts over when it is longer than that. None: the drive once.
        json_file: where to write the figures, if anywhere.
        folder: receives the picture and the node's log.

    Raises:
        NodeDiedError: the node ended by itself.
        NodeTimeoutError: the node did not come up in time.
        OutputError: a file cannot be written.
    """
    make_folder(folder)
    if json_file is not None:
        check_file(json_file)
    console = Console()
    drive = resource_path("resource/sample_drive")
    frames = list(read_images(drive, CAMERA_TOPIC))
    goal = next(read_images(drive, GOAL_TOPIC))
    stay_on_this_machine(os.environ)
    use_shipped_profile(os.environ)
    console.print(
        f"[bold]{preset_name}[/], [bold red]RANDOM WEIGHTS[/] ({distribution}): right shape, right speed, no meaning"
    )
    node = NodeProcess(
        parameters={
            "preset": preset_name,
            "weights": distribution,
            "bundle_dir": str(folder.resolve() / "engines"),
        },
        remappings=[f"__ns:={NAMESPACE}"],
        log=folder / "vision_node.log",
    )
    with node, Probe(namespace=NAMESPACE) as probe:
        with console.status("starting vision_node: making weights, warming up"):
            probe.wait_for(lambda: probe.connected, what="the node to come up", timeout_s=STARTUP_TIMEOUT_S, node=node)
        probe.goal.publish(image_message(goal.rgb, stamp_ns=time.time_ns(), frame_id=goal.frame_id))
        sent = _play(frames, seconds, probe, node, console)
        # Frames lost on the way never arrive: the report says how many.
        with console.status("waiting for the last tokens"), suppress(NodeTimeoutError):
            probe.wait_for(
                lambda: _settled(probe, len(sent)),
                what="every frame to be accounted for",
                timeout_s=DRAIN_TIMEOUT_S,
                node=node,
            )
        report = _report(preset_name, sent, probe)
        received = [message for _, message in probe.tokens]
    _show(console, report)
    if json_file is not None:
        write(json_file, json.dumps(asdict(report), indent=2) + "\n")
    if received:
        picture = folder / "tokens.png"
        _save_picture(picture, received, sent, goal)
        console.print(
            Text.assemble(
                (str(picture), "bold"), ": the last frame, the goal, and the principal components of their features"
            )
        )
    if report.frames_lost or not received:
        lost = f"{report.frames_lost} frames are not accounted for"
        console.print(Text.assemble((lost, "bold red"), f"; see {node.log}"))
        return 1
    return 0


def _play(
    frames: list[BagFrame], seconds: float | None, probe: Probe, node: NodeProcess, console: Console
) -> list[_SentFrame]:
    """Publish the frames at their recorded rate, stamped with the time of sending."""
    sent: list[_SentFrame] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    schedule = list(_schedule(frames, seconds))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(schedule))
        start = time.monotonic()
        for offset_s, frame in schedule:
            time.sleep(max(0.0, start + offset_s - time.monotonic()))
            node.check()
            stamp_ns = time.time_ns()
            sent.append(_SentFrame(frame, stamp_ns))
            probe.camera.publish(image_message(frame.rgb, stamp_ns=stamp_ns, frame_id=frame.frame_id))
            progress.update(task, advance=1, description=f"{len(sent)} frames sent, {len(probe.tokens)} tokens back")
    return sent


def _schedule(frames: list[BagFrame], seconds: float | None) -> Iterator[tuple[float, BagFrame]]:
    """Seconds since the start, and the frame to send then; the drive over and over until `seconds`."""
    period = (frames[-1].stamp_ns - frames[0].stamp_ns) / (len(frames) - 1) / 1e9
    for index, frame in enumerate(itertools.cycle(frames)):
        if (index >= len(frames)) if seconds is None else (index * period >= seconds):
            return
        yield index * period, frame


def _settled(probe: Probe, sent: int) -> bool:
    """Whether the node has seen every frame, has nothing left to do, and all its tokens have arrived."""
    counts = probe.diagnostics("frames")
    return (
        bool(counts)
        and int(counts["received"]) == sent
        and int(counts["in_flight"]) == 0
        and len(probe.tokens) >= int(counts["published"])
    )


def _report(preset_name: str, sent: list[_SentFrame], probe: Probe) -> DemoReport:
    counts, goal = probe.diagnostics("frames"), probe.diagnostics("goal")
    last = probe.tokens[-1][1] if probe.tokens else VisualTokens()
    latency = [arrival * 1e3 - stamp_to_ns(message.header.stamp) / 1e6 for arrival, message in probe.tokens]
    encode = [message.stage_ms[message.stage_names.index("encode")] for _, message in probe.tokens]
    superseded = int(counts["superseded"])
    return DemoReport(
        preset=preset_name,
        frames_sent=len(sent),
        tokens_received=len(probe.tokens),
        frames_superseded=superseded,
        frames_lost=len(sent) - len(probe.tokens) - superseded,
        token_shape=[1, *last.shape],
        outputs={output.name: list(output_shape(output)) for output in last.outputs},
        dtype=next((d.name for d in DTYPES.values() if (d.code, d.bits) == (last.dtype_code, last.dtype_bits)), ""),
        goal_encodes=int(goal["goal_encodes"]),
        latency_ms=_percentiles(latency),
        encode_ms=_percentiles(encode),
        weights=last.weights,
        rmw=get_rmw_implementation_identifier(),
    )


def _percentiles(samples: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(samples, q)), 1) for q in (50, 95, 99)} if samples else {}


def _show(console: Console, report: DemoReport) -> None:
    table = Table(title="omnivla_vision demo", show_header=False)
    for key, value in asdict(report).items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(key.replace("_", " "), Text(shown))
    console.print(table)


def _save_picture(path: Path, received: list[VisualTokens], sent: list[_SentFrame], goal: BagFrame) -> None:
    """The last frame that has tokens and the goal, above what every output makes of them."""
    last = received[-1]
    stamp = stamp_to_ns(last.header.stamp)
    images = {"current": next(item.frame.rgb for item in sent if item.stamp_ns == stamp)}
    if last.goal_valid:
        images[GOAL] = goal.rgb
    tokens = unpack_outputs(last)
    shown = [
        Shown(
            name=output.name,
            grid=Grid(output.grid_height, output.grid_width),
            tokens=dict(zip(output.image_names, tokens[output.name][..., : output.segment_widths[0]], strict=True)),
        )
        for output in last.outputs
    ]
    save_png(path, sheet(images, shown, cell=336))
