"""The goal sequence over ROS: its services, its status, and its change while the node runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.errors import VisionError
from omnivla_vision.goal_sequence.errors import GoalSequenceError
from omnivla_vision.goal_sequence.follower import Follower, Position, SequenceGoal
from omnivla_vision.goal_sequence.prepare import Steps, complete, prepare
from omnivla_vision.goal_sequence.sequence import GoalSequence
from omnivla_vision.goal_sequence.source import Picture, home_expanded
from omnivla_vision.goal_sequence.store import SequenceStore
from omnivla_vision.live.frames import OfferedGoal, Result
from omnivla_vision.live.goals import GoalOrder
from omnivla_vision.live.worker import EncodeWorker
from omnivla_vision.msg import GoalSequenceStatus
from omnivla_vision.ros import qos
from omnivla_vision.ros.goal_sequence_parameters import advance_rule, check_parameters
from omnivla_vision.ros.messages import goal_sequence_status
from omnivla_vision.ros.services import create_timed_service
from omnivla_vision.ros.settings import VisionParameters
from omnivla_vision.srv import SetGoalIndex

# Of a request, which node it asks for.
Target = Callable[[Follower, Any], int]
# While a sequence is encoded at configure, the log says so as often.
PROGRESS_S = 10.0


class GoalSequences:
    """The node's part that knows sequences; it follows one from `open` to `close`.

    Args:
        node: owns services and publisher.
        settings: returns the parameters as they are now.
        order: returns which of the node's goals were sent when.
        report: gets a sentence about a sequence that was refused.
    """

    def __init__(
        self,
        node: LifecycleNode,
        *,
        settings: Callable[[], VisionParameters],
        order: Callable[[], GoalOrder],
        report: Callable[[str], None],
    ) -> None:
        self.problem = ""
        self._node = node
        self._settings = settings
        self._order = order
        self._report = report
        self._encoder: VisionEncoder | None = None
        self._worker: EncodeWorker[Header] | None = None
        self._follower: Follower | None = None
        self._path = ""
        self._request: object = None  # which change of the path is the newest
        self._shown: tuple[GoalSequence, int] | None = None
        self._picture: Picture | None = None
        self._overruled = False  # a goal came by another way since that request
        services: list[tuple[str, Any, Target]] = [
            ("next", Trigger, lambda follower, request: follower.beside(1)),
            ("previous", Trigger, lambda follower, request: follower.beside(-1)),
            ("set_index", SetGoalIndex, lambda follower, request: follower.checked(request.index)),
        ]
        for name, kind, target in services:
            create_timed_service(node, kind, f"~/goal_sequence/{name}", partial(self._on_move, target))

    @property
    def position(self) -> Position:
        """Where the robot is."""
        return Position() if self._follower is None else self._follower.position()

    def open(self, encoder: VisionEncoder, worker: EncodeWorker[Header]) -> None:
        """Encode the sequence that the parameters name, and put its first node in force.

        Raises:
            GoalSequenceError, BagError: it cannot be had.
        """
        settings = self._settings()
        self._encoder, self._worker = encoder, worker
        self._store = SequenceStore(settings.bundle_dir, read_only=settings.read_only)
        self._publisher = self._node.create_publisher(GoalSequenceStatus, "~/goal_sequence/status", qos.latched())
        self._follower = Follower(encoder, worker.offer_goal)
        self._path = settings.goal_sequence_path
        if self._path:
            check_parameters(settings)
            self._follower.follow(self._all_steps(self._prepare(settings)))
        self._publish(self.position)

    def change(self, settings: VisionParameters) -> None:
        """Take another sequence, in steps between the frames, while the node runs.

        Raises:
            GoalSequenceError, BagError: it is refused at once; what is found out later is reported.
        """
        if self._follower is None or settings.goal_sequence_path == self._path:
            return
        request = object()
        steps = self._taking(request, settings)
        if settings.goal_sequence_path:
            check_parameters(settings)
            next(steps)
        self._path, self._request, self._overruled, self.problem = settings.goal_sequence_path, request, False, ""
        if settings.goal_sequence_path:
            assert self._worker is not None
            self._worker.offer_work(steps)
        else:
            self._follower.follow(None)
            self._publish(self.position)

    def taken(self, offered: OfferedGoal | None) -> None:
        """That goal is in force from now on; runs in the worker's thread."""
        if self._follower is not None:
            self._overruled |= not isinstance(offered, SequenceGoal)
            self._follower.taken(offered)
            if self._follower.sequence is not None:
                self._publish(self.position)

    def look(self, result: Result[Header]) -> None:
        """Compare a frame, whose tokens are out already, with the nodes around the one in force, if anybody cares."""
        settings, follower = self._settings(), self._follower
        if follower is None or follower.sequence is None:
            return
        seen = self._publisher.get_subscription_count() > 0
        if not (seen or settings.goal_sequence_advance):
            return
        assert self._encoder is not None
        position = follower.look(
            result.tokens.fused_blocks[0][: self._encoder.preset.tokens_per_image],
            around=settings.goal_sequence_window,
            rule=advance_rule(settings),
        )
        if seen:
            self._publish(position, result.frame.header)

    def picture(self) -> Picture | None:
        """The node in force, as the debug pictures show it; None where the goal is no node of a sequence."""
        position = self.position
        if position.sequence is None or position.source != "sequence":
            return None
        if self._shown != (position.sequence, position.index):
            self._shown = (position.sequence, position.index)
            caption = f"goal {position.index} of {position.number}: {position.name}"
            self._picture = Picture(caption, position.sequence.picture(position.index))
        return self._picture

    def close(self) -> None:
        """Forget everything."""
        if self._follower is not None:
            self._node.destroy_publisher(self._publisher)
        self._follower, self._request, self._path, self.problem = None, None, "", ""
        # Whoever still held them would keep the network in memory.
        self._encoder = self._worker = None
        self._shown = self._picture = None

    def _prepare(self, settings: VisionParameters) -> Steps[GoalSequence]:
        assert self._encoder is not None
        return prepare(
            home_expanded(settings.goal_sequence_path),
            self._encoder,
            self._store,
            spacing_s=settings.goal_sequence_spacing,
            max_pixels=settings.max_image_pixels,
            announce=self._announce,
        )

    def _all_steps(self, steps: Steps[GoalSequence]) -> GoalSequence:
        started = said = time.monotonic()

        def say() -> None:
            nonlocal said
            if time.monotonic() > said + PROGRESS_S:
                said = time.monotonic()
                self._node.get_logger().info(f"encoding the goal sequence {self._path}, {said - started:.0f} s so far")

        sequence = complete(steps, say)
        self._say_ready(sequence, time.monotonic() - started)
        return sequence

    def _taking(self, request: object, settings: VisionParameters) -> Generator[None, None, None]:
        """The first step is done by who asked, whom its errors reach; the others in the worker's thread."""
        steps, sequence, started = self._prepare(settings), None, time.monotonic()
        try:
            next(steps)
        except StopIteration as end:
            sequence = end.value
        yield
        try:
            while sequence is None:
                if self._request is not request:  # another was asked for meanwhile
                    return
                next(steps)
                yield
        except StopIteration as end:
            sequence = end.value
        except Exception as error:  # noqa: BLE001 - whatever it was, the sequence before it stays
            known = isinstance(error, VisionError)
            self.problem = f"{'' if known else f'{type(error).__name__}: '}{error}"
            self._report(f"goal sequence refused, the one before stays: {self.problem}")
            self._publish(self.position)
            return
        if self._request is request and self._follower is not None:
            self._say_ready(sequence, time.monotonic() - started)
            self._follower.follow(sequence, in_force=not self._overruled)
            self._publish(self.position)

    def _announce(self, sentence: str) -> None:
        self._node.get_logger().warning(sentence)

    def _say_ready(self, sequence: GoalSequence, seconds: float) -> None:
        self._node.get_logger().info(f"goal sequence {sequence.path}: {len(sequence.nodes)} goals in {seconds:.2f} s")

    def _on_move(self, target: Target, sent_ns: int, request: Any, response: Any) -> None:
        follower = self._follower
        if follower is None or follower.sequence is None:
            response.message = "there is no goal sequence: set parameter goal_sequence_path, and configure the node"
            return
        try:
            index = target(follower, request)
        except GoalSequenceError as error:
            response.message = str(error)
            return
        response.success = True
        if self._order().accept(sent_ns=sent_ns, received_ns=0, live=True):
            name = follower.move(index)
            response.message = f"the next frame's goal is {name}, index {index} of {len(follower.sequence.nodes)}"
        else:
            response.message = "a goal that was sent after this request has taken effect"

    def _publish(self, position: Position, header: Header | None = None) -> None:
        self._publisher.publish(goal_sequence_status(position, header or Header(), self.problem))
