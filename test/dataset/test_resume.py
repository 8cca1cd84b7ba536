"""What is left of a run that ended badly, and what the next one makes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnivla_vision.dataset.errors import DatasetBusyError
from test.dataset.conftest import write_drive
from test.disks import mounted, read_only
from test.processes import wait_for
from test.replay import bags

lance = pytest.importorskip("lance")
pytest.importorskip("torch")
# A child process with the presets of this test.
CHILD = (
    "import sys; from omnivla_vision.network.presets import PRESETS; from test.replay.conftest import TINY; "
    "PRESETS['tiny'] = TINY; from omnivla_vision.cli import main; sys.exit(main())"
)
ROOT = Path(__file__).parents[2]
ENCODER = ("--preset", "tiny", "--engine", "eager", "--seed", "1")


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, "dataset", *map(str, arguments), *ENCODER]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Three bags, of which the middle one is long enough to be interrupted in it."""
    folder = tmp_path / "drives"
    folder.mkdir()
    write_drive(folder / "a", 2)
    write_drive(folder / "b", 3000, first=10)
    write_drive(folder / "c", 2, first=20, start_s=1000.0)
    return folder


def episodes(out: Path) -> list[str]:
    from omnivla_vision.dataset.store import episodes_of, open_dataset

    return [episode.id.partition("@")[0] for episode in episodes_of(open_dataset(str(out)))]


def files(out: Path) -> list[Path]:
    """Of rows, whether they are in the dataset or not, finished or not."""
    return list((out / "data").iterdir()) if (out / "data").exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda sent: sent.name)
def test_a_run_that_was_ended_goes_on(
    sent: signal.Signals, drives: Path, tmp_path: Path, dataset: Callable[..., int], table: Callable[..., Any]
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    child = start(drives, "--out", out)
    wait_for(lambda: len(files(out)) == 2 or child.poll() is not None, "the second recording's file")
    child.send_signal(sent)
    child.communicate(timeout=60)
    assert child.returncode == (-9 if sent == signal.SIGKILL else 128 + sent)
    assert episodes(out) == ["a"]
    again = start(drives, "--out", out)
    text, problems = again.communicate(timeout=120)
    assert again.returncode == 0, problems
    assert "2 recordings added" in text
    assert len(files(out)) == 3  # the half written one is gone
    assert dataset(drives, out=whole) == 0
    assert table(out).equals(table(whole))


def test_a_broken_bag_in_the_middle(
    tmp_path: Path, dataset: Callable[..., int], table: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from omnivla_vision.dataset.store import broken_of, open_dataset

    drives, out = tmp_path / "drives", tmp_path / "tokens.lance"
    drives.mkdir()
    write_drive(drives / "a", 2)
    broken = write_drive(drives / "b", 400, first=10)
    write_drive(drives / "c", 2, first=20, start_s=1000.0)
    (file,) = broken.glob("*.mcap")
    content = file.read_bytes()
    quarter = len(content) // 4
    file.write_bytes(content[:quarter] + bytes(2 * quarter) + content[3 * quarter :])
    assert dataset(drives) == 1
    seen = capsys.readouterr()
    assert f"not used: {broken}: " in seen.err
    assert "2 recordings added (4 rows), 1 could not be used" in seen.out
    assert episodes(out) == ["a", "c"]
    assert set(table()["episode_index"].to_pylist()) == {0, 2}
    assert list(broken_of(open_dataset(str(out)))) == [str(broken)]
    file.write_bytes(content)  # `mcap recover`, say
    assert dataset(drives) == 0
    assert episodes(out) == ["a", "c", "b"]
    assert broken_of(open_dataset(str(out))) == {}


def test_a_bag_that_cannot_be_opened(
    tmp_path: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    from omnivla_vision.dataset.store import broken_of, open_dataset

    good, out = write_drive(tmp_path / "good", 2), tmp_path / "tokens.lance"
    bad = tmp_path / "bad.mcap"
    bad.write_bytes(b"no bag")
    assert dataset(bad, good) == 1
    assert f"not used: {bad}: " in capsys.readouterr().err
    assert list(broken_of(open_dataset(str(out)))) == [str(bad)]
    assert episodes(out) == ["good"]


def test_a_bag_without_a_single_picture(
    tmp_path: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    cut = [bags.raw(bags.picture(i), i / 10) for i in range(3)]
    bag = bags.write(tmp_path / "bag", [bags.Message(m.topic, m.msgtype, m.at_s, m.data[:100]) for m in cut])
    assert dataset(bag) == 1
    assert "found no usable image among 3 frames" in capsys.readouterr().err


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path, table: Callable[..., Any], dataset: Callable[..., int]) -> None:
    """After it was given room, the run goes on; what was there stays readable, and what was half written is removed."""
    drives = tmp_path / "drives"
    drives.mkdir()
    write_drive(drives / "a", 2)
    write_drive(drives / "b", 1500, first=10)
    with mounted(tmp_path / "disk", "size=2m") as disk:
        out = disk / "out"
        child = start(drives, "--out", out)
        text, problems = child.communicate(timeout=120)
        assert child.returncode == 1, text
        assert "No space left on device" in problems
        assert "it goes on where it stopped" in problems
        assert "Traceback" not in problems
        assert episodes(out) == ["a"]
        assert len(files(out)) == 1
        assert shutil.disk_usage(disk).free > 1_000_000
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = start(drives, "--out", out)
        assert again.wait(timeout=120) == 0
        assert episodes(out) == ["a", "b"]
        assert dataset(drives, out=tmp_path / "whole") == 0
        assert table(out).equals(table(tmp_path / "whole"))


def test_what_a_run_leaves_that_was_killed_at_its_beginning(tmp_path: Path, dataset: Callable[..., int]) -> None:
    out = tmp_path / "tokens.lance"
    (out / "_transactions").mkdir(parents=True)
    (out / ".writer.lock").touch()
    assert dataset(write_drive(tmp_path / "a", 2)) == 0
    assert episodes(out) == ["a"]


def test_two_runs_at_once(drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: Any) -> None:
    from omnivla_vision.dataset.store import TokenStore

    out = tmp_path / "tokens.lance"
    with TokenStore(str(out)).held():
        assert dataset(drives) == 1
        assert "found another run at work" in capsys.readouterr().err
        with pytest.raises(DatasetBusyError), TokenStore(str(out)).held():
            pass
    assert dataset(drives / "a") == 0


def test_read_only_place(tmp_path: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    bag, folder = write_drive(tmp_path / "a", 2), tmp_path / "disk"
    folder.mkdir()
    with read_only(folder):
        assert dataset(bag, out=folder / "out") == 1
    assert "Read-only file system" in capsys.readouterr().err


def test_the_record_is_readable_json(tmp_path: Path, dataset: Callable[..., int], table: Callable[..., Any]) -> None:
    dataset(write_drive(tmp_path / "a", 2))
    nothing, record = table()["episode_record"].to_pylist()
    assert nothing is None
    assert json.loads(record)["frames"] == {"/camera/image_raw": 2}
    assert os.fspath(tmp_path / "a") == json.loads(record)["path"]
