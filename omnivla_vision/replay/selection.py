"""What of a bag is played: the camera's topic, the goal's, and the stretch of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omnivla_vision.images.raw import MAX_PIXELS
from omnivla_vision.replay.bag import IMAGE_TYPES, Bag, BagError, Topic
from omnivla_vision.replay.roles import holds_depth, image_name, is_goal, is_own_picture


class AmbiguousTopicError(BagError):
    """Several topics could be meant."""


class NoImageTopicError(BagError):
    """The bag has no topic of images."""


class EmptyTopicError(BagError):
    """The topic is in the bag but has no messages."""


class EmptyWindowError(BagError):
    """No camera frame lies in the stretch of time that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is played.

    Attributes:
        camera: topic of the camera's images.
        goal: topic of the goal images, or None.
        bag_start_ns: first message of the bag, which offsets in seconds count from.
        start_ns: first time to play.
        stop_ns: first time not to play; None: to the end.
        max_pixels: larger images are refused.
        missing: messages of these topics that metadata.yaml promises and the files do not hold.
        notes: sentences that the reader of the report should know.
    """

    camera: Topic
    goal: Topic | None
    bag_start_ns: int
    start_ns: int
    stop_ns: int | None
    missing: int
    max_pixels: int
    notes: tuple[str, ...]

    @property
    def frames(self) -> int | None:
        """How many camera frames there will be; unknown when only a stretch is played."""
        whole = self.stop_ns is None and self.start_ns == self.bag_start_ns
        return self.camera.count if whole else None

    def __str__(self) -> str:
        goal = "no goal topic" if self.goal is None else f"goal {self.goal.name}"
        return f"camera {self.camera.name}, {goal}"


def select(
    bag: Bag,
    *,
    image_topic: str | None = None,
    goal_topic: str | None = None,
    goal_elsewhere: bool = False,
    start_s: float = 0.0,
    duration_s: float | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Selection:
    """Choose, by type where no name is given.

    Args:
        bag: the bag.
        image_topic: the camera's topic; None: the only camera there is.
        goal_topic: the goal's topic; None: the only topic of images called `goal` or `goal_image`, if there is one.
        goal_elsewhere: the goal does not come from a topic.
        start_s: seconds into the bag.
        duration_s: how much to play; None: to the end.
        max_pixels: refuse larger images.

    Raises:
        TopicMissingError, TopicTypeError: a name is not in the bag, or is not images.
        NoImageTopicError, EmptyTopicError, AmbiguousTopicError: no choice can be made.
        EmptyWindowError: the bag is shorter than `start_s`.
    """
    notes: list[str] = []
    images = [topic for topic in bag.topics if topic.msgtype in IMAGE_TYPES]
    own = [topic for topic in images if is_own_picture(topic)]
    goals = [topic for topic in images if is_goal(topic)]
    if image_topic:
        camera = bag.topic(image_topic)
    else:
        cameras = [topic for topic in images if topic not in goals and topic not in own and topic.name != goal_topic]
        camera = _only(bag, _of_colours(bag, cameras, notes), option="--image-topic", notes=notes)
        if own:
            notes.append(f"{_listing(own)} was left out: a vision node drew it.")
    if not camera.count:
        raise EmptyTopicError(
            f"found no message on topic {camera.name} in {bag.path}; expected camera images; the bag has "
            f"{bag.listing()}"
        )
    goal = None
    if goal_topic:
        goal = bag.topic(goal_topic)
        if not goal.count:
            raise EmptyTopicError(
                f"found no message on topic {goal.name} in {bag.path}: a latched goal that was published before the "
                "recording is often missing; give --goal-image FILE or --goal-at SECONDS instead"
            )
    elif not goal_elsewhere:
        goals = [topic for topic in goals if topic.count and topic != camera]
        goal = _only(bag, goals, option="--goal-topic", notes=notes) if goals else None
        if goal is None:
            notes.append(
                "No goal is in this bag (a latched one that was published before the recording is often missing), so "
                "the goal's tokens are zeros. Give --goal-image FILE or --goal-at SECONDS."
            )
    if start_s and start_s >= bag.duration_s:
        raise EmptyWindowError(
            f"found a bag of {bag.duration_s:.1f} s; --start {start_s:g} leaves nothing of it to play"
        )
    missing = _compare_with_metadata(bag, [topic for topic in (camera, goal) if topic is not None], notes)
    start_ns = bag.start_ns + round(start_s * 1e9)
    stop_ns = None if duration_s is None else start_ns + round(duration_s * 1e9)
    return Selection(
        camera=camera,
        goal=goal,
        bag_start_ns=bag.start_ns,
        start_ns=start_ns,
        stop_ns=stop_ns,
        missing=missing,
        max_pixels=max_pixels,
        notes=tuple(notes),
    )


def _compare_with_metadata(bag: Bag, topics: Sequence[Topic], notes: list[str]) -> int:
    """Name every difference; returns how many messages are missing."""
    notes.extend(bag.notes)
    missing = 0
    for topic in topics:
        promised = bag.promised(topic)
        if promised != topic.count:
            missing += max(0, promised - topic.count)
            notes.append(
                f"metadata.yaml says that {topic.name} has {promised} messages; the files hold {topic.count}, and "
                "these were played."
            )
    return missing


def _of_colours(bag: Bag, cameras: Sequence[Topic], notes: list[str]) -> Sequence[Topic]:
    """Without the depth images beside them."""
    if len(cameras) < 2:
        return cameras
    depth = [topic for topic in cameras if holds_depth(bag, topic)]
    colours = [topic for topic in cameras if topic not in depth]
    if not depth or not any(topic.count for topic in colours):
        return cameras
    notes.append(f"{_listing(depth)} was left out: it holds distances.")
    return colours


def _listing(topics: Sequence[Topic]) -> str:
    return ", ".join(map(str, topics))


def _only(bag: Bag, topics: Sequence[Topic], *, option: str, notes: list[str]) -> Topic:
    """The one topic that can be meant. One camera's transports count as one: raw first, which lost nothing."""
    if not topics:
        raise NoImageTopicError(f"found no topic of images in {bag.path}; it has {bag.listing()}")
    topics = [topic for topic in topics if topic.count] or topics
    if len({image_name(topic) for topic in topics}) > 1:
        raise AmbiguousTopicError(
            f"found several topics in {bag.path}: {_listing(topics)}; say which with {option} TOPIC"
        )
    chosen = min(topics, key=lambda topic: IMAGE_TYPES.index(topic.msgtype))
    if len(topics) > 1:
        notes.append(f"{chosen.name} was played; the bag also has {_listing([t for t in topics if t != chosen])}.")
    return chosen
