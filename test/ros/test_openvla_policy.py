"""A policy on the node's tokens: the port, and the example that drives a robot, over DDS."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Path as Waypoints
from numpy.typing import NDArray
from omnivla_vision.msg import VisualTokens
from std_msgs.msg import String

from omnivla_vision.policy import (
    NoGoalError,
    Port,
    RandomWeightsError,
    WrongImagesError,
    WrongPreprocessingError,
    WrongSpaceError,
    WrongWeightsError,
    attach,
    expect,
)
from omnivla_vision.policy.velocity import towards
from omnivla_vision.ros.messages import image_message, ns_to_stamp
from test.policy.folder import CODE, LLM_WIDTH, hidden_states, load_policy, make_part, pixels, tokenizer, write_policy
from test.ros.conftest import TIMEOUT_S, Setup, encode_one, frame, running

EXAMPLE = Path(__file__).parents[2] / "examples" / "openvla_policy.py"
NAMESPACE = "/driven"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def driven(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A node that runs the policy's checkpoint."""
    log = tmp_path_factory.mktemp("node") / "log"
    torch.set_num_threads(1)  # as the node: only then is a product summed in the same order
    with running(log, namespace=NAMESPACE, checkpoint=str(checkpoint), threads=1, output__dtype="float32") as setup:
        yield setup


@pytest.fixture(scope="module")
def images(photographs: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Current and goal."""
    return photographs[:2]


@pytest.fixture(scope="module")
def goalless(driven: Setup, images: list[NDArray[np.uint8]]) -> VisualTokens:
    return encode_one(driven.probe, frame(images[0], 1))


@pytest.fixture(scope="module")
def message(driven: Setup, goalless: VisualTokens, images: list[NDArray[np.uint8]]) -> VisualTokens:
    """Tokens of a frame and its goal."""
    _send_goal(driven, images[1])
    return encode_one(driven.probe, frame(images[0], 2))


def _send_goal(driven: Setup, rgb: NDArray[np.uint8]) -> None:
    driven.probe.goal.publish(image_message(rgb, stamp_ns=time.time_ns(), frame_id="goal"))
    driven.wait_for(lambda: bool(driven.probe.goal_statuses) and driven.probe.goal_statuses[-1].valid, "the goal")


def test_outputs_are_those_of_the_policys_own_vision(
    checkpoint: Path, message: VisualTokens, images: list[NDArray[np.uint8]]
) -> None:
    model = load_policy(checkpoint)
    own = hidden_states(model, pixels(images))
    port = attach(model, checkpoint=checkpoint)
    assert torch.equal(hidden_states(model, port.read(message)), own)


def test_what_a_port_refuses(
    checkpoint: Path,
    message: VisualTokens,
    goalless: VisualTokens,
    setup: Setup,
    images: list[NDArray[np.uint8]],
    tmp_path: Path,
) -> None:
    own = Port(expect(checkpoint))
    with pytest.raises(NoGoalError):
        own.read(goalless)
    assert not own.read(goalless, goal=False)[:, 256:].any()
    with pytest.raises(RandomWeightsError):
        own.read(encode_one(setup.probe, frame(images[0], 3)))
    with pytest.raises(WrongWeightsError):
        Port(expect(write_policy(tmp_path / "other", seed=9))).read(message)
    with pytest.raises(WrongPreprocessingError):
        Port(expect(checkpoint, image_path="openvla-crop")).read(message)
    with pytest.raises(WrongSpaceError):
        Port(expect(checkpoint, space="projected")).read(message)
    for names in (["goal", "current"], ["current"], ["current", "wrist", "goal"]):
        with pytest.raises(WrongImagesError):
            Port(expect(checkpoint, images=names)).read(message)


class Robot:
    """Hears what the example says, and sends it frames."""

    def __init__(self, setup: Setup, log: Path) -> None:
        self.log = log
        self._setup = setup
        self.ways: list[Waypoints] = []
        self.velocities: list[Twist] = []
        node = setup.probe.node
        node.create_subscription(Waypoints, "waypoints", self.ways.append, 10)
        node.create_subscription(Twist, "cmd_vel", self.velocities.append, 10)
        self.pose = node.create_publisher(PoseStamped, "goal_pose", 1)
        self.prompt = node.create_publisher(String, "prompt", 1)

    def wait_for_log(self, text: str, *, rgb: NDArray[np.uint8] | None = None, pose: PoseStamped | None = None) -> None:
        """Send frames, and a pose, until the example's log has a line like this."""
        self.wait_for(lambda: re.search(text, self.log.read_text()) is not None, text, rgb=rgb, pose=pose)

    def wait_for(
        self, condition: Any, what: str, *, rgb: NDArray[np.uint8] | None = None, pose: PoseStamped | None = None
    ) -> None:
        """Send frames, and a pose, until something holds."""

        def sent() -> bool:
            now = time.time_ns()
            if rgb is not None:
                self._setup.probe.camera.publish(image_message(rgb, stamp_ns=now, frame_id="camera"))
            if pose is not None:
                pose.header.stamp = ns_to_stamp(now)
                self.pose.publish(pose)
            time.sleep(0.1)
            return bool(condition())

        try:
            self._setup.wait_for(sent, what)
        except Exception as error:
            raise AssertionError(f"{error}; the example's log:\n{self.log.read_text()}") from error


@contextmanager
def example(setup: Setup, log: Path, namespace: str, *parameters: str) -> Iterator[Robot]:
    """The example, told to trust the code; it must end well."""
    words = [f"tokens:={namespace}/vision_node/tokens", f"__ns:={namespace}"]
    given = [f"code:={CODE}", "trust_remote_code:=true", "max_age:=5.0", *parameters]
    command = [sys.executable, str(EXAMPLE), "--ros-args"]
    command += [word for remapping in words for word in ("-r", remapping)]
    command += [word for parameter in given for word in ("-p", parameter)]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    robot = Robot(setup, log)
    try:
        robot.wait_for_log("waiting for tokens")
        yield robot
    finally:
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0, log.read_text()


def test_it_drives_where_the_policy_says_and_stops_when_it_must(
    checkpoint: Path, driven: Setup, message: VisualTokens, images: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    expected = _waypoints(checkpoint, images)
    with example(driven, tmp_path / "log", NAMESPACE, f"checkpoint:={checkpoint}") as robot:
        assert "running the policy's own Python code" in robot.log.read_text()
        robot.wait_for(lambda: robot.ways, "waypoints", rgb=images[0])
        way = robot.ways[0]
        assert way.header.frame_id == "base_link"
        found = [(pose.pose.position.x, pose.pose.position.y) for pose in way.poses]
        np.testing.assert_allclose(found, expected[:, :2], rtol=1e-4, atol=1e-5)
        turns = [2 * np.arctan2(pose.pose.orientation.z, pose.pose.orientation.w) for pose in way.poses]
        np.testing.assert_allclose(np.exp(1j * np.array(turns)), _turns(expected), rtol=1e-4, atol=1e-4)

        wanted = towards(*expected[4]).limited(0.3, 0.3)
        assert (wanted.linear, wanted.angular) != (0, 0)

        def moves() -> bool:
            last = robot.velocities[-1]
            return (last.linear.x, last.angular.z) == pytest.approx((wanted.linear, wanted.angular), rel=1e-3, abs=1e-5)

        robot.wait_for(moves, "the velocity", rgb=images[0])
        robot.wait_for_log("driving", rgb=images[0])
        # No frames, no tokens.
        robot.wait_for(lambda: not moves(), "it to stop")
        _stands(robot)
        assert "stopped: the newest tokens are not of the last 5.0 s" in robot.log.read_text()
        robot.wait_for(moves, "to drive again", rgb=images[0])
        assert driven.control.clear_goal().success
        robot.wait_for_log("stopped: found no goal: its tokens are zeros", rgb=images[0])
        _stands(robot, images[0])
        _send_goal(driven, images[1])
        robot.wait_for(moves, "to drive to the new goal", rgb=images[0])


def test_a_pose_and_a_prompt(
    checkpoint: Path, driven: Setup, message: VisualTokens, images: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    pose = PoseStamped()
    pose.header.frame_id, pose.pose.position.x, pose.pose.orientation.w = "map", 2.0, 1.0
    arguments = f"checkpoint:={checkpoint}", "goals:=[pose, language]"
    with example(driven, tmp_path / "log", NAMESPACE, *arguments) as robot:
        robot.wait_for_log("stopped: found no goal pose", rgb=images[0])
        robot.wait_for_log("stopped: found a goal pose in 'map'; expected it in 'base_link'", rgb=images[0], pose=pose)
        pose.header.frame_id = "base_link"
        robot.wait_for_log("stopped: found no prompt", rgb=images[0], pose=pose)
        _stands(robot, images[0])
        robot.prompt.publish(String(data="find the door"))
        expected = _waypoints(checkpoint, images, modality=8, pose=(20.0, 0.0, 1.0, 0.0), prompt="find the door")
        robot.wait_for(lambda: robot.ways, "waypoints", rgb=images[0], pose=pose)
        found = [(pose.pose.position.x, pose.pose.position.y) for pose in robot.ways[-1].poses]
        np.testing.assert_allclose(found, expected[:, :2], rtol=1e-4, atol=1e-5)
        robot.wait_for_log("stopped: found no goal pose of the last 5.0 s", rgb=images[0])


def test_it_never_moves_on_random_weights_unless_told_to(
    checkpoint: Path, setup: Setup, images: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    arguments = f"checkpoint:={checkpoint}", "goals:=[language]", "prompt:=go"
    with example(setup, tmp_path / "log", "/shared", *arguments) as robot:
        robot.wait_for_log("stopped: found tokens of random weights", rgb=images[0])
        _stands(robot, images[0])
        assert not robot.ways
    with example(setup, tmp_path / "told", "/shared", *arguments, "allow_random_weights:=true") as robot:
        robot.wait_for_log("driving", rgb=images[0])


def _stands(robot: Robot, rgb: NDArray[np.uint8] | None = None) -> None:
    """From now on nothing but zeros."""
    first = len(robot.velocities) + 1  # one may be under way
    robot.wait_for(lambda: len(robot.velocities) >= first + 10, "velocities", rgb=rgb)
    assert all(v.linear.x == 0 and v.angular.z == 0 for v in robot.velocities[first:])


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ((), "found checkpoint '' and trust_remote_code False; expected the policy's folder, and true"),
        (("checkpoint:=/x",), "trust_remote_code False"),
        (("checkpoint:=/x", "trust_remote_code:=true"), "cannot import prismatic"),
        (("checkpoint:=/x", "trust_remote_code:=true", "goals:=[image, language]"), "OmniVLA was trained on these"),
        (("checkpoint:=/x", "trust_remote_code:=true", "goals:=[sound]"), "found goals sound; expected some of image"),
        (
            ("checkpoint:=/x", "trust_remote_code:=true", "max_age:=-1.0"),
            "found max_age -1.0; expected a number above 0",
        ),
        (("checkpoint:=/x", "trust_remote_code:=true", "max_linear:=.nan"), "found max_linear nan"),
        (("checkpoint:=/x", "trust_remote_code:=true", "rate:=fast"), "found rate fast; expected a number above 0"),
        (("checkpoint:=5",), "checkpoint"),
        (("checkpoint:=/x", "trust_remote_code:=true", "max_age:=2"), "cannot import prismatic"),
    ],
)
def test_what_it_does_not_start_with(parameters: tuple[str, ...], reason: str) -> None:
    words = [word for parameter in parameters for word in ("-p", parameter)]
    command = [sys.executable, str(EXAMPLE), "--ros-args", *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert result.returncode == 1, result
    assert reason in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def _turns(waypoints: NDArray[np.float32]) -> NDArray[np.complex128]:
    turns = waypoints[:, 2] + 1j * waypoints[:, 3]
    return turns / np.abs(turns)


def _waypoints(
    checkpoint: Path,
    images: list[NDArray[np.uint8]],
    *,
    modality: int = 6,
    pose: tuple[float, ...] = (0.0, 0.0, 1.0, 0.0),
    prompt: str | None = None,
) -> NDArray[np.float32]:
    """What the policy makes of the pictures with its own vision, by the steps of its own script."""
    model = load_policy(checkpoint)
    parts = {}
    for name in ("action_head", "pose_projector"):
        state = torch.load(checkpoint / f"{name}--1000_checkpoint.pt")
        parts[name] = make_part(name)
        parts[name].load_state_dict({key.removeprefix("module."): tensor for key, tensor in state.items()})
    asked = f"What action should the robot take to {prompt}?" if prompt else "No language instruction"
    input_ids = torch.tensor([[*tokenizer()(f"In: {asked}\nOut: ", True).input_ids, *[31_999] * 32, 2]])
    labels = input_ids.clone()
    labels[:, :-33] = -100
    task = torch.tensor([float(modality)])
    with torch.inference_mode():
        output: SimpleNamespace = model(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids, dtype=torch.bool),
            pixel_values=pixels(images),
            modality_id=task,
            labels=labels,
            output_hidden_states=True,
            proprio=torch.tensor([pose]),
            proprio_projector=parts["pose_projector"],
            use_film=False,
        )
        states = output.hidden_states[-1][:, -34:-2]  # what predicts the 32 actions
        waypoints = parts["action_head"].predict_action(states, task)[0].numpy().copy()
    assert states.shape == (1, 32, LLM_WIDTH)
    waypoints[:, :2] *= 0.1
    return np.asarray(waypoints)
