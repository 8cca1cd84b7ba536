"""Every command says what it cannot write before it works, and leaves nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch")

from omnivla_vision.cli import main
from omnivla_vision.resources import resource_path
from test.disks import MAIN, ROOT, as_nobody_known, fill, limited, mounted
from test.presets import small_is_shallow

IMAGE = str(resource_path("resource/parity/room.png"))
DRIVE = str(resource_path("resource/sample_drive"))
ENCODE = ("encode", "--image", IMAGE, "--preset", "small")
REPLAY = ("replay", DRIVE, "--preset", "small", "--duration", "0.3", "--engine", "eager")
BENCH = ("bench", "--preset", "small", "--depth", "1", "--engine", "eager", "--precision", "float32", "--images", "1",
         "--rounds", "1", "--no-reference")  # fmt: skip
NEEDS_ROS = pytest.mark.skipif(find_spec("rclpy") is None, reason="no rclpy")
FILES = [(*ENCODE, "--out"), (*BENCH, "--json"), (*BENCH, "--chart"), pytest.param(("demo", "--json"), marks=NEEDS_ROS),
         (*REPLAY, "--save-baseline")]  # fmt: skip
FOLDERS = [(*REPLAY, "--out"), (*REPLAY, "--mode", "live", "--out"), pytest.param(("demo", "--out"), marks=NEEDS_ROS),
           ("sim", "--headless", "--out")]  # fmt: skip


def name(command: tuple[str, ...]) -> str:
    return f"{command[0]} {command[-1]}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the default output folders go."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with small_is_shallow():
        yield folder


def refused(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    """The sentence; nothing was loaded, and nothing printed."""
    assert main([str(word) for word in command]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("omnivla-vision: cannot write ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", FILES, ids=name)
def test_a_file_in_a_folder_that_is_missing_or_a_folder_itself(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"found no folder {tmp_path / 'no'}" in refused(capsys, *command, tmp_path / "no" / "file")
    assert "found a folder of that name" in refused(capsys, *command, tmp_path)


@pytest.mark.parametrize("command", FOLDERS, ids=name)
def test_a_folder_that_is_a_file(command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert "found a file of that name" in refused(capsys, *command, tmp_path / "file")


@pytest.mark.parametrize("command", [*FILES, *FOLDERS, ("sim", "--headless", "--record")], ids=name)
def test_a_full_disk(command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mounted(tmp_path / "disk", "size=64k") as disk:
        fill(disk)
        assert "found No space left on device" in refused(capsys, *command, disk / "out")
        assert {path.name for path in disk.iterdir()} <= {"filler", "out"}


@pytest.mark.parametrize(
    ("command", "file", "left"),
    [
        ((*ENCODE, "--out", "out/tokens.safetensors"), "tokens.safetensors", []),
        ((*REPLAY, "--out", "out/replay"), "tokens.mcap", []),
        ((*REPLAY, "--out", "out/replay", "--no-tokens"), "report.html", ["metrics.json"]),
    ],
    ids=["encode", "replay", "replay --no-tokens"],
)
@pytest.mark.slow
def test_a_disk_that_is_full_before_the_end(command: tuple[str, ...], file: str, left: list[str], here: Path) -> None:
    """Met while writing, as a quota would be; works for every user."""
    (here / "out").mkdir()
    code = f"import os; os.chdir({str(here)!r}); sys.path.insert(0, {str(ROOT)!r}); "
    result = limited(code + MAIN, 5000, *command)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert f"{file}: found File too large" in result.stderr
    assert [path.name for path in here.rglob("*") if path.is_file()] == left


def test_the_space_for_the_tokens_is_looked_at_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        assert main([*ENCODE, "--out", str(disk / "out")]) == 1
        assert f"cannot write {disk / 'out'}: found 1.0 MB free, and 2.4 MB to write" in capsys.readouterr().err
        assert list(disk.iterdir()) == []
        assert main([*REPLAY, "--out", str(disk / "replay")]) == 1  # as long as a drive of one frame, at the least
        assert "found 1.0 MB free, and 1.2 MB to write" in capsys.readouterr().err


def test_auto_without_a_store_encodes_with_the_reference_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*ENCODE, "--bundle-dir", "/dev/null/store", "--out"]
    assert main([*command, str(tmp_path / "auto"), "--engine", "auto"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("eager in float32")]
    assert told[0].startswith("eager in float32, slower than what this machine can run: no engine can be kept in ")
    assert main([*command, str(tmp_path / "eager"), "--engine", "eager"]) == 0
    # The notice is in the file, too: otherwise it is the same.
    from safetensors import safe_open

    with safe_open(tmp_path / "auto", "np") as auto, safe_open(tmp_path / "eager", "np") as eager:
        assert auto.metadata()["notice"] == told[0]
        assert (auto.get_tensor("tokens") == eager.get_tensor("tokens")).all()
        assert {**auto.metadata(), "notice": ""} == eager.metadata()
    for options in (["--precision", "bfloat16"], ["--engine", "onednn"]):
        assert main([*command, str(tmp_path / "no"), "--engine", "auto", *options]) == 1
        assert "Traceback" not in capsys.readouterr().err
        assert not (tmp_path / "no").exists()


def test_build_does_not_say_that_a_bundle_is_there_when_none_could_be_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["build", "random", "--preset", "small", "--bundle-dir", "/dev/null/store"]) == 1
    out, err = capsys.readouterr()
    assert "is ready" not in out
    assert "omnivla-vision: no engine can be kept in /dev/null/store: found Not a directory" in err


@pytest.mark.slow
def test_a_user_without_home_and_passwd_entry(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    result = as_nobody_known(MAIN, *ENCODE, "--engine", "auto", "--out", tmp_path / "tokens")
    assert result.returncode == 0, result.stderr
    assert "eager in float32, slower than what this machine can run: " in result.stderr
    assert "found no home directory (HOME is not set, and user 54321 is not in /etc/passwd)" in result.stderr
    result = as_nobody_known(MAIN, *ENCODE, "--checkpoint", "~/model", "--out", tmp_path / "tokens")
    assert result.returncode == 1
    assert "omnivla-vision: ~/model: found no home directory for ~; expected" in result.stderr


@pytest.mark.slow
def test_output_that_nobody_takes(tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'import sys; {MAIN}' {' '.join(ENCODE)} --out {tmp_path}/x"
    full = "omnivla-vision: [Errno 28] No space left on device"
    for target, code, last in (("> /dev/full", 1, full), (">&-", 0, "RANDOM WEIGHTS")):
        result = subprocess.run(
            ["bash", "-c", f"{command} {target}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert result.returncode == code
        assert "Traceback" not in result.stderr
        assert "Exception ignored" not in result.stderr
        assert result.stderr.splitlines()[-1].startswith(last)


@pytest.mark.parametrize("option", ["--image", "--goal"])
def test_a_folder_as_an_image(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = {"--image": IMAGE, "--goal": IMAGE} | {option: str(tmp_path)}
    command = ["encode", *[word for pair in images.items() for word in pair], "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert f"omnivla-vision: found a folder {tmp_path}; expected a JPEG, PNG or WebP image" in capsys.readouterr().err


def test_a_folder_as_a_goal_of_replay_and_as_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*REPLAY, "--out", str(tmp_path / "out"), "--goal-image", str(tmp_path)]) == 1
    assert f"found a folder {tmp_path}; expected a JPEG, PNG or WebP image" in capsys.readouterr().err
    assert main([*REPLAY, "--out", str(tmp_path / "out"), "--against", str(tmp_path)]) == 1
    assert f"found a folder {tmp_path}; expected a file" in capsys.readouterr().err
