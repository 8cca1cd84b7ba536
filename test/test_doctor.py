"""What doctor says of the middleware in force."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

pytest.importorskip("torch")

from omnivla_vision import doctor
from omnivla_vision.resources import resource_path
from omnivla_vision.transport import cyclonedds, fastdds

Patch = pytest.MonkeyPatch


@pytest.fixture
def bare(monkeypatch: Patch) -> Patch:
    """An environment that says nothing of ROS."""
    for name in ("RMW_IMPLEMENTATION", "CYCLONEDDS_URI", "FASTDDS_BUILTIN_TRANSPORTS", "ROS_DISTRO"):
        monkeypatch.delenv(name, raising=False)
    for name in (fastdds.VARIABLE_OF_FASTDDS_3, fastdds.VARIABLE_OF_FASTDDS_2):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def rclpy(monkeypatch: Patch, version: str) -> None:
    def installed(package: str) -> str:
        if not version:
            raise PackageNotFoundError(package)
        return version

    monkeypatch.setattr(fastdds, "version", installed)


def findings() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor._middleware()}


@pytest.mark.parametrize(
    ("version", "distro", "variable", "other"),
    [
        ("3.3.21", "humble", fastdds.VARIABLE_OF_FASTDDS_2, fastdds.VARIABLE_OF_FASTDDS_3),
        ("7.1.6", "jazzy", fastdds.VARIABLE_OF_FASTDDS_2, fastdds.VARIABLE_OF_FASTDDS_3),
        ("9.1.2", "kilted", fastdds.VARIABLE_OF_FASTDDS_3, fastdds.VARIABLE_OF_FASTDDS_2),
        ("", "jazzy", fastdds.VARIABLE_OF_FASTDDS_2, fastdds.VARIABLE_OF_FASTDDS_3),
    ],
)
def test_the_variable_is_the_one_that_counts(version: str, distro: str, variable: str, other: str, bare: Patch) -> None:
    bare.setenv("ROS_DISTRO", distro)
    rclpy(bare, version)
    found = findings()
    assert found[variable].value == "not set"
    assert f"set {variable} to config/fastdds.xml" in found["transport"].advice
    assert other not in "".join(finding.name + finding.advice for finding in found.values())
    bare.setenv(other, "/not/read.xml")
    assert findings()["transport"].advice
    bare.setenv(variable, str(resource_path("config/fastdds.xml")))
    assert not findings()["transport"].advice


def test_without_ros_both_variables_are_named(bare: Patch) -> None:
    rclpy(bare, "")
    found = findings()
    assert found["ROS"].value == "rclpy is not installed here; ROS_DISTRO is not set"
    advice = found["transport"].advice
    assert fastdds.VARIABLE_OF_FASTDDS_3 in advice
    assert f"before ROS 2 Kilted the variable is {fastdds.VARIABLE_OF_FASTDDS_2}" in advice


def test_cyclone_dds(bare: Patch) -> None:
    kernel = {"net.core.rmem_max": 212992, "net.core.rmem_default": 212992}
    bare.setattr(cyclonedds, "setting", kernel.__getitem__)
    bare.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    found = findings()
    assert found["net.core.rmem_max"].value == "212992"
    assert found["CYCLONEDDS_URI"].value == "not set"
    assert "sudo sysctl -w net.core.rmem_max=2147483647" in found["transport"].advice
    assert not any("FAST" in name for name in found)


def test_an_unknown_middleware(bare: Patch) -> None:
    bare.setenv("RMW_IMPLEMENTATION", "rmw_connextdds")
    found = findings()["transport"]
    assert (found.value, found.advice) == ("not checked: unknown middleware rmw_connextdds", "")


@pytest.mark.parametrize(
    ("version", "wrong"),
    [("10.0.1", True), ("10.3.0", True), ("10.4.0.26", True), ("10.5.0", False), ("8.6.1", False), ("", False)],
)
def test_tensorrt_that_is_reported_wrong_on_vits(version: str, wrong: bool) -> None:
    versions = {**dict.fromkeys(doctor.PACKAGES, ""), "numpy": "1.26.4", "torch": "2.8.0", "tensorrt": version}
    found = {finding.name: finding for finding in doctor._combinations(versions)}
    assert (f"TensorRT {version}" in found) == wrong
    if wrong:
        finding = found[f"TensorRT {version}"]
        assert "NVIDIA/TensorRT issue 4419" in finding.value
        assert "10.5 or newer" in finding.advice
        assert not finding.broken, "the gate decides"
