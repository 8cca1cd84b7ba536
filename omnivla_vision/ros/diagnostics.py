"""The node's health as diagnostic_msgs."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from omnivla_vision.encoder import Provenance
from omnivla_vision.worker import Health

OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN


def diagnostics(
    health: Health, provenance: Provenance, *, cameras: int, node_name: str, stamp: Time
) -> DiagnosticArray:
    """One status each for camera, frames, goal, engine and latency.

    Args:
        health: the worker's.
        provenance: the encoder's.
        cameras: how many publishers the camera subscription is connected to.
        node_name: fully qualified.
        stamp: now.
    """
    array = DiagnosticArray()
    array.header.stamp = stamp
    array.status = [
        _camera(health, cameras),
        _frames(health),
        _goal(health),
        _engine(provenance),
        _latency(health),
    ]
    for status in array.status:
        status.name = f"{node_name}: {status.name}"
        status.hardware_id = node_name
    return array


def _camera(health: Health, cameras: int) -> DiagnosticStatus:
    if not cameras:
        return _status("camera", WARN, "nobody publishes camera images to this node", {"publishers": cameras})
    message = "receiving images" if health.counts.received else "waiting for the first image"
    return _status("camera", OK, message, {"publishers": cameras})


def _frames(health: Health) -> DiagnosticStatus:
    counts = asdict(health.counts)
    bad = health.counts.rejected + health.counts.failed
    message = f"{bad} frames lost; the last error: {health.last_error}" if bad else "every frame is accounted for"
    return _status("frames", WARN if bad else OK, message, counts)


def _goal(health: Health) -> DiagnosticStatus:
    values = {
        "id": health.goal.id if health.goal else "",
        "goal_encodes": health.goal_encodes,
        "rejected": health.goals_rejected,
    }
    message = "goal set" if health.goal else "no goal: its tokens are zeros and goal_valid is false"
    return _status("goal", OK, message, values)


def _engine(provenance: Provenance) -> DiagnosticStatus:
    random = provenance.weights == "random"
    message = "RANDOM WEIGHTS: the tokens mean nothing" if random else provenance.notice or "running"
    return _status("engine", WARN if random or provenance.notice else OK, message, asdict(provenance))


def _latency(health: Health) -> DiagnosticStatus:
    values: dict[str, object] = {}
    for name in health.stage_ms[-1] if health.stage_ms else ():
        samples = [timings[name] for timings in health.stage_ms if name in timings]
        p50, p95 = np.percentile(samples, [50, 95])
        values |= {f"{name} p50": f"{p50:.2f}", f"{name} p95": f"{p95:.2f}", f"{name} max": f"{max(samples):.2f}"}
    return _status("latency", OK, f"milliseconds over the last {len(health.stage_ms)} frames", values)


def _status(name: str, level: bytes, message: str, values: dict[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)
