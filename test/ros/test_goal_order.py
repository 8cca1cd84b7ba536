"""Whatever way the goals come, and however many wait: the one in force is the one that was sent last."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from omnivla_vision.msg import VisualTokens
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger

from omnivla_vision.goal import content_id
from omnivla_vision.ros.image_topic import typed_topic
from omnivla_vision.ros.messages import bytes_field, ns_to_stamp
from test.ros.conftest import STAMP_NS, Setup, encode_one, frame, running
from test.ros.control import ACTIVATE, DEACTIVATE

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LATCHED, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
# Each kind of publisher, and how many of the node's subscriptions hear it.
KINDS = {
    "latched": (QoSProfile(depth=1, reliability=RELIABLE, durability=LATCHED), 3),
    "latched, depth 10": (QoSProfile(depth=10, reliability=RELIABLE, durability=LATCHED), 3),
    "volatile": (QoSProfile(depth=10, reliability=RELIABLE, durability=VOLATILE), 2),
    "best effort": (QoSProfile(depth=10, reliability=BEST_EFFORT, durability=VOLATILE), 1),
    "best effort, latched": (QoSProfile(depth=10, reliability=BEST_EFFORT, durability=LATCHED), 1),
}


class Goals:
    """Goals that are all different, from publishers of every kind, to one node."""

    numbers = itertools.count()

    def __init__(self, setup: Setup, transport: str) -> None:
        self.setup = setup
        self.transport = transport
        self.clear = setup.probe.node.create_client(Trigger, "vision_node/clear_goal")
        setup.wait_for(self.clear.service_is_ready, "the service")

    @contextmanager
    def publisher(self, kind: str) -> Iterator[Callable[[], str]]:
        """Yields what sends a new goal and returns its id, once it is heard."""
        profile, heard = KINDS[kind]
        publisher = self.setup.probe.node.create_publisher(*typed_topic("goal_image", self.transport), profile)
        self.setup.wait_for(lambda: publisher.get_subscription_count() == heard, "the subscriptions")

        def send() -> str:
            rgb = np.random.default_rng(next(self.numbers)).integers(0, 256, (24, 32, 3), np.uint8)
            publisher.publish(self.message(rgb))
            return content_id(rgb)

        sent = []

        def came() -> bool:
            """The node connects in its own time, and a publisher that does not latch is not heard before."""
            sent.append(send())
            return any(status.id in sent for status in self.setup.probe.goal_statuses[-1:])

        try:
            self.setup.wait_for(came, "a goal to come through")
            yield send
        finally:
            self.setup.probe.node.destroy_publisher(publisher)

    def message(self, rgb: NDArray[np.uint8]) -> Any:
        if self.transport == "raw":
            return frame(rgb)
        _, png = cv2.imencode(".png", rgb[..., ::-1])
        message = CompressedImage(format="png", data=bytes_field(png.reshape(-1)))
        message.header.stamp = ns_to_stamp(STAMP_NS)
        return message

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The node is busy: what is sent meanwhile waits."""
        self.setup.node.send(signal.SIGSTOP)
        status = Path(f"/proc/{self.setup.node.pid}/stat")
        self.setup.wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "the node to stop")
        try:
            yield
        finally:
            self.setup.node.send(signal.SIGCONT)

    def in_force(self, expected: str) -> None:
        """Wait for a goal, then until nothing waits any more, and see that it is still there."""
        statuses = self.setup.probe.goal_statuses
        self.setup.wait_for(lambda: statuses and statuses[-1].id == expected, f"goal {expected or 'none'}")
        tokens = self.settle()
        assert tokens.goal_id == expected
        assert statuses[-1].id == expected

    def last_in_force(self, send: Callable[[], str], *, last: str) -> None:
        """The last of the goals that `send` sends, by a publisher of kind `last`, is in force.

        The middleware may lose one that is sent with best effort, while the node is stopped above all. It is sent again
        then: one that the node took for an older one would fail every time.
        """
        for _ in range(5 if last.startswith("best effort") else 0):
            expected = send()
            self.settle()
            if self.setup.probe.goal_statuses[-1].id == expected:
                return self.in_force(expected)
        return self.in_force(send())

    def settle(self) -> VisualTokens:
        """Until nothing waits any more; the tokens of a frame then."""
        for _ in range(12):  # each answer is a round of the executor, and takes a message of every queue
            assert self.setup.control.state == "active"
        for _ in range(2):  # a goal may have waited behind a frame
            tokens = encode_one(self.setup.probe, frame(np.zeros((48, 64, 3), np.uint8), next(self.numbers)))
        return tokens


@pytest.fixture(scope="module", params=["raw", "compressed"])
def goals(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Goals]:
    log = tmp_path_factory.mktemp("node") / "log"
    with running(log, encode_ms=0, goal_transport=request.param) as setup:
        yield Goals(setup, request.param)


@pytest.mark.parametrize("count", [2, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_goals_that_waited_for_a_busy_node(goals: Goals, kind: str, count: int) -> None:
    with goals.publisher(kind) as send:

        def send_all() -> str:
            with goals.stopped():
                return [send() for _ in range(count)][-1]

        goals.last_in_force(send_all, last=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_goals_at_once(goals: Goals, kind: str) -> None:
    with goals.publisher(kind) as send:
        for count in (2, 3, 5, 2, 3, 5):
            goals.last_in_force(lambda n=count: [send() for _ in range(n)][-1], last=kind)  # type: ignore[misc]


@pytest.mark.parametrize("kinds", list(itertools.permutations(["latched", "volatile", "best effort"], 2)), ids=str)
def test_goals_of_two_publishers(goals: Goals, kinds: tuple[str, str]) -> None:
    with goals.publisher(kinds[0]) as first, goals.publisher(kinds[1]) as second:
        for senders, last in (((first, second), kinds[1]), ((first, second, first, second, first), kinds[0])):

            def send_all(senders: Any = senders) -> str:
                with goals.stopped():
                    return [send() for send in senders][-1]

            goals.last_in_force(send_all, last=last)


@pytest.mark.parametrize("kind", ["latched", "volatile"])
def test_clearing_among_goals(goals: Goals, kind: str) -> None:
    with goals.publisher(kind) as send:
        goals.in_force(send())
        with goals.stopped():
            send(), send()
            answer = goals.clear.call_async(Trigger.Request())
        goals.setup.wait_for(answer.done, "the answer")
        assert answer.result().success
        goals.in_force("")
        with goals.stopped():
            send()
            goals.clear.call_async(Trigger.Request())
            sent = send()
        goals.in_force(sent)


def test_goals_during_a_pause(goals: Goals) -> None:
    """Two publishers latch, and only the middleware knows in which order a late subscription hears of them."""
    control = goals.setup.control
    with goals.publisher("latched") as first, goals.publisher("latched") as second:
        for former, latter in ((first, second), (second, first)):
            assert control.change_state(DEACTIVATE)
            goals.setup.wait_for_closed_topics()
            former()
            sent = latter()
            assert control.change_state(ACTIVATE)
            goals.setup.wait_for_topics()
            goals.in_force(sent)
        assert control.change_state(DEACTIVATE)
        goals.setup.wait_for_closed_topics()
        first()
        assert control.clear_goal().success
        assert control.change_state(ACTIVATE)
        goals.setup.wait_for_topics()
        goals.in_force("")
