"""From a bundle to a running engine: built if there is none, checked, started, held against the reference."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

import torch

from omnivla_vision.engine import machine, parity
from omnivla_vision.engine.base import (
    Backend,
    Engine,
    EngineError,
    EngineFailedError,
    EngineSpec,
    EngineUnavailableError,
    UnknownEngineError,
)
from omnivla_vision.engine.bundle import Bundle, check
from omnivla_vision.engine.eager import EagerEngine
from omnivla_vision.engine.fit import require_disk, require_memory
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.graph import GRAPH_VERSION
from omnivla_vision.engine.limits import GATE_VERSION
from omnivla_vision.engine.parity import Judged
from omnivla_vision.engine.parity_images import ALL_IMAGES, START_IMAGES, parity_images_id
from omnivla_vision.engine.reference import Reference, compute_reference
from omnivla_vision.engine.refusals import Refusals
from omnivla_vision.engine.store import BundleStore
from omnivla_vision.engine.store_folder import DISK_FULL, StoreError, keeping
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset

logger = logging.getLogger(__name__)

ENGINES = ("eager", "onednn", "inductor", "onnxruntime", "tensorrt")


def get_backend(name: str) -> Backend:
    """Look an engine's module up.

    Raises:
        UnknownEngineError: no such engine; the message lists the known ones.
    """
    if name not in ENGINES:
        raise UnknownEngineError(f"unknown engine {name!r}; expected auto or one of {', '.join(ENGINES)}")
    return cast(Backend, importlib.import_module(f"omnivla_vision.engine.{name}"))


@dataclass(frozen=True, kw_only=True)
class Started:
    """An engine that passed the gate.

    Attributes:
        engine: it.
        spec: what it was built for.
        bundle: what it came from.
        reference: what it was compared with.
        results: what was measured on this start, one per encoder.
        accepted: what a tolerance above 1 let through, now or when it was built, in a sentence; empty if nothing.
    """

    engine: Engine
    spec: EngineSpec
    bundle: Bundle
    reference: Reference
    results: tuple[Judged, ...]
    accepted: str


def start(
    backbone: Backbone | Callable[[], Backbone],
    spec: EngineSpec,
    name: str,
    fingerprint: str,
    store: BundleStore,
    *,
    tolerance: float = 1.0,
) -> Started:
    """Start one engine from its bundle, which is built first if there is none; the arguments are `build_engine`'s.

    What it is refused for is remembered in the store, and raised at once the next time.

    Raises:
        As `select.build_engine`.
    """
    backend = get_backend(name)
    require(backend, spec.precision)
    key = bundle_key(backend, spec, fingerprint)
    refusals = Refusals(store)
    refusals.check(key, tolerance)

    def build(folder: Path) -> dict[str, Any]:
        # Another process may have found out while this one waited for it.
        refusals.check(key, tolerance)
        with refusals.remembering(key, tolerance):
            return build_new(folder)

    def build_new(folder: Path) -> dict[str, Any]:
        started = time.perf_counter()
        require_memory(name, spec.preset)
        require_disk(spec, folder)
        logger.info("%s: reading the weights", name)
        network = backbone if isinstance(backbone, Backbone) else backbone()
        reference = _reference(network, fingerprint, store)
        logger.info("%s: building in %s", name, spec.precision)
        with _failures(name, spec, "built"), keeping(store.root, only=DISK_FULL):
            notes = backend.build(fold(network), spec, folder) or {}
        del network
        # Before the bundle exists: one that fails is never sealed.
        logger.info("%s: comparing with the reference", name)
        with _failures(name, spec, "started"):
            built = backend.load(folder, spec)
        measured = parity.check(built, spec, reference, ALL_IMAGES, tolerance=tolerance)
        reference.save(folder)
        return {
            **notes,
            "build_s": round(time.perf_counter() - started, 2),
            **parity.to_notes(measured),
            "bfloat16": [asdict(entry) for entry in reference.bfloat16],
        }

    bundle = store.get(key, build)
    with refusals.remembering(key, tolerance):
        started = _load(backend, spec, bundle, START_IMAGES, tolerance)
    if store.writable:
        with suppress(StoreError):
            refusals.forget(key)
    return started


def forget_refusal(spec: EngineSpec, name: str, fingerprint: str, store: BundleStore) -> None:
    """Let the next `start` try again what was refused.

    Raises:
        StoreError: the refusal cannot be removed.
    """
    backend = get_backend(name)
    if not backend.missing(spec.precision):
        Refusals(store).forget(bundle_key(backend, spec, fingerprint))


def start_reference(backbone: Callable[[], Backbone], preset: Preset) -> Engine:
    """The float32 reference itself, in memory, for a machine that can keep no bundle; on its GPU if there is one.

    Raises:
        NotEnoughMemoryError: it would not fit.
        ParityError: on a GPU, it does not compute the reference's tokens.
    """
    require_memory("eager", preset)
    network = backbone()
    if not torch.cuda.is_available():
        return EagerEngine(network)
    reference = compute_reference(network)
    spec = EngineSpec(preset=preset, precision="float32", entry="stack")
    engine = EagerEngine(network.to("cuda"), spec)
    parity.check(engine, spec, reference, START_IMAGES)
    return engine


def verify(folder: Path, *, tolerance: float = 1.0) -> Started:
    """Check a bundle in every way there is, and run its engine on all the fixed images.

    Raises:
        BundleError: damaged, foreign, or made for other versions or another machine than this.
        EngineUnavailableError: its engine cannot run here.
        ParityError: its tokens are not the reference's.
    """
    key = check(folder).key
    backend = get_backend(str(key["engine"]))
    require(backend, key["precision"])
    spec = EngineSpec(
        preset=_rebuild(Preset, key["preset"]), precision=key["precision"], images=key["images"], entry=key["entry"]
    )
    return _load(backend, spec, check(folder, bundle_key(backend, spec, key["weights"])), ALL_IMAGES, tolerance)


def _load(backend: Backend, spec: EngineSpec, bundle: Bundle, images: tuple[int, ...], tolerance: float) -> Started:
    """Start a checked bundle's engine and let it through the gate.

    What was measured when it was built counts, too: it may have been accepted by another user, or for an image that is
    not looked at now.
    """
    built = parity.from_notes(bundle.notes)
    parity.require(built, f"{backend.NAME} in {spec.precision}", tolerance)
    with _failures(backend.NAME, spec, "started"):
        engine = backend.load(bundle.path, spec)
    reference = Reference.load(bundle.path)
    results = parity.check(engine, spec, reference, images, tolerance=tolerance)
    return Started(
        engine=engine,
        spec=spec,
        bundle=bundle,
        reference=reference,
        results=results,
        accepted=parity.accepted(map(_worse, built, results), tolerance),
    )


def _worse(one: Judged, other: Judged) -> Judged:
    return max(one, other, key=lambda judged: judged.excess)


def _reference(backbone: Backbone, fingerprint: str, store: BundleStore) -> Reference:
    """The reference of these weights, which bundles of several engines share: computed once, kept in each."""

    def build(folder: Path) -> dict[str, Any]:
        logger.info("computing the reference tokens")
        compute_reference(backbone).save(folder)
        return {}

    key = {
        "weights": fingerprint,
        "preset_name": backbone.preset.name,
        "preset": _network(backbone.preset),
        "engine": "reference",
        "precision": "float32",
        "versions": {"torch": torch.__version__},
        "machine": machine.facts(),
        "parity_images": parity_images_id(),
    }
    return Reference.load(store.get(key, build).path)


def require(backend: Backend, precision: str) -> None:
    """Refuse an engine that cannot run here.

    Raises:
        EngineUnavailableError: the precision is not one of the engine's, or the machine lacks something.
    """
    if precision not in backend.PRECISIONS:
        raise EngineUnavailableError(
            f"engine {backend.NAME} does not compute in {precision}; it offers {', '.join(backend.PRECISIONS)}"
        )
    lacking = backend.missing(precision)
    if lacking:
        raise EngineUnavailableError(f"engine {backend.NAME} cannot run in {precision} here: it needs {lacking}")


def bundle_key(backend: Backend, spec: EngineSpec, fingerprint: str) -> dict[str, Any]:
    """Everything that a bundle's content depends on."""
    return {
        "weights": fingerprint,
        "preset_name": spec.preset.name,
        "preset": _network(spec.preset),
        "graph_version": GRAPH_VERSION,
        "engine": backend.NAME,
        "precision": spec.precision,
        "images": spec.images,
        "entry": spec.entry,
        "versions": backend.versions(),
        "machine": machine.facts(),
        "parity_images": parity_images_id(),
        "gate_version": GATE_VERSION,
    }


def _network(preset: Preset) -> dict[str, Any]:
    """All numbers of a network; what is done to images in front of it does not count."""
    facts = asdict(preset.network)
    for name in ("image_path", "views", "outputs", "history"):
        del facts[name]
    return facts


@contextmanager
def _failures(name: str, spec: EngineSpec, verb: str) -> Iterator[None]:
    """Name the engine in whatever its library raises, so that `auto` can go on and a user knows where to look."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineFailedError(
            f"engine {name} in {spec.precision} could not be {verb}: {type(error).__name__}: {error}; "
            "choose another engine, or `auto`"
        ) from error


def _rebuild(kind: Any, value: Any) -> Any:
    """A dataclass again, from what `asdict` and JSON made of it: tuples have become lists."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _rebuild(hints[name], part) for name, part in value.items()})
    if get_origin(kind) is tuple:
        return tuple(_rebuild(get_args(kind)[0], item) for item in value)
    if isinstance(kind, type) and issubclass(kind, tuple):  # a named one
        return kind(*value)
    if isinstance(kind, UnionType) and value is not None:  # an optional one
        return _rebuild(get_args(kind)[0], value)
    return value
