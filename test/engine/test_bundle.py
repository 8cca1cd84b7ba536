"""Bundles: nothing damaged, foreign or unfinished is ever used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from omnivla_vision.engine.bundle import (
    MANIFEST,
    BundleError,
    DamagedBundleError,
    ForeignBundleError,
    StaleBundleError,
    bundle_name,
    check,
)
from omnivla_vision.engine.store import REASON, SET_ASIDE, BundleStore, MissingBundleError
from omnivla_vision.engine.store_folder import default_store

KEY = {"preset_name": "small", "engine": "none", "precision": "float32", "weights": "w", "versions": {"torch": "1"}}
FILES = {"model.bin": bytes(range(256)) * 9000, "reference.safetensors": b"tokens"}


def fill(folder: Path) -> dict[str, object]:
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return {"build_s": 1.5}


def never(_: Path) -> dict[str, object]:
    raise AssertionError("built again")


@pytest.fixture
def built(store: Path) -> Path:
    return BundleStore(store).get(KEY, fill).path


def test_a_bundle_is_found_again_and_holds_what_was_put_in(store: Path, built: Path) -> None:
    again = BundleStore(store).get(dict(reversed(KEY.items())), never)
    assert (again.path, again.key, again.notes) == (built, KEY, {"build_s": 1.5})
    assert {name: (built / name).read_bytes() for name in FILES} == FILES
    assert built.name.startswith("small-none-float32-")


def test_only_the_owner_can_enter(store: Path, built: Path) -> None:
    assert store.stat().st_mode & 0o777 == 0o700
    assert built.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in built.iterdir())


@pytest.mark.parametrize("entry", [*KEY, "new"])
def test_everything_in_the_key_is_in_the_name(entry: str) -> None:
    assert bundle_name({**KEY, entry: "other"}) != bundle_name(KEY)


@pytest.mark.parametrize("position", [0, 0.5, 1])
@pytest.mark.parametrize("name", [*FILES, MANIFEST, "manifest.sha256"])
def test_a_flipped_byte_anywhere_is_caught_and_the_bundle_rebuilt(
    name: str, position: float, store: Path, built: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray((built / name).read_bytes())
    content[int(position * (len(content) - 1))] ^= 1
    (built / name).write_bytes(content)
    with pytest.raises(DamagedBundleError, match="build"):
        check(built)
    with pytest.raises(DamagedBundleError):
        BundleStore(store, read_only=True).get(KEY, never)
    rebuilt = BundleStore(store).get(KEY, fill)
    assert check(rebuilt.path) == rebuilt
    reason = (store / SET_ASIDE / built.name / REASON).read_text()
    assert reason.strip() in caplog.text
    assert (store / SET_ASIDE / built.name / name).read_bytes() == content


def remove(built: Path) -> None:
    (built / "model.bin").unlink()


def truncate(built: Path) -> None:
    os.truncate(built / "model.bin", 100)


def remove_manifest(built: Path) -> None:
    (built / MANIFEST).unlink()


def add_a_file(built: Path) -> None:
    (built / "libextra.so").write_bytes(b"code")


def link(built: Path) -> None:
    (built / "model.bin").rename(built.parent / "elsewhere")
    (built / "model.bin").symlink_to(built.parent / "elsewhere")


def open_to_others(built: Path) -> None:
    (built / "model.bin").chmod(0o666)


def open_folder(built: Path) -> None:
    built.chmod(0o770)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (remove, DamagedBundleError),
        (truncate, DamagedBundleError),
        (remove_manifest, DamagedBundleError),
        (add_a_file, ForeignBundleError),
        (link, ForeignBundleError),
        (open_to_others, ForeignBundleError),
        (open_folder, ForeignBundleError),
    ],
)
def test_a_bundle_that_is_not_as_it_was_written_is_refused_then_rebuilt(
    damage: Callable[[Path], None], error: type[BundleError], store: Path, built: Path
) -> None:
    damage(built)
    with pytest.raises(error):
        check(built)
    assert BundleStore(store).get(KEY, fill).path == built
    assert check(built).key == KEY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_bundle_is_refused(built: Path) -> None:
    os.chown(built / "model.bin", 12345, -1)
    with pytest.raises(ForeignBundleError, match="belongs to user 12345; expected 0"):
        check(built)


def test_a_bundle_for_something_else_is_stale(store: Path, built: Path) -> None:
    newer = {**KEY, "versions": {"torch": "2"}}
    with pytest.raises(StaleBundleError, match=r"versions \{'torch': '1'\}, expected \{'torch': '2'\}"):
        check(built, newer)
    # Renamed to where another is expected: set aside, not used.
    built.rename(store / bundle_name(newer))
    assert BundleStore(store).get(newer, fill).key == newer
    assert "expected {'torch': '2'}" in (store / SET_ASIDE / bundle_name(newer) / REASON).read_text()


def test_a_read_only_store_writes_nothing(store: Path) -> None:
    with pytest.raises(MissingBundleError, match="omnivla-vision build"):
        BundleStore(store, read_only=True).get(KEY, never)
    assert not store.exists()


def test_a_build_that_fails_leaves_nothing(store: Path) -> None:
    def fail(folder: Path) -> dict[str, object]:
        fill(folder)
        raise ValueError("compiler")

    with pytest.raises(ValueError, match="compiler"):
        BundleStore(store).get(KEY, fail)
    assert [path.name for path in store.iterdir() if path.is_dir()] == []
    assert BundleStore(store).get(KEY, fill).key == KEY


def test_the_default_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_store() == tmp_path / "omnivla_vision"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_store() == Path("/home/someone/.cache/omnivla_vision")


# A process that builds slowly: it says so in `started`, and waits for `go_on` in the middle of its last file.
BUILDER = """
import sys, time
from pathlib import Path
from omnivla_vision.engine.store import BundleStore
from test.engine.test_bundle import FILES, KEY

store, marks = Path(sys.argv[1]), Path(sys.argv[2])

def build(folder):
    with (marks / "builds").open("a") as builds:
        builds.write("x")
    (folder / "reference.safetensors").write_bytes(FILES["reference.safetensors"])
    with (folder / "model.bin").open("wb") as file:
        file.write(FILES["model.bin"][:1000])
        file.flush()
        (marks / "started").touch()
        while not (marks / "go_on").exists():
            time.sleep(0.01)
        file.write(FILES["model.bin"][1000:])
    return {}

print(BundleStore(store).get(KEY, build).path.name)
"""


def start_builder(store: Path, marks: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(store), str(marks)], cwd=root, stdout=subprocess.PIPE, text=True
    )


def wait_for(mark: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not mark.exists():
        assert process.poll() is None, "the builder ended early"
        assert time.monotonic() < deadline, "the builder never started"
        time.sleep(0.01)


def test_a_killed_build_leaves_nothing_that_loads(store: Path, tmp_path: Path) -> None:
    process = start_builder(store, tmp_path)
    wait_for(tmp_path / "started", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    folders = [path for path in store.iterdir() if path.is_dir()]
    assert len(folders) == 1, "the builder was killed in the middle"
    with pytest.raises(DamagedBundleError):
        check(folders[0])
    with pytest.raises(MissingBundleError):
        BundleStore(store, read_only=True).get(KEY, never)
    # The lock died with its process, and the next one starts over.
    bundle = BundleStore(store).get(KEY, fill)
    assert [path for path in store.iterdir() if path.is_dir()] == [bundle.path]
    assert {name: (bundle.path / name).read_bytes() for name in FILES} == FILES


def test_two_processes_build_once(store: Path, tmp_path: Path) -> None:
    processes = [start_builder(store, tmp_path) for _ in range(2)]
    wait_for(tmp_path / "started", processes[0])
    time.sleep(0.5)  # time for the second one to build too, if it could
    (tmp_path / "go_on").touch()
    names = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert names == {bundle_name(KEY)}
    assert (tmp_path / "builds").read_text() == "x"
