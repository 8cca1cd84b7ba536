"""Goal sequences of a real node: moves, what takes over, what is refused, and the next start."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from omnivla_vision.msg import GoalSequenceStatus
from omnivla_vision.srv import SetGoalIndex
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from omnivla_vision.goal import content_id
from omnivla_vision.ros import qos
from omnivla_vision.ros.goal_sequence_parameters import GoalSequenceParametersError, check_parameters
from omnivla_vision.ros.settings import VisionParameters
from omnivla_vision.tokens.pictures import save_png
from test.ros.conftest import Setup, encode_one, frame, running
from test.ros.control import CLEANUP, CONFIGURE, DEACTIVATE

BLACK: NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)
PICTURES = np.random.default_rng(3).integers(0, 256, (8, 40, 60, 3), np.uint8)


def write_route(folder: Path, pictures: Any) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        save_png(folder / f"{number}.png", picture)
    return folder


@pytest.fixture
def route(tmp_path: Path) -> Path:
    return write_route(tmp_path / "route", PICTURES[:3])


class Route:
    """The sequence's topic and services of a node that runs."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.statuses: list[GoalSequenceStatus] = []
        node = setup.probe.node
        node.create_subscription(
            GoalSequenceStatus, "vision_node/goal_sequence/status", self.statuses.append, qos.latched()
        )
        self._clients = {
            name: node.create_client(kind, f"vision_node/goal_sequence/{name}")
            for name, kind in (("next", Trigger), ("previous", Trigger), ("set_index", SetGoalIndex))
        }

    def ask(self, name: str, **request: int) -> Any:
        client = self._clients[name]
        self.setup.wait_for(client.service_is_ready, f"service {name}")
        future = client.call_async(client.srv_type.Request(**request))
        self.setup.wait_for(future.done, f"an answer of {name}")
        return future.result()

    def wait_for(self, what: str, **expected: object) -> GoalSequenceStatus:
        """The newest status, once it has these values."""

        def matches() -> bool:
            return bool(self.statuses) and all(getattr(self.statuses[-1], k) == v for k, v in expected.items())

        self.setup.wait_for(matches, f"{what}: {expected}")
        return self.statuses[-1]


@contextmanager
def following(log: Path, **options: Any) -> Iterator[Route]:
    with running(log, **{"encode_ms": 0, **options}) as setup:
        yield Route(setup)


def goal_of(route: Route, number: int) -> str:
    return str(encode_one(route.setup.probe, frame(BLACK, number)).goal_id)


def test_moving_along_a_route(tmp_path: Path, route: Path) -> None:
    ids = [content_id(picture) for picture in PICTURES]
    with following(tmp_path / "log", goal_sequence_path=route, debug__rate=100.0, debug__height=128) as nodes:
        nodes.wait_for("the first node", path=str(route), index=0, number=3, name="0.png", source="sequence")
        assert goal_of(nodes, 1) == ids[0]
        assert nodes.ask("next").message == "the next frame's goal is 1.png, index 1 of 3"
        assert goal_of(nodes, 2) == ids[1]
        assert nodes.ask("set_index", index=-1).success
        assert goal_of(nodes, 3) == ids[2]
        beyond = nodes.ask("next")
        assert not beyond.success
        assert beyond.message.startswith("found node 2, the last of")
        assert not nodes.ask("set_index", index=3).success
        assert nodes.ask("previous").success
        assert goal_of(nodes, 4) == ids[1]
        assert nodes.setup.probe.goal_statuses[-1].id == ids[1]
        nodes.setup.wait_for(lambda: list(nodes.statuses[-1].window) == [0, 1, 2], "similarities")
        status = nodes.statuses[-1]
        assert len(status.similarities) == 3
        assert status.header.frame_id == "front_camera"
        goal = nodes.setup.probe.diagnostics
        nodes.setup.wait_for(lambda: goal("goal").get("node") == "1.png", "the diagnostics")
        assert (goal("goal")["index"], goal("goal")["number"], goal("goal")["source"]) == ("1", "3", "sequence")

        shown: list[Image] = []
        looking = nodes.setup.probe.node.create_subscription(
            Image, "vision_node/debug/goal_similarity", shown.append, 1
        )
        numbers = itertools.count(100)
        nodes.setup.wait_for(lambda: goal_of(nodes, next(numbers)) and shown, "a picture of the similarity")
        assert shown[-1].width == round(64 * 128 / 48) + 8 + 128 + 8 + round(60 * 128 / 40)  # with the node's
        nodes.setup.probe.node.destroy_subscription(looking)

        # A goal that comes meanwhile takes over, until the next move.
        nodes.setup.probe.goal.publish(frame(PICTURES[5], 5))
        nodes.wait_for("the image", index=1, name="1.png", source="goal_image")
        assert goal_of(nodes, 5) == content_id(PICTURES[5])
        assert nodes.ask("previous").success
        nodes.wait_for("the node", index=0, source="sequence")
        assert goal_of(nodes, 6) == ids[0]
        assert nodes.setup.control.clear_goal().success
        nodes.wait_for("nothing", index=0, source="none")
        assert not encode_one(nodes.setup.probe, frame(BLACK, 7)).goal_valid
        assert nodes.ask("set_index", index=0).success
        assert goal_of(nodes, 8) == ids[0]


def test_a_new_folder_is_taken_whole_or_not_at_all(tmp_path: Path, route: Path) -> None:
    other = write_route(tmp_path / "other", PICTURES[3:7])
    bad = write_route(tmp_path / "bad", PICTURES[3:6])
    (bad / "2.png").write_bytes((bad / "2.png").read_bytes()[:-50])
    with following(tmp_path / "log", goal_sequence_path=route, encode_ms=20) as nodes:
        control = nodes.setup.control
        nodes.wait_for("the first node", index=0)
        assert nodes.ask("next").success
        nodes.wait_for("the second node", index=1)
        nowhere = {tmp_path / "nowhere": "No such file", tmp_path: "no image", "~nobodyhere/route": "no such home"}
        for path, reason in nowhere.items():
            refused = control.set("goal_sequence_path", str(path))
            assert not refused.successful
            assert reason in refused.reason
        assert control.set("goal_sequence_path", str(bad)).successful
        nodes.setup.wait_for(lambda: bool(nodes.statuses[-1].problem), "the refusal")
        status = nodes.statuses[-1]
        assert (status.path, status.index, status.source) == (str(route), 1, "sequence")
        assert "2.png" in status.problem
        assert goal_of(nodes, 1) == content_id(PICTURES[1])
        nodes.setup.wait_for(lambda: "2.png" in nodes.setup.probe.reports["goal"][-1].message, "the diagnostics")
        assert control.set("goal_sequence_path", str(other)).successful
        nodes.wait_for("the new one", path=str(other), index=0, number=4, problem="", source="sequence")
        assert goal_of(nodes, 2) == content_id(PICTURES[3])
        assert control.set("goal_sequence_path", "").successful
        nodes.wait_for("none", path="", number=0)
        assert not encode_one(nodes.setup.probe, frame(BLACK, 3)).goal_valid
        assert nodes.ask("next").message.startswith("there is no goal sequence")


def test_of_two_folders_the_one_that_was_asked_for_last_is_taken(tmp_path: Path) -> None:
    first, last = write_route(tmp_path / "first", PICTURES), write_route(tmp_path / "last", PICTURES[:2])
    with following(tmp_path / "log", encode_ms=500) as nodes:
        for path in (first, last):
            assert nodes.setup.control.set("goal_sequence_path", str(path)).successful
        nodes.wait_for("the last", path=str(last), number=2, source="sequence")
        assert str(first) not in {status.path for status in nodes.statuses}


def test_a_goal_that_came_while_a_sequence_was_prepared_stays(tmp_path: Path) -> None:
    slow = write_route(tmp_path / "slow", PICTURES[:4])
    with following(tmp_path / "log", encode_ms=300) as nodes:
        assert nodes.setup.control.set("goal_sequence_path", str(slow)).successful
        nodes.setup.probe.goal.publish(frame(PICTURES[5], 1))
        status = nodes.wait_for("the sequence behind the image", number=4)
        assert status.source == "goal_image"
        assert goal_of(nodes, 1) == content_id(PICTURES[5])
        assert nodes.ask("set_index", index=0).success
        assert goal_of(nodes, 2) == content_id(PICTURES[0])


def test_the_next_start_encodes_nothing(tmp_path: Path, route: Path) -> None:
    with following(tmp_path / "log", bundle_dir=tmp_path / "kept", goal_sequence_path=route) as nodes:
        control, diagnostics = nodes.setup.control, nodes.setup.probe.diagnostics
        nodes.setup.wait_for(lambda: diagnostics("goal").get("goal_encodes") == "3", "each goal to be encoded")
        assert control.change_state(DEACTIVATE)
        assert nodes.ask("next").success  # it is inactive: the goal changes all the same
        nodes.wait_for("the second", index=1, source="sequence")
        assert control.change_state(CLEANUP)
        assert nodes.ask("next").message.startswith("there is no goal sequence")
        assert control.change_state(CONFIGURE)
        nodes.wait_for("the first again", index=0, source="sequence")
        nodes.setup.wait_for(lambda: diagnostics("goal").get("goal_encodes") == "0", "none to be encoded")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"goal_image_path": "a.png"}, "beside goal_image_path a.png"),
        ({"pairing": "approximate"}, "beside pairing approximate"),
        ({"takes_goal": False}, "beside takes_goal: false"),
    ],
    ids=["a goal image", "paired goals", "no goal"],
)
def test_parameters_that_leave_no_room(parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(GoalSequenceParametersError, match=reason):
        check_parameters(VisionParameters(goal_sequence_path="/route", **parameters))


def test_a_sequence_beside_paired_goals_is_refused(tmp_path: Path, route: Path) -> None:
    reason = "cannot configure: found goal_sequence_path beside pairing exact"
    with following(tmp_path / "log", connect=False, goal_sequence_path=route, pairing="exact") as nodes:
        setup = nodes.setup
        setup.wait_for(lambda: any(reason in r.message for r in setup.probe.reports["node"]), "the refusal")


@pytest.mark.slow  # the small network for real
def test_moving_by_itself(tmp_path: Path) -> None:
    """Frames like the next goal move on, and those that are like none do not."""
    room, street = PICTURES[0].copy(), PICTURES[1].copy()
    route = write_route(tmp_path / "route", [room, street, PICTURES[2]])
    options = {"encode_ms": None, "goal_sequence_path": route, "goal_sequence__advance": True}
    with following(tmp_path / "log", **options, goal_sequence__advance_frames=2) as nodes:
        probe = nodes.setup.probe
        for number in range(4):
            assert encode_one(probe, frame(room, number)).goal_id == content_id(room)
        for number in range(4, 6):
            assert encode_one(probe, frame(street, number)).goal_id == content_id(room)
        nodes.wait_for("the advance", index=1, advanced=True, source="sequence")
        assert encode_one(probe, frame(street, 6)).goal_id == content_id(street)
        assert nodes.setup.control.set("goal_sequence.advance", False).successful
        for number in range(7, 11):
            assert encode_one(probe, frame(PICTURES[2], number)).goal_id == content_id(street)
