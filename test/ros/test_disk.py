"""A node whose disk is full, read-only or nowhere works, and says what it could not have."""

from __future__ import annotations

from pathlib import Path

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from test.disks import as_nobody_known, fill, mounted, read_only
from test.ros.conftest import Setup, running

AUTO = {"engine": "auto", "precision": "float32"}
INSTEAD = "eager in float32, slower than what this machine can run: no engine can be kept in "


def engine(setup: Setup) -> dict[str, str]:
    setup.wait_for(lambda: setup.probe.diagnostics("engine").get("engine"), "the engine's report")
    return setup.probe.diagnostics("engine")


def assert_falls_back(setup: Setup, found: str, log: Path) -> None:
    """The reference runs; diagnostics and log say why."""
    report = engine(setup)
    assert (report["engine"], report["precision"]) == ("eager", "float32")
    assert report["notice"].startswith(INSTEAD)
    assert found in report["notice"]
    status = setup.probe.reports["engine"][-1]
    assert status.level == b"\1"
    assert status.message == f"RANDOM WEIGHTS: the tokens mean nothing; {report['notice']}"
    assert setup.probe.diagnostics("node")["state"] == "active"
    text = log.read_text()
    assert report["notice"] in text
    assert "Traceback" not in text


def test_a_full_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        fill(disk)
        with running(tmp_path / "log", bundle_dir=str(disk / "engines"), **AUTO) as setup:
            assert_falls_back(setup, "found 0.0 MB free, and weights of ", tmp_path / "log")


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    """For every user: nothing can be below a file."""
    with running(tmp_path / "log", bundle_dir="/dev/null/engines", **AUTO) as setup:
        assert_falls_back(setup, "found Not a directory", tmp_path / "log")


def test_an_engine_asked_for_by_name_is_refused_and_the_node_stays(tmp_path: Path) -> None:
    with running(tmp_path / "log", connect=False, engine="onednn", bundle_dir="/dev/null/engines") as setup:
        setup.wait_for(lambda: setup.probe.reports["node"] and setup.probe.reports["node"][-1].level == b"\2", "it")
        message = setup.probe.reports["node"][-1].message
        assert message.startswith("unconfigured: cannot configure: no engine can be kept in /dev/null/engines")
        assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_store_on_a_read_only_disk_is_used(tmp_path: Path) -> None:
    store = tmp_path / "engines"
    with running(tmp_path / "first", bundle_dir=str(store), **AUTO) as setup:
        first = engine(setup)
    for lock in store.glob(".*.lock"):
        lock.unlink()
    with read_only(store), running(tmp_path / "log", bundle_dir=str(store), **AUTO) as setup:
        assert engine(setup) == first
        assert first["notice"] == ""
        assert "building" not in (tmp_path / "log").read_text()


def test_no_place_for_log_files(tmp_path: Path) -> None:
    nowhere = {"HOME": "/dev/null", "ROS_LOG_DIR": "", "XDG_CACHE_HOME": ""}
    with running(tmp_path / "log", environment=nowhere) as setup:
        assert engine(setup)["engine"] == "eager"
    sentence = "ROS keeps no log files: cannot write /dev/null/.ros/log: found Not a directory"
    assert sentence in (tmp_path / "log").read_text()


def test_output_that_nobody_takes(tmp_path: Path) -> None:
    code = "import os, sys; full = os.open('/dev/full', os.O_WRONLY); os.dup2(full, 1); os.dup2(full, 2); "
    wrapper = ("-c", code + "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")
    with running(tmp_path / "log", wrapper=wrapper) as setup:
        assert engine(setup)["engine"] == "eager"


@pytest.mark.slow
def test_a_user_without_home_and_passwd_entry() -> None:
    code = (
        "import rclpy; from omnivla_vision.ros.log_files import ros_arguments;"
        "from omnivla_vision.ros.node import VisionNode; rclpy.init(args=ros_arguments()); node = VisionNode();"
        "print(node.trigger_configure()); node.destroy_node(); rclpy.shutdown()"
    )
    parameters = ("--ros-args", "-p", "preset:=small", "-p", "precision:=float32")
    result = as_nobody_known(code, *parameters)
    assert str(TransitionCallbackReturn.SUCCESS) in result.stdout, result.stderr
    assert "ROS keeps no log files: found no home directory (HOME is not set, and user 54321" in result.stderr
    assert "Traceback" not in result.stderr
    assert f"{INSTEAD}~/.cache/omnivla_vision: found no home directory" in result.stderr
