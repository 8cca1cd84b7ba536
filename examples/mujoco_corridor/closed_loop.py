"""Simulator, vision node and demonstration controller as one closed loop: what `omnivla-vision sim` runs."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controller import ARRIVED, steer
from corridor import Corridor
from geometry_msgs.msg import Twist
from omnivla_vision.msg import VisualTokens
from rclpy.serialization import serialize_message
from rich.console import Console
from simulator import RELIABLE, Simulator

from omnivla_vision.output_files import make_folder
from omnivla_vision.replay.token_bag import TokenBag
from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.drive.probe import NodeTimeoutError, Probe
from omnivla_vision.tokens import unpack_outputs
from omnivla_vision.transport.local import stay_on_this_machine
from omnivla_vision.transport.shipped import use_shipped_profile

NAMESPACE = "/corridor"
STARTUP_TIMEOUT_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a run: simulated seconds, metres to the goal, and the similarity of the last view to it."""

    simulated_s: float
    wall_s: float
    frames: int
    tokens: int
    start_distance_m: float
    final_distance_m: float
    similarity: float
    arrived: bool
    weights: str


class Loop:
    """The controller between tokens and cmd_vel, and the simulator beneath; one thread calls `spin_once`.

    Attributes:
        simulator: to pause, reset, or change its speed.
        stamps_ns: of the tokens so far, in the order of arrival.
    """

    def __init__(self, corridor: Corridor, probe: Probe, *, token_bag: TokenBag | None = None) -> None:
        self._probe = probe
        self._token_bag = token_bag
        self.simulator = Simulator(corridor, probe.node, record=self._record)
        self.stamps_ns: list[int] = []
        self.similarity = -1.0
        self.weights = ""
        self._commands = probe.node.create_publisher(Twist, "cmd_vel", RELIABLE)

    def spin_once(self) -> None:
        """One tick of the simulation; a command for every token message that came meanwhile."""
        self.simulator.spin_once()
        while self._probe.tokens:
            self._control(self._probe.tokens.pop(0)[1])

    def _control(self, message: VisualTokens) -> None:
        self._record(f"{NAMESPACE}/vision_node/tokens", message)
        self.stamps_ns.append(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)
        self.weights = message.weights
        if not message.goal_valid:
            return
        # Of the first output, [images, tokens, width]; the goal is the last of the images.
        tokens = next(iter(unpack_outputs(message).values()))[..., : message.segment_widths[0]]
        command = steer(tokens[0], tokens[-1], message.grid_width)
        self.similarity = command.similarity
        twist = Twist()
        twist.linear.x, twist.angular.z = command.forward, command.turn
        self._commands.publish(twist)
        self._record(self._commands.topic_name, twist)

    def _record(self, topic: str, message: Any) -> None:
        if self._token_bag is not None:
            package, name = type(message).__module__.split(".")[0], type(message).__name__
            # By the wall clock: a reset sets the simulated one back.
            self._token_bag.write(topic, f"{package}/msg/{name}", time.time_ns(), serialize_message(message))


def run(
    *,
    node_parameters: dict[str, object],
    seconds: float,
    rate: float,
    headless: bool,
    record: Path | None,
    out: Path,
    as_json: bool,
) -> int:
    """Close the loop for `seconds` of simulated time; returns the exit code: 0 only if tokens came back."""
    stay_on_this_machine(os.environ)
    use_shipped_profile(os.environ)
    console = Console(stderr=True, highlight=False)
    console.print("The controller is a demonstration of the wiring, not a policy.")
    make_folder(out)
    corridor = Corridor()
    with ExitStack() as stack:
        stack.callback(corridor.close)
        node = stack.enter_context(start_node(out / "vision_node.log", node_parameters))
        probe = stack.enter_context(Probe(namespace=NAMESPACE))
        token_bag = None if record is None else stack.enter_context(TokenBag(record))
        loop = Loop(corridor, probe, token_bag=token_bag)
        loop.simulator.rate = rate
        window = None if headless else stack.enter_context(_window(corridor, loop.simulator))
        with console.status("starting vision_node"):
            wait_for_node(loop, probe, node)
        begun_ns, begun_s = loop.simulator.now_ns, time.monotonic()
        start = corridor.distance
        while loop.simulator.now_ns < begun_ns + seconds * 1e9:
            loop.spin_once()
            node.check()
            if window is not None:
                if not window.is_running():
                    break
                window.sync()
        outcome = Outcome(
            simulated_s=round((loop.simulator.now_ns - begun_ns) / 1e9, 2),
            wall_s=round(time.monotonic() - begun_s, 2),
            frames=loop.simulator.frames,
            tokens=len(loop.stamps_ns),
            start_distance_m=round(start, 3),
            final_distance_m=round(corridor.distance, 3),
            similarity=round(loop.similarity, 3),
            arrived=loop.similarity >= ARRIVED,
            weights=loop.weights,
        )
    if as_json:
        print(json.dumps(asdict(outcome), indent=2))
    else:
        Console(highlight=False).print("\n".join(f"{name}: {value}" for name, value in asdict(outcome).items()))
    return 0 if outcome.tokens else 1


def start_node(log: Path, parameters: dict[str, object]) -> NodeProcess:
    """The vision node on simulated time."""
    return NodeProcess(parameters={**parameters, "use_sim_time": True}, remappings=[f"__ns:={NAMESPACE}"], log=log)


def wait_for_node(loop: Loop, probe: Probe, node: NodeProcess) -> None:
    """Let the simulation run, the robot standing, until the first tokens arrive; then the node listens to everything.

    Raises:
        NodeTimeoutError: none came.
    """
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while not loop.stamps_ns:
        loop.spin_once()
        node.check()
        if time.monotonic() > deadline:
            raise NodeTimeoutError(f"waited {STARTUP_TIMEOUT_S:.0f} s in vain for tokens; see {node.log}")


def _window(corridor: Corridor, simulator: Simulator) -> Any:
    """MuJoCo's viewer. Space pauses, R resets, + and - change the speed."""
    import mujoco.viewer

    def on_key(key: int) -> None:
        if key == ord(" "):
            simulator.paused = not simulator.paused
        elif key == ord("R"):
            simulator.reset()
        elif key in (ord("="), ord("-")):
            simulator.rate = min(8.0, max(0.125, simulator.rate * (2.0 if key == ord("=") else 0.5)))

    return mujoco.viewer.launch_passive(corridor.model, corridor.data, key_callback=on_key)
