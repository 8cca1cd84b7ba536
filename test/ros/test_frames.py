"""Frames that add up, whatever the camera does: faster than the network, stale, broken, or from another time."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rosgraph_msgs.msg import Clock

from omnivla_vision.ros.messages import image_message, ns_to_stamp, stamp_to_ns
from test.ros.conftest import STAMP_NS, Setup, encode_one, frame, running
from test.ros.control import DEACTIVATE

BLACK: NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)
SECOND = 1_000_000_000
# Reliable, so that every frame that is sent arrives and the sums can be exact.
RELIABLE = {
    "qos_overrides./robot/image_raw.subscription.reliability": "reliable",
    "qos_overrides./robot/image_raw.subscription.depth": 1000,
}


def assert_every_report_adds_up(setup: Setup) -> None:
    for report in setup.probe.reports["frames"]:
        counts = {pair.key: int(pair.value) for pair in report.values}
        if counts:
            assert counts.pop("received") == sum(counts.values())


def test_a_camera_at_60_hz_and_a_slow_network(tmp_path: Path) -> None:
    """Broken frames in between; no queue builds up, so that the latency of what is published does not grow."""
    with running(tmp_path / "log", encode_ms=60, **RELIABLE) as setup:
        probe = setup.probe
        for number in range(300):
            now = time.time_ns()
            message = image_message(BLACK, stamp_ns=now, frame_id="camera")
            if number % 10 == 5:
                message.step = 1
            else:
                stamp = now
            probe.camera.publish(message)
            time.sleep(1 / 60)
        counts = setup.settled(300)
        assert counts["rejected"] == 30
        assert counts["superseded"] > 0
        assert counts["failed"] == counts["stale"] == 0
        assert counts["published"] + counts["superseded"] == 270
        setup.wait_for(lambda: len(probe.tokens) == counts["published"], "every message")
        assert_every_report_adds_up(setup)
        # One in work and the newest one waiting, never more.
        in_flight = [int(pair.value) for r in probe.reports["frames"] for pair in r.values if pair.key == "in_flight"]
        assert max(in_flight) <= 2
        assert [message.sequence for _, message in probe.tokens] == list(range(len(probe.tokens)))
        stamps = [stamp_to_ns(m.header.stamp) for _, m in probe.tokens]
        assert stamps == sorted(stamps)
        assert stamps[-1] == stamp  # the newest good frame is not the one to be dropped


def test_stale_frames_are_dropped_and_counted(tmp_path: Path) -> None:
    with running(tmp_path / "log", encode_ms=0, max_frame_age=600.0, **RELIABLE) as setup:
        probe = setup.probe
        for sent, age_s in enumerate((0.0, 3000.0, 60_000.0), start=1):
            stamp = time.time_ns() - round(age_s * SECOND)
            probe.camera.publish(image_message(BLACK, stamp_ns=stamp, frame_id="camera"))
            counts = setup.settled(sent)
        assert (counts["published"], counts["stale"]) == (1, 2)

        def reported() -> bool:
            """Send one more: of a camera that is silent for two seconds, something else is said."""
            nonlocal sent
            probe.camera.publish(image_message(BLACK, stamp_ns=stamp, frame_id="camera"))
            sent += 1
            found = re.compile(r"images arrive 60\d\d\d\.\d s old, more than max_frame_age")
            return any(report.level == b"\3" and found.search(report.message) for report in probe.reports["camera"])

        setup.wait_for(reported, "the level STALE")
        counts = setup.settled(sent)
        assert counts["published"] == 1
        assert counts["stale"] + counts["superseded"] == sent - 1
        assert setup.control.set("max_frame_age", 0.0).successful
        probe.camera.publish(image_message(BLACK, stamp_ns=stamp, frame_id="camera"))
        assert setup.settled(sent + 1)["published"] == 2


def test_a_simulated_clock_that_starts_over(tmp_path: Path) -> None:
    """A bag in a loop: the stamps and the clock jump back together, and nothing is dropped for it."""
    with running(
        tmp_path / "log", encode_ms=0, max_frame_age=0.5, use_sim_time=True, log__period=0.0, **RELIABLE
    ) as setup:
        probe = setup.probe
        clock = probe.node.create_publisher(Clock, "/clock", 10)
        setup.wait_for(lambda: clock.get_subscription_count() == 1, "the node to follow the clock")
        sent = 0
        for lap in range(3):
            for tick in range(20):
                now = 1000 * SECOND + tick * SECOND // 10
                clock.publish(Clock(clock=ns_to_stamp(now)))
                # A frame may overtake the clock, which matters only where it jumps; by less where a tick was skipped.
                setup.wait_for(lambda lap=lap: setup.node.log.read_text().count("jumped by -1.") == lap, "the jump")
                encode_one(probe, image_message(BLACK, stamp_ns=now, frame_id="camera"))
                sent += 1
        counts = setup.settled(sent)
        assert counts["published"] == sent
        # The limit still holds, by the simulated clock.
        probe.camera.publish(image_message(BLACK, stamp_ns=1000 * SECOND, frame_id="camera"))
        assert setup.settled(sent + 1)["stale"] == counts["stale"] + 1


def test_before_the_simulation_starts(tmp_path: Path) -> None:
    """No /clock yet: the node says that it is there, and frames pass."""
    with running(tmp_path / "log", encode_ms=0, max_frame_age=0.5, use_sim_time=True) as setup:
        encode_one(setup.probe, frame(BLACK))
        assert setup.probe.reports["node"]


@pytest.mark.parametrize(("sec", "nanosec"), [(-1, 0), (0, 1_000_000_000), (1, 2**32 - 1), (-(2**31), 0)])
def test_stamps_that_are_no_time_are_refused(setup: Setup, sec: int, nanosec: int) -> None:
    before = setup.counts().get("rejected", 0)
    message = frame(BLACK)
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    setup.probe.camera.publish(message)
    setup.wait_for(lambda: setup.counts().get("rejected", 0) == before + 1, "the refusal")
    assert "found a header stamped" in setup.probe.reports["camera"][-1].message
    encode_one(setup.probe, frame(BLACK, 7))


def test_deactivating_in_mid_stream_settles_the_books(tmp_path: Path) -> None:
    with running(tmp_path / "log", encode_ms=200, **RELIABLE) as setup:
        for number in range(10):
            setup.probe.camera.publish(frame(BLACK, number))
            if number == 5:
                setup.wait_for(lambda: setup.probe.tokens, "the stream to run")
        assert setup.control.change_state(DEACTIVATE)
        setup.wait_for_state("inactive")
        setup.wait_for(lambda: setup.counts()["in_flight"] == 0, "the counts, which follow the state")
        counts = setup.counts()
        assert counts["published"] + counts["superseded"] == counts["received"]
        assert stamp_to_ns(setup.probe.tokens[-1][1].header.stamp) >= STAMP_NS


def test_two_clocks_are_one_warning(tmp_path: Path) -> None:
    """Two simulators, or a simulator and a bag: the clock jumps back at every other tick."""
    with running(tmp_path / "log", connect=False, encode_ms=0, use_sim_time=True, log__period=3600.0) as setup:
        setup.wait_for_state("active")
        clocks = [setup.probe.node.create_publisher(Clock, "/clock", 100) for _ in range(2)]
        for clock in clocks:
            setup.wait_for(lambda clock=clock: clock.get_subscription_count() == 1, "the node to follow the clock")
        for tick in range(50):
            for clock, start in zip(clocks, (10, 1000), strict=True):
                clock.publish(Clock(clock=ns_to_stamp((start + tick) * SECOND)))
                time.sleep(0.02)  # a subscription to /clock keeps the newest only
        setup.wait_for(lambda: "jumped" in setup.node.log.read_text(), "the warning")
        # Whatever the node had to say of the jumps before is said when it has answered.
        assert setup.control.set("max_frame_age", 1.0).successful
        log = setup.node.log.read_text()
    assert log.count("the clock jumped by") == 1
    assert "2 publishers of /clock; expected one" in log


@pytest.mark.slow
def test_a_frame_in_work_while_the_process_was_stopped(tmp_path: Path) -> None:
    """A laptop that was suspended: the tokens would be those of a world that is gone."""
    limit_s = 6.0
    with running(tmp_path / "log", encode_ms=3000, max_frame_age=limit_s, **RELIABLE) as setup:
        probe = setup.probe
        while True:  # until it is stopped in time
            before, stamp_ns = len(probe.tokens), time.time_ns()
            probe.camera.publish(image_message(BLACK, stamp_ns=stamp_ns, frame_id="camera"))
            setup.wait_for(
                lambda before=before: setup.counts().get("in_flight") == 1 or len(probe.tokens) > before,
                "the frame to be taken",
            )
            setup.node.send(signal.SIGSTOP)
            time.sleep(0.5)  # what it sent just before arrives
            if len(probe.tokens) == before:
                break
            setup.node.send(signal.SIGCONT)
        counts = setup.counts()
        time.sleep(max(0.0, limit_s + 0.5 - (time.time_ns() - stamp_ns) / 1e9))
        setup.node.send(signal.SIGCONT)
        counts = setup.settled(counts["received"])
        assert len(probe.tokens) == before
        assert counts["stale"] == 1
