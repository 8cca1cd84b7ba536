"""The node's health as statuses: a level, a sentence, and the figures behind it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticStatus

from omnivla_vision.goal_sequence.follower import Position
from omnivla_vision.live.frames import Health
from omnivla_vision.live.memory import resident_bytes
from omnivla_vision.ros.image_topic import ImageTopic
from omnivla_vision.ros.lifecycle import ACTIVE
from omnivla_vision.tokens.provenance import Provenance
from omnivla_vision.transport.finding import Transport

OK, WARN, ERROR, STALE = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE
# A camera that was there and has been silent for so long is reported.
SILENCE_S = 2.0
NAMES = ("node", "camera", "frames", "goal", "engine", "latency", "transport")
STAGES = ("receive", "wait", "decode", "preprocess", "goal", "encode", "pack", "publish")


@dataclass(frozen=True)
class Status:
    """One line of the report."""

    name: str
    level: bytes
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that the report is made of. Before configure there is no health and no provenance.

    `goal` is the topic of goals that hold until the next one, `sequence` where the robot is on a sequence of them, and
    `sequence_problem` why another one was refused; `namesakes` counts other nodes of the same name.
    """

    state: str
    problem: str
    health: Health | None
    provenance: Provenance | None
    cameras: Sequence[ImageTopic]
    goal: ImageTopic | None
    namesakes: int
    max_frame_age_s: float
    transport: Transport
    message_bytes: int
    sequence: Position = field(default_factory=Position)
    sequence_problem: str = ""


def report(snapshot: Snapshot) -> list[Status]:
    """One status of each of NAMES, in that order."""
    health, provenance = snapshot.health, snapshot.provenance
    if health is None or provenance is None:
        idle = [Status(name, OK, f"nothing to report: the node is {snapshot.state}") for name in NAMES[1:-1]]
        return [_node(snapshot), *idle, _transport(snapshot)]
    return [
        _node(snapshot),
        _camera(snapshot, health),
        _frames(health),
        _goal(snapshot, health),
        _engine(provenance),
        _latency(health),
        _transport(snapshot),
    ]


def _node(snapshot: Snapshot) -> Status:
    values = {"state": snapshot.state, "resident_mb": resident_bytes() >> 20}
    if snapshot.problem:
        return Status("node", ERROR, f"{snapshot.state}: {snapshot.problem}", values)
    if snapshot.namesakes:
        message = (
            f"{snapshot.state}; found {snapshot.namesakes} more of this node's name: requests and parameters may reach "
            "any of them; give each its own with __node or __ns (one that was killed is listed for a while)"
        )
        return Status("node", WARN, message, values)
    return Status("node", OK, snapshot.state, values)


def _camera(snapshot: Snapshot, health: Health) -> Status:
    now = time.monotonic()
    values: dict[str, object] = {"publishers": min((camera.publishers for camera in snapshot.cameras), default=0)}
    for camera in snapshot.cameras:
        values[f"{camera.topic} publishers"] = camera.publishers
        values[f"{camera.topic} received"] = camera.arrivals.total
        values[f"{camera.topic} rate_hz"] = f"{camera.arrivals.rate_hz(now):.1f}"
        if camera.arrivals.age_s is not None:
            values[f"{camera.topic} age_s"] = f"{camera.arrivals.age_s:.3f}"
    state, level, message = _camera_state(snapshot, health, now)
    return Status("camera", level, message, {"state": state, **values})


def _camera_state(snapshot: Snapshot, health: Health, now: float) -> tuple[str, bytes, str]:
    if snapshot.state != ACTIVE:
        return "waiting", OK, f"not listening: the node is {snapshot.state}"
    for camera in snapshot.cameras:
        if camera.unheard and not camera.publishers:
            return "incompatible", ERROR, _unheard(camera)
    if health.camera_problem:
        return "rejected", ERROR, health.camera_problem
    for camera in snapshot.cameras:
        silence, age = camera.arrivals.silence_s(now), camera.arrivals.age_s or 0.0
        if silence is None:
            return "waiting", WARN, _why_nothing_came(camera, snapshot.transport)
        if silence > SILENCE_S:
            return "stale", STALE, f"{camera.topic}: no image for {silence:.0f} s"
        if snapshot.max_frame_age_s and age > snapshot.max_frame_age_s:
            message = f"{camera.topic}: images arrive {age:.1f} s old, more than max_frame_age; do the clocks agree?"
            return "stale", STALE, message
    unheard = [_unheard(camera) for camera in snapshot.cameras if camera.unheard]
    if unheard:
        return "active", WARN, "receiving images; but " + "; ".join(unheard)
    return "active", OK, "receiving images"


def _unheard(topic: ImageTopic) -> str:
    return f"{topic.topic}: {'; '.join(sorted(set(topic.unheard)))}"


def _why_nothing_came(camera: ImageTopic, transport: Transport) -> str:
    if not camera.publishers:
        return f"nobody publishes {camera.topic}; remap it to the camera's topic"
    return f"{camera.topic} has a publisher, and no image came yet; if it does send, {transport.silent_publisher}"


def _frames(health: Health) -> Status:
    counts = asdict(health.counts)
    bad = health.counts.rejected + health.counts.failed
    message = f"{bad} frames lost; the last error: {health.last_error}" if bad else "every frame is accounted for"
    return Status("frames", WARN if bad else OK, message, counts)


def _goal(snapshot: Snapshot, health: Health) -> Status:
    goal, topic, position = health.goal, snapshot.goal, snapshot.sequence
    values: dict[str, object] = {
        "id": goal.id if goal else "",
        "size": f"{goal.width}x{goal.height}" if goal else "",
        "goal_encodes": health.goal_encodes,
        "rejected": health.goals_rejected,
    }
    if topic is not None:
        values[f"{topic.topic} publishers"] = topic.publishers
    if position.sequence is not None:
        values |= {"sequence": position.sequence.path, "index": position.index, "number": position.number}
        values |= {"node": position.name, "source": position.source}
    problem = snapshot.sequence_problem and f"goal sequence refused, the one before stays: {snapshot.sequence_problem}"
    problems = [health.goal_problem, problem, _unheard(topic) if topic is not None and topic.unheard else ""]
    if any(problems):
        return Status("goal", WARN, "; ".join(filter(None, problems)), values)
    return Status("goal", OK, "goal set" if goal else "no goal: its tokens are zeros and goal_valid is false", values)


def _engine(provenance: Provenance) -> Status:
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    values = asdict(provenance) | {"device": torch.cuda.get_device_name() if on_gpu else "cpu"}
    if on_gpu:
        values["device_memory_mb"] = torch.cuda.memory_allocated() >> 20
    random = provenance.weights == "random"
    warnings = [*(["RANDOM WEIGHTS: the tokens mean nothing"] if random else []), *filter(None, [provenance.notice])]
    return Status("engine", WARN if warnings else OK, "; ".join(warnings) or "running", values)


def _latency(health: Health) -> Status:
    values: dict[str, object] = {}
    for name in STAGES:
        samples = [timings[name] for timings in health.stage_ms if name in timings]
        if samples:
            p50, p95 = np.percentile(samples, [50, 95])
            values |= {f"{name} p50": f"{p50:.2f}", f"{name} p95": f"{p95:.2f}", f"{name} max": f"{max(samples):.2f}"}
    return Status("latency", OK, f"milliseconds over the last {len(health.stage_ms)} frames", values)


def _transport(snapshot: Snapshot) -> Status:
    transport = snapshot.transport
    values = {"middleware": transport.rmw, "message_bytes": snapshot.message_bytes, **transport.values}
    return Status("transport", WARN if transport.advice else OK, transport.sentence, values)
