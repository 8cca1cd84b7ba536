"""Goals in the order of their sending, with every clock that there is."""

from __future__ import annotations

import itertools

import pytest

from omnivla_vision.live.goals import RACE_NS, REMEMBERED, GoalOrder

S = 1_000_000_000
NOON = 1_700_000_000 * S


class Node:
    """The order, with clocks that a test sets."""

    def __init__(self) -> None:
        self.wall = NOON
        self.monotonic = 5 * S
        self.order = GoalOrder(wall_ns=lambda: self.wall, monotonic_ns=lambda: self.monotonic)

    def pass_time(self, seconds: float) -> None:
        self.wall += int(seconds * S)
        self.monotonic += int(seconds * S)

    def receive(self, sent_ns: int, *, received_ns: int = 0, live: bool = True) -> bool:
        return self.order.accept(sent_ns=sent_ns, received_ns=received_ns, live=live)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.mark.parametrize("arrivals", list(itertools.permutations([1, 2, 3])), ids=str)
@pytest.mark.parametrize("live", [True, False])
def test_what_waits_at_the_same_time_is_ordered_by_its_sending(node: Node, arrivals: list[int], live: bool) -> None:
    in_force = [n for n in arrivals if node.receive(NOON - 60 * S + n, received_ns=NOON - 4 + n, live=live)]
    assert in_force[-1] == 3
    assert in_force == sorted(in_force)
    assert not any(node.receive(NOON - 60 * S + n, live=True) for n in arrivals)  # the same by another way


def test_the_newest_may_come_by_one_way_before_the_others_come_by_another(node: Node) -> None:
    assert node.receive(NOON - 1, live=False)
    assert [node.receive(NOON - n) for n in (4, 3, 2, 1)] == [False] * 4


def test_without_a_time_of_sending_reception_decides(node: Node) -> None:
    assert node.receive(0, received_ns=NOON - 5)
    assert not node.receive(0, received_ns=NOON - 6)
    assert node.receive(0, received_ns=NOON - 4)


def test_without_any_time_the_last_one_decides(node: Node) -> None:
    for _ in range(3):
        node.pass_time(0.001)
        assert node.receive(0)


def test_a_sender_whose_clock_is_ahead_does_not_rule_for_good(node: Node) -> None:
    ahead = NOON + 600 * S
    assert node.receive(ahead, live=False)
    node.pass_time(0.01)
    assert node.receive(node.wall - 1)
    assert not node.receive(ahead)  # the same by another way
    node.pass_time(3600)
    assert not node.receive(ahead, live=False)  # once more, after a pause


def test_a_sender_whose_clock_is_behind_is_heard(node: Node) -> None:
    assert node.receive(NOON)
    node.pass_time(RACE_NS / S + 1)
    behind = node.wall - 600 * S
    assert not node.receive(behind, live=False)  # it may have been kept since then
    assert node.receive(behind)  # but it comes live as well
    node.pass_time(RACE_NS / S + 1)
    assert node.receive(behind - 1)
    assert not node.receive(behind - 1)


def test_what_was_in_force_does_not_come_back_by_a_slow_way(node: Node) -> None:
    assert node.receive(NOON, live=False)
    node.pass_time(0.1)
    assert node.receive(node.wall)  # a wish for none
    node.pass_time(RACE_NS / S + 1)
    assert not node.receive(NOON)


def test_one_that_is_of_no_use_is_refused_once_and_stands_in_nobodys_way(node: Node) -> None:
    assert node.receive(NOON - 9)
    assert [node.order.refuse(sent_ns=NOON - 1) for _ in range(3)] == [True, False, False]
    assert node.receive(NOON - 2)


def test_our_clock_is_set_back(node: Node) -> None:
    assert node.receive(NOON)
    node.pass_time(2)
    node.wall -= 3600 * S
    assert node.receive(node.wall - 1)


def test_a_goal_that_was_overtaken_long_ago_gives_way_to_the_newer_one_again(node: Node) -> None:
    """One of two subscriptions had to ask for both once more."""
    assert node.receive(NOON)
    node.pass_time(3)
    assert node.receive(NOON - 1)
    assert node.receive(NOON)


def test_what_is_remembered_is_bounded(node: Node) -> None:
    for number in range(3 * REMEMBERED):
        node.receive(NOON + number)
    assert len(node.order._known) == REMEMBERED
