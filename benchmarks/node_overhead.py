"""What the node costs apart from its network: latency, lost messages, CPU time per frame, memory over time.

    .venv/bin/python benchmarks/node_overhead.py --json benchmarks/results/node_overhead.json
    .venv/bin/python benchmarks/node_overhead.py --seconds 600        # the soak
    .venv/bin/python benchmarks/node_overhead.py --history 31 --goals 100 --json benchmarks/results/node_more.json

The network is replaced by a constant (constant_node.py), the tokens have OmniVLA's size (float16 [512, 2176], 2.2 MB),
the camera is a process of its own that sends VGA rgb8 at 30 Hz, best effort. Then a plain node (plain_node.py) gets the
same. All of it on this machine, with the shipped Fast DDS profile.

With --history and --goals, or one of them, the node runs without and with past frames and a sequence of goals whose
status is read, in turns, and nothing else is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from goal_sequence import write_route
from omnivla_vision.msg import GoalSequenceStatus, VisualTokens
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Float32MultiArray

from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.drive.probe import Probe
from omnivla_vision.ros.messages import image_message, stamp_to_ns
from omnivla_vision.ros.qos import latched
from omnivla_vision.transport.local import stay_on_this_machine
from omnivla_vision.transport.shipped import use_shipped_profile

HERE = Path(__file__).parent
RATE_HZ = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Resident set of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    return {
        "cpu": cpu.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
    }


def percentiles(samples: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the highest of some milliseconds."""
    values = {f"p{q}": float(np.percentile(samples, q)) for q in (50, 95, 99)} | {"max": max(samples)}
    return {name: round(value, 2) for name, value in values.items()}


def start_camera(namespace: str, seconds: float) -> subprocess.Popen[bytes]:
    """A camera in a process of its own: what it spends is not the node's."""
    return subprocess.Popen([sys.executable, str(HERE / "camera.py"), namespace, str(RATE_HZ), str(seconds)])


def drift_mb_per_min(memory: list[tuple[float, float]]) -> float | None:
    """Slope of the resident set after the first minute, by least squares; None for shorter runs."""
    late = [(t, mb) for t, mb in memory if t >= 60]
    if len(late) < 30:
        return None
    times, sizes = np.array(late).T
    return round(float(np.polyfit(times / 60, sizes, 1)[0]), 3)


def by_minute(memory: list[tuple[float, float]]) -> list[float]:
    """The median resident set of every minute: a leak climbs, a heap that settles does not."""
    minutes = range(int(memory[-1][0] // 60) + 1)
    return [round(float(np.median([mb for t, mb in memory if t // 60 == minute])), 1) for minute in minutes]


def measure(
    node: NodeProcess,
    probe: Probe,
    namespace: str,
    seconds: float,
    received: list[Any],
    counted: Any,
    *,
    one_goal: bool = True,
) -> dict[str, Any]:
    """Play the camera and watch the node; the first two seconds warm up. `one_goal` sends it a goal image first."""
    probe.wait_for(lambda: probe.goal.get_subscription_count() > 0, what="the node", timeout_s=120, node=node)
    if one_goal:
        goal = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
        probe.goal.publish(image_message(goal, stamp_ns=1, frame_id="goal"))
    time.sleep(2)
    camera = start_camera(namespace, seconds)
    memory: list[tuple[float, float]] = []
    began, spent = time.monotonic(), cpu_s(node.pid)
    while camera.poll() is None:
        time.sleep(1)
        memory.append((time.monotonic() - began, resident_mb(node.pid)))
        node.check()
    time.sleep(2)
    spent = cpu_s(node.pid) - spent
    sent = round(RATE_HZ * seconds)
    return {
        "seconds": seconds,
        "frames_sent": sent,
        "messages_received": len(received),
        "lost": sent - len(received),
        "cpu_ms_per_frame": round(spent / max(1, counted()) * 1e3, 2),
        "resident_mb": {"first": round(memory[0][1], 1), "last": round(memory[-1][1], 1)},
        "resident_mb_each_minute": by_minute(memory),
        "resident_drift_mb_per_min": drift_mb_per_min(memory),
    }


def measure_ours(seconds: float, folder: Path, parameters: dict[str, object] | None = None) -> dict[str, Any]:
    """The real node around a constant; `parameters` on top of its defaults."""
    namespace, overhead = "/overhead_ours", folder / "overhead.txt"
    node = NodeProcess(
        parameters={"preset": "dinosiglip-224", **(parameters or {})},
        remappings=[f"__ns:={namespace}"],
        log=folder / "ours.log",
        program=(str(HERE / "constant_node.py"), "--overhead", str(overhead)),
    )
    with node, Probe(namespace=namespace) as probe:
        received: list[tuple[float, dict[str, float], int]] = []

        def keep(arrived_s: float, message: VisualTokens) -> None:
            latency_s = arrived_s - stamp_to_ns(message.header.stamp) / 1e9
            stages_ms = dict(zip(message.stage_names, message.stage_ms, strict=True))
            received.append((latency_s, stages_ms, len(message.data)))

        probe.keep_tokens(keep)
        follows = "goal_sequence_path" in (parameters or {})
        if follows:  # nothing is compared with the nodes unless somebody reads of it
            status = "vision_node/goal_sequence/status"
            probe.node.create_subscription(GoalSequenceStatus, status, lambda message: None, latched())
        result = measure(node, probe, namespace, seconds, received, lambda: len(received), one_goal=not follows)
        stages = [timings for _, timings, _ in received]
        result["message_bytes"] = received[-1][2]
        # A message cannot tell how long publishing it took: the diagnostics can.
        latency = probe.diagnostics("latency").items()
        publish = {key.removeprefix("publish "): float(ms) for key, ms in latency if key.startswith("publish ")}
        result["overhead_ms"] = percentiles([float(line) for line in overhead.read_text().split()])
        result["publish_ms"] = publish
        result["end_to_end_ms"] = percentiles([latency * 1e3 for latency, _, _ in received])
        result["stages_p50_ms"] = {n: round(float(np.median([s[n] for s in stages])), 3) for n in stages[-1]}
        result["counts"] = probe.diagnostics("frames")
        # A frame that a newer one replaced, after a stall of this machine, arrived: it is counted, not lost.
        result["lost"] -= int(result["counts"]["superseded"])
    return result


def measure_plain(seconds: float, folder: Path) -> dict[str, Any]:
    """The same for the plain node."""
    namespace, program = "/overhead_plain", (str(HERE / "plain_node.py"),)
    node = NodeProcess(parameters={}, remappings=[f"__ns:={namespace}"], log=folder / "plain.log", program=program)
    with node, Probe(namespace=namespace) as probe:
        received: list[None] = []
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        probe.node.create_subscription(
            Float32MultiArray, "plain_node/tokens", lambda message: received.append(None), reliable, raw=True
        )
        return measure(node, probe, namespace, seconds, received, lambda: len(received))


def measure_pairs(
    parameters: dict[str, object], pairs: int, seconds: float, folder: Path
) -> dict[str, list[dict[str, Any]] | dict[str, Any]]:
    """The node without and with some parameters in turns, and how much longer a frame takes with them.

    A machine that others use, too, is quick in one minute and slow in the next: pairs of neighbours tell, and among
    several of them the median.
    """
    without, with_them = [], []
    for _ in range(pairs):
        without.append(measure_ours(seconds, folder))
        with_them.append(measure_ours(seconds, folder, parameters))
    more = {
        name: [
            round(b["overhead_ms"][name] - a["overhead_ms"][name], 2) for a, b in zip(without, with_them, strict=True)
        ]
        for name in ("p50", "p99")
    }
    return {
        "parameters": parameters,
        "more_overhead_ms": {**more, **{f"median {name}": float(np.median(values)) for name, values in more.items()}},
        "without": without,
        "with": with_them,
    }


def main() -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long our node is watched (%(default)s)")
    parser.add_argument("--plain-seconds", type=float, default=10.0, help="how long the plain one is (%(default)s)")
    parser.add_argument("--history", type=int, metavar="N", help="measure what N past frames cost")
    parser.add_argument("--goals", type=int, metavar="N", help="measure what a sequence of N goals costs")
    parser.add_argument("--pairs", type=int, default=5, help="runs without and with them (%(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    stay_on_this_machine(os.environ)
    use_shipped_profile(os.environ)
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    report: dict[str, Any] = {"machine": machine(), "camera": f"640x480 rgb8, {RATE_HZ} Hz, best effort"}
    if arguments.history or arguments.goals:
        with tempfile.TemporaryDirectory() as route:
            more: dict[str, object] = {}
            if arguments.history:
                more["history.frames"] = arguments.history
            if arguments.goals:
                write_route(Path(route), arguments.goals)
                more |= {"goal_sequence_path": route, "bundle_dir": f"{route}/kept"}
            report |= measure_pairs(more, arguments.pairs, arguments.seconds, folder)
    else:
        report["node"] = measure_ours(arguments.seconds, folder)
        if arguments.plain_seconds:
            report["plain_node"] = measure_plain(arguments.plain_seconds, folder)
            ratio = report["node"]["cpu_ms_per_frame"] / report["plain_node"]["cpu_ms_per_frame"]
            report["cpu_per_frame_ours_over_plain"] = round(ratio, 3)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
