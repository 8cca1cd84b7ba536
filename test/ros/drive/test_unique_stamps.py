"""Every frame's stamp is its own, and everything else of the message stays."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from omnivla_vision.replay.decoding import decode, stamp_ns, with_stamp
from omnivla_vision.replay.storage.base import Record
from omnivla_vision.ros.drive.unique_stamps import UniqueStamps
from test.replay import bags


def record(stamp_s: float) -> Record:
    message = bags.raw(bags.picture(1), 0.0, stamp_s=stamp_s)
    return Record(topic=message.topic, msgtype=message.msgtype, time_ns=1, data=message.data)


def test_only_what_came_before_is_moved() -> None:
    stamps = UniqueStamps()
    first, second = record(0.0), record(1.0)
    assert stamps.make_unique(first) is first
    assert stamps.make_unique(second) is second
    moved = [stamps.make_unique(first) for _ in range(3)]
    assert [stamp_ns(m) - stamp_ns(first) for m in moved] == [1, 2, 3]
    assert decode(moved[0]).rgb.tobytes() == decode(first).rgb.tobytes()


def test_an_hour_of_zeros_and_a_second_that_fills_up() -> None:
    stamps, zero = UniqueStamps(), with_stamp(record(0.0), 0)
    sent = [stamp_ns(stamps.make_unique(zero)) for _ in range(30 * 3600)]
    assert all(later == earlier + 1 for earlier, later in pairwise(sent))
    late = with_stamp(zero, 999_999_999)
    assert stamp_ns(stamps.make_unique(late)) == 999_999_999
    assert stamp_ns(stamps.make_unique(late)) == 1_000_000_000


@pytest.mark.parametrize(
    "data", [b"", b"\0\1\0\0", b"\0\1\0\0\xff\xff\xff\xff\0\0\0\0", b"\0\1\0\0\0\0\0\0\xff\xff\xff\xff"]
)
def test_what_is_no_time_is_left_to_the_node(data: bytes) -> None:
    broken = replace(record(0.0), data=data)
    stamps = UniqueStamps()
    assert stamps.make_unique(broken) is stamps.make_unique(broken) is broken
