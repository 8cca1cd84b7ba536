"""Stores that are full, read-only, or nowhere: what is in them is used, and what cannot be kept is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("torch")

from omnivla_vision.engine.bundle import bundle_name
from omnivla_vision.engine.select import build_engine
from omnivla_vision.engine.store import SET_ASIDE, BundleStore
from omnivla_vision.engine.store_folder import StoreError, default_store
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset
from test.disks import as_nobody_known, fill, limited, mounted, read_only

from .conftest import FINGERPRINT
from .test_bundle import KEY, never
from .test_bundle import fill as build

SENTENCE = "no engine can be kept in {}: found {}; expected a folder that user {} can write to, with space; "


def sentence(store: Path, found: str) -> str:
    return SENTENCE.format(store, found, os.geteuid())


def test_a_full_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        store = disk / "store"
        with pytest.raises(StoreError) as caught:
            BundleStore(store).get(KEY, build)
        assert str(caught.value).startswith(sentence(store, "No space left on device"))
        assert [path for path in store.iterdir() if path.is_dir()] == []
        fill(disk)
        with pytest.raises(StoreError, match="No space left"):
            BundleStore(store).get(KEY, build)


def test_a_bundle_on_a_full_disk_is_used(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=8m") as disk:
        store = disk / "store"
        built = BundleStore(store).get(KEY, build)
        for lock in store.glob(".*.lock"):
            lock.unlink()
        fill(disk)
        assert BundleStore(store).get(KEY, never) == built


def test_a_bundle_on_a_read_only_disk_is_used(store: Path) -> None:
    built = BundleStore(store).get(KEY, build)
    for lock in store.glob(".*.lock"):
        lock.unlink()
    store.chmod(0o755)  # as an image's layers often have it
    with read_only(store):
        assert BundleStore(store).get(KEY, never) == built
        with pytest.raises(StoreError, match="found a read-only file system"):
            BundleStore(store).get({**KEY, "weights": "others"}, never)
    assert sorted(store.iterdir()) == [built.path]


def test_a_damaged_bundle_on_a_read_only_disk_is_named(store: Path) -> None:
    built = BundleStore(store).get(KEY, build)
    (built.path / "model.bin").write_bytes(b"damage")
    with read_only(store), pytest.raises(StoreError, match=r"a read-only file system, and in it .*model\.bin: found 6"):
        BundleStore(store).get(KEY, never)
    assert not (store / SET_ASIDE).exists()


@pytest.mark.parametrize("place", ["/dev/null/store", "/dev/null"])
def test_a_store_that_cannot_be_a_folder(place: str) -> None:
    with pytest.raises(StoreError, match=rf"no engine can be kept in {place}: found (Not a directory|File exists)"):
        BundleStore(Path(place)).get(KEY, never)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_used_and_not_written(store: Path) -> None:
    built = BundleStore(store).get(KEY, build)
    store.chmod(0o500)
    assert BundleStore(store).get(KEY, never) == built
    with pytest.raises(StoreError, match="without permission to write"):
        BundleStore(store).get({**KEY, "weights": "others"}, never)
    store.chmod(0o700)


GET = """
from pathlib import Path
from omnivla_vision.engine.store import BundleStore
from omnivla_vision.engine.store_folder import default_store
from test.engine.test_bundle import KEY, fill, never
store = Path(sys.argv[1]) if sys.argv[1:] else default_store()
print(BundleStore(store).get(KEY, never if sys.argv[2:] else fill).path)
"""


def test_roots_store_is_used_by_others_and_not_written(store: Path) -> None:
    """An image that is built as root and run as any user."""
    built = BundleStore(store).get(KEY, build)
    for path in (store, *built.path.parents):
        if path.stat().st_uid == os.geteuid():
            path.chmod(0o755)
    built.path.chmod(0o755)
    for path in built.path.iterdir():
        path.chmod(0o644)
    used = as_nobody_known(GET, store, "never")
    assert used.stdout.strip() == str(built.path), used.stderr
    os.chown(store, 12345, -1)
    refused = as_nobody_known(GET, store, "never")
    assert f"ForeignBundleError: {store} belongs to user 12345, expected 54321" in refused.stderr


def test_a_user_without_a_home() -> None:
    result = as_nobody_known(GET)
    assert "StoreError: no engine can be kept in ~/.cache/omnivla_vision: found no home directory" in result.stderr
    assert "user 54321 is not in /etc/passwd" in result.stderr
    assert "name another with bundle_dir (or XDG_CACHE_HOME)" in result.stderr
    result = as_nobody_known(GET, home="/")  # what docker run --user sets
    assert "StoreError: no engine can be kept in /.cache/omnivla_vision: found Permission denied" in result.stderr


def test_a_home_that_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/dev/null")
    with pytest.raises(StoreError, match=r"/dev/null/\.cache"):
        BundleStore(default_store()).get(KEY, never)


@pytest.mark.parametrize("limit", [1000, 100_000])
def test_a_limit_that_is_met_while_building(store: Path, limit: int) -> None:
    """As a quota; works for every user."""
    result = limited("import sys" + GET, limit, store)
    assert f"StoreError: no engine can be kept in {store}: found File too large" in result.stderr
    assert list(store.glob("[a-z]*")) == []
    assert BundleStore(store).get(KEY, build).path.name == bundle_name(KEY)


def test_an_engine_that_cannot_be_kept(backbone: Backbone, preset: Preset, tmp_path: Path) -> None:
    """Space is looked at before the work; where that was too little, whichever library met the end of the disk."""
    with mounted(tmp_path / "disk", "size=1m") as disk:
        for engine in ("eager", "onednn", "auto"):
            with pytest.raises(StoreError, match=r"found 1\.0 MB free, and weights of \d+\.\d MB to keep"):
                build_engine(
                    lambda: pytest.fail("the weights were read"),
                    preset=preset, fingerprint=FINGERPRINT, engine=engine, precision="float32", bundle_dir=disk / "s",
                )  # fmt: skip
    size = sum(parameter.numel() * 4 for parameter in backbone.parameters())
    with mounted(tmp_path / "disk", f"size={size + (1 << 16)}") as disk:
        with pytest.raises(StoreError, match="found No space left on device"):
            build_engine(
                backbone, preset=preset, fingerprint=FINGERPRINT, engine="eager", precision="float32", bundle_dir=disk
            )
        assert list(disk.glob("[a-z]*eager*")) == []


def test_others_errors_of_a_build_stay_what_they_are(store: Path) -> None:
    def fail(folder: Path) -> dict[str, object]:
        raise FileNotFoundError(2, "No such file", "weights.pt")

    with pytest.raises(FileNotFoundError):
        BundleStore(store).get(KEY, fail)
