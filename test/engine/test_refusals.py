"""An engine that failed is not built again to find it out once more, until something has changed."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.engine import eager, machine, onnxruntime, reference, select, start, tensorrt
from omnivla_vision.engine.base import Engine, EngineFailedError, EngineSpec, EngineUnavailableError
from omnivla_vision.engine.bundle import BundleError
from omnivla_vision.engine.fit import NotEnoughMemoryError
from omnivla_vision.engine.parity import ParityError
from omnivla_vision.engine.parity_images import parity_images
from omnivla_vision.engine.passing import is_passing
from omnivla_vision.engine.refusals import REFUSED, Refusals
from omnivla_vision.engine.select import build_engine
from omnivla_vision.engine.store import BundleStore
from omnivla_vision.engine.store_folder import StoreError
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset
from omnivla_vision.process import signals
from test.disks import read_only
from test.presets import shallow

from .conftest import FINGERPRINT, small_backbone

Patch = pytest.MonkeyPatch
Build = Callable[..., Engine]
REASON = "engine onnxruntime in float32 could not be built: RuntimeError: no kernel image is available"
REMEMBERED = r" \(remembered from \d{4}-\d\d-\d\d; retry with omnivla-vision build --retry\)"


@pytest.fixture(scope="module")
def preset() -> Preset:
    """One block per encoder is executed: what is built here is not the point."""
    return shallow("small", 2)


@pytest.fixture(scope="module")
def backbone(preset: Preset) -> Backbone:
    return small_backbone(preset)


@pytest.fixture(autouse=True, scope="module")
def one_image() -> Iterator[None]:
    """What the gate sees is not the point here, and all its images would be most of the time."""
    (first, *_) = parity_images()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "parity_images", lambda: (first,))
        patch.setattr(start, "ALL_IMAGES", (0,))
        patch.setattr(start, "START_IMAGES", (0,))
        yield


@pytest.fixture(scope="module")
def with_reference(backbone: Backbone, one_image: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the reference's tokens only, which every build would compute anew."""
    store = tmp_path_factory.mktemp("reference") / "bundles"
    start._reference(backbone, FINGERPRINT, BundleStore(store))
    return store


@pytest.fixture
def store(with_reference: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(with_reference, tmp_path / "bundles"))


@pytest.fixture
def build(backbone: Backbone, preset: Preset, store: Path) -> Build:
    def build(engine: str = "auto", precision: str = "auto", fingerprint: str = FINGERPRINT, **more: object) -> Engine:
        return build_engine(
            backbone, preset=preset, fingerprint=fingerprint, engine=engine, precision=precision, bundle_dir=store,
            **more,  # type: ignore[arg-type]
        )  # fmt: skip

    return build


class Failing:
    """A build that raises, and counts how often it was asked to."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.times = 0

    def __call__(self, *_: object) -> None:
        self.times += 1
        raise self.error


@pytest.fixture
def broken(monkeypatch: Patch) -> Failing:
    """The first of what `auto` chooses from here cannot be built; the second can."""
    failing = Failing(RuntimeError("no kernel image is available"))
    monkeypatch.setattr(select, "candidates", lambda: [("onnxruntime", "float32", ""), ("eager", "float32", "")])
    monkeypatch.setattr(onnxruntime, "missing", lambda _: "")
    monkeypatch.setattr(onnxruntime, "versions", lambda: {"onnxruntime": "1"})
    monkeypatch.setattr(onnxruntime, "build", failing)
    return failing


@pytest.fixture
def wrong(monkeypatch: Patch) -> None:
    """Engine eager computes something else than its network."""
    load = eager.load

    def lose_a_block(folder: Path, spec: EngineSpec) -> Engine:
        engine = load(folder, spec)
        encoder = engine._graph.backbone.encoders["siglip"]
        encoder.blocks = encoder.blocks[:-1]
        return engine

    monkeypatch.setattr(eager, "load", lose_a_block)


@pytest.fixture
def refused(build: Build, broken: Failing) -> Callable[..., str]:
    """The sentence with which the broken engine, asked for by name, is refused."""

    def refused(**more: object) -> str:
        with pytest.raises(
            (EngineFailedError, EngineUnavailableError, BundleError, NotEnoughMemoryError, StoreError)
        ) as caught:
            build("onnxruntime", "float32", **more)
        return str(caught.value)

    return refused


def kept(store: Path) -> list[Path]:
    return sorted((store / REFUSED).glob("*"))


def never() -> Backbone:
    raise AssertionError("the weights were read")


def test_auto_builds_once_what_cannot_be_built(build: Build, broken: Failing, caplog: pytest.LogCaptureFixture) -> None:
    first = build()
    caplog.clear()
    second = build()
    assert broken.times == 1
    assert (second.name, second.precision) == ("eager", "float32")
    assert (
        first.notice
        == f"eager in float32 instead of onnxruntime in float32: {REASON}; choose another engine, or `auto`"
    )
    fresh, _, memory = second.notice.partition(" (")
    assert fresh == first.notice
    assert "remembered from 20" in memory
    assert "retry with omnivla-vision build --retry" in memory
    assert f"auto: {second.notice.partition(' instead of ')[2]}" in caplog.text


def test_an_engine_asked_for_by_name_is_refused_at_once(
    build: Build, broken: Failing, preset: Preset, store: Path
) -> None:
    with pytest.raises(EngineFailedError, match=REASON) as fresh:
        build("onnxruntime", "float32")
    with pytest.raises(EngineFailedError, match=REASON + ".*" + REMEMBERED) as again:
        build_engine(never, preset=preset, fingerprint=FINGERPRINT, engine="onnxruntime", bundle_dir=store)
    assert str(again.value).startswith(str(fresh.value))
    assert broken.times == 1


def test_what_the_gate_refuses_is_remembered_with_its_figures(
    build: Build, wrong: None, preset: Preset, store: Path
) -> None:
    with pytest.raises(ParityError) as fresh:
        build("eager", "float32")
    with pytest.raises(ParityError, match=REMEMBERED) as again:
        build_engine(never, preset=preset, fingerprint=FINGERPRINT, engine="eager", bundle_dir=store)
    assert str(again.value).startswith(str(fresh.value))
    (refusal,) = Refusals(BundleStore(store, read_only=True)).all()
    assert refusal.reason == str(fresh.value)
    assert (refusal.kind, refusal.tolerance) == ("ParityError", 1.0)
    assert refusal.took_s > 0
    (file,) = kept(store)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (store / REFUSED).stat().st_mode & 0o777 == 0o700


def test_a_bundle_that_fails_when_it_starts_stays(build: Build, monkeypatch: Patch, store: Path) -> None:
    """A driver that computes wrong numbers today."""
    build("eager", "float32")
    failing = Failing(RuntimeError("an illegal instruction was encountered"))
    with monkeypatch.context() as patch:
        patch.setattr(eager, "load", failing)
        for _ in range(2):
            with pytest.raises(EngineFailedError, match="could not be started: RuntimeError: an illegal instruction"):
                build("eager", "float32")
    assert failing.times == 1
    with pytest.raises(EngineFailedError, match=REMEMBERED):
        build("eager", "float32", read_only=True)
    assert len(list(store.glob("small-eager-*"))) == 1
    monkeypatch.setattr(eager, "build", Failing(AssertionError("built again")))
    assert build("eager", "float32", retry=True).notice == ""
    assert kept(store) == []


def test_retry_tries_all_that_auto_would(build: Build, broken: Failing, monkeypatch: Patch, store: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(eager, "build", broken)
        for _ in range(2):
            with pytest.raises(EngineUnavailableError, match="no engine can run here: onnxruntime in"):
                build()
        assert (broken.times, len(kept(store))) == (2, 2)
    assert "remembered" not in build(retry=True).notice
    assert broken.times == 3
    assert [refusal.key["engine"] for refusal in stored(store)] == ["onnxruntime"]


def test_retry_of_one_engine(refused: Callable[..., str], broken: Failing) -> None:
    for retry in (False, True):
        assert "remembered" not in refused(retry=retry)
        assert "remembered" in refused()
    assert broken.times == 2


@pytest.mark.parametrize("change", ["versions", "machine", "fingerprint", "images", "entry"])
def test_whatever_changes_it_is_tried_again(
    refused: Callable[..., str], broken: Failing, monkeypatch: Patch, change: str
) -> None:
    refused()
    facts = machine.facts()
    more: dict[str, object] = {}
    if change == "versions":
        monkeypatch.setattr(onnxruntime, "versions", lambda: {"onnxruntime": "2"})
    elif change == "machine":
        monkeypatch.setattr(machine, "facts", lambda: facts | {"driver": "570"})
    else:
        more = {change: {"fingerprint": "others", "images": 2, "entry": "stack"}[change]}
    assert "remembered" not in refused(**more)
    assert broken.times == 2
    assert "remembered" in refused(**more)
    assert broken.times == 2


def test_versions_take_each_others_place_and_other_wishes_do_not(
    refused: Callable[..., str], broken: Failing, monkeypatch: Patch, store: Path
) -> None:
    """Two cameras want engines for one image and for two: neither may forget what the other has found."""
    for images in (1, 2, 1, 2):
        refused(images=images)
    assert broken.times == 2
    monkeypatch.setattr(onnxruntime, "versions", lambda: {"onnxruntime": "2"})
    refused()
    assert broken.times == 3
    found = {(refusal.key["images"], refusal.key["versions"]["onnxruntime"]) for refusal in stored(store)}
    assert found == {(1, "2"), (2, "1")}
    facts = machine.facts()
    monkeypatch.setattr(machine, "facts", lambda: facts | {"gpu": "another robot's, with the same home"})
    refused()
    assert len(kept(store)) == 3


def stored(store: Path) -> list:
    return Refusals(BundleStore(store, read_only=True)).all()


def test_a_larger_tolerance_tries_again_and_a_smaller_one_does_not(
    build: Build, wrong: None, refused: Callable[..., str], store: Path
) -> None:
    def judged(tolerance: float) -> str:
        with pytest.raises(ParityError) as error:
            build("eager", "float32", tolerance=tolerance)
        return str(error.value)

    assert "remembered" not in judged(2.0)
    assert "remembered" in judged(2.0)
    assert "remembered" in judged(1.0)
    assert "remembered" not in judged(2.5)
    assert [refusal.tolerance for refusal in stored(store)] == [2.5]
    # No limit makes a library build what it could not.
    refused(tolerance=1.0)
    assert "remembered" in refused(tolerance=9.0)


def test_success_forgets(build: Build, broken: Failing, monkeypatch: Patch, store: Path) -> None:
    """Also what versions of before were refused for."""
    build()
    assert len(kept(store)) == 1
    monkeypatch.setattr(onnxruntime, "versions", lambda: {"onnxruntime": "2"})
    monkeypatch.setattr(onnxruntime, "build", eager.build)
    monkeypatch.setattr(onnxruntime, "load", eager.load)
    assert build().notice == ""
    assert kept(store) == []


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        torch.OutOfMemoryError("Allocation on device"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("g++: fatal error: Killed signal terminated program cc1plus"),
        RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
        OSError(errno.ENOSPC, "No space left on device"),
        EngineUnavailableError("engine onnxruntime: building needs onnx"),
        NotEnoughMemoryError("building takes 5 GB"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_pass_is_not_remembered(
    refused: Callable[..., str], broken: Failing, store: Path, error: Exception
) -> None:
    broken.error = error
    for _ in range(2):
        assert "remembered" not in refused()
    assert broken.times == 2
    assert kept(store) == []


def test_the_reason_behind_a_reason_counts(monkeypatch: Patch) -> None:
    failed = EngineFailedError("could not be built")
    assert not is_passing(failed)
    failed.__cause__ = MemoryError()
    assert is_passing(failed)
    monkeypatch.setattr(signals, "came", lambda: 15)
    assert is_passing(EngineFailedError("no kernel image is available"))


def test_a_read_only_store_is_believed_and_not_written(refused: Callable[..., str], store: Path) -> None:
    refused()
    (file,) = kept(store)
    assert "remembered" in refused(read_only=True)
    file.write_text("{")
    assert "found no bundle" in refused(read_only=True)
    assert file.read_text() == "{"
    file.unlink()
    assert "found no bundle" in refused(read_only=True)
    assert kept(store) == []


def test_a_refusal_that_cannot_be_written_is_not_kept(
    refused: Callable[..., str], broken: Failing, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (store / REFUSED).write_text("in the way")
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert "remembered" not in refused()
    assert broken.times == 2
    assert "the refusal is not remembered: " in caplog.text
    assert (store / REFUSED).read_text() == "in the way"


def test_a_disk_that_becomes_read_only(build: Build, monkeypatch: Patch, store: Path, caplog) -> None:
    """Its bundle starts no more, and nothing can be kept of it; what was kept cannot be forgotten."""
    build("eager", "float32")
    monkeypatch.setattr(eager, "load", Failing(RuntimeError("an illegal instruction was encountered")))
    with read_only(store), caplog.at_level(logging.INFO):
        with pytest.raises(EngineFailedError, match="illegal instruction"):
            build("eager", "float32")
        assert f"the refusal is not remembered: nothing can be written in {store}" in caplog.text
    with pytest.raises(EngineFailedError):
        build("eager", "float32")
    with read_only(store):
        with pytest.raises(EngineFailedError, match=REMEMBERED):
            build("eager", "float32")
        with pytest.raises(StoreError, match="Read-only file system"):
            build("eager", "float32", retry=True)


def damage_by_cutting(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def damage_by_emptying(file: Path) -> None:
    file.write_bytes(b"")


def damage_the_date(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"date": "yesterday"}))


def damage_the_kind(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"kind": "SystemExit"}))


def damage_the_format(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 0}))


def damage_the_key(file: Path) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"key": content["key"] | {"weights": "others"}}))


def damage_the_kind_of_file(file: Path) -> None:
    file.write_text("[]")


@pytest.mark.parametrize(
    "damage",
    [damage_by_cutting, damage_by_emptying, damage_the_date, damage_the_kind, damage_the_format, damage_the_key,
     damage_the_kind_of_file],
)  # fmt: skip
def test_a_damaged_refusal_is_removed_and_the_engine_tried_again(
    refused: Callable[..., str],
    broken: Failing,
    store: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    refused()
    (file,) = kept(store)
    damage(file)
    assert "remembered" not in refused()
    assert f"removing a damaged refusal, {file}: " in caplog.text
    assert broken.times == 2
    assert "remembered" in refused()


def open_to_others(file: Path) -> None:
    file.chmod(0o666)


def link(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def open_folder(file: Path) -> None:
    file.parent.chmod(0o777)


def anothers(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(file, 12345, -1)


@pytest.mark.parametrize("make_foreign", [open_to_others, link, open_folder, anothers])
def test_what_others_may_have_written_is_not_believed(
    refused: Callable[..., str],
    broken: Failing,
    store: Path,
    caplog: pytest.LogCaptureFixture,
    make_foreign: Callable[[Path], None],
) -> None:
    refused()
    (file,) = kept(store)
    make_foreign(file)
    assert "remembered" not in refused()
    assert broken.times == 2
    assert "a remembered refusal is not believed: " in caplog.text


def test_a_process_that_waited_for_a_failing_build_believes_it(
    refused: Callable[..., str], broken: Failing, monkeypatch: Patch
) -> None:
    """The other one's refusal appears between this one's first look and its turn."""
    refused()
    looks = 0
    check = Refusals.check

    def late(self: Refusals, key: dict[str, object], tolerance: float) -> None:
        nonlocal looks
        looks += 1
        if looks > 1:
            check(self, key, tolerance)

    monkeypatch.setattr(Refusals, "check", late)
    assert "remembered" in refused()
    assert (looks, broken.times) == (2, 1)


def test_keys_are_those_of_bundles(refused: Callable[..., str], preset: Preset, store: Path) -> None:
    refused()
    (refusal,) = stored(store)
    key = start.bundle_key(onnxruntime, EngineSpec(preset=preset, precision="float32"), FINGERPRINT)
    assert refusal.key == json.loads(json.dumps(key))


def test_a_tensorrt_that_cannot_be_imported_is_a_refusal(build: Build, monkeypatch: Patch, tmp_path: Path) -> None:
    """Its versions are known without importing it; the import would end `auto` before anything could be kept."""
    site = tmp_path / "site"
    for distribution, version in (("torch_tensorrt", "2.8.0"), ("tensorrt_cu12_bindings", "10.3.0")):
        information = site / f"{distribution}-{version}.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Name: {distribution.replace('_', '-')}\nVersion: {version}\n")
    for name in ("torch_tensorrt", "tensorrt"):
        (site / f"{name}.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(tensorrt, "missing", lambda _: "")
    monkeypatch.setattr(select, "candidates", lambda: [("tensorrt", "float16", ""), ("eager", "float32", "")])
    found = tensorrt.versions()
    assert (found["torch_tensorrt"], found["tensorrt"]) == ("2.8.0", "10.3.0")
    for remembered in (False, True):
        notice = build().notice
        assert "engine tensorrt in float16 could not be built: ImportError: libnvinfer.so.10" in notice
        assert ("remembered" in notice) is remembered
