"""Which engine runs here, by measured facts of the machine; and the one function that callers need."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from omnivla_vision.engine.base import (
    PRECISIONS,
    Engine,
    EngineError,
    EngineSpec,
    EngineUnavailableError,
    Entry,
    UnknownEngineError,
)
from omnivla_vision.engine.choice import choices, facts
from omnivla_vision.engine.start import ENGINES, forget_refusal, get_backend, start
from omnivla_vision.engine.store import BundleStore
from omnivla_vision.engine.store_folder import StoreError, default_store
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset

logger = logging.getLogger(__name__)

AUTO = "auto"


def candidates() -> list[tuple[str, str, str]]:
    """What `auto` tries on this machine, best first: engine, precision, and the fact that speaks for it."""
    return choices(facts())


def build_engine(
    backbone: Backbone | Callable[[], Backbone],
    *,
    preset: Preset,
    fingerprint: str,
    engine: str = AUTO,
    precision: str = AUTO,
    images: int = 1,
    entry: Entry = "uint8",
    bundle_dir: Path | None = None,
    read_only: bool = False,
    tolerance: float = 1.0,
    retry: bool = False,
) -> Engine:
    """Find or build the bundle of an engine, start the engine, and hold its tokens against the reference's.

    What an engine is refused for is remembered: the next time nothing is built to find it out again.

    Args:
        backbone: float32, on the CPU; or a function that returns it, called only when something must be built. It is
            left as it is.
        preset: the backbone's.
        fingerprint: identifies the weights.
        engine: one of ENGINES, or "auto" for the best that this machine can run.
        precision: one of PRECISIONS, or "auto" for the engine's best here.
        images: the batch that the engine takes.
        entry: "uint8" normalizes inside the graph, "stack" takes what `Preprocessor` returns.
        bundle_dir: where bundles are kept; `default_store()` if None.
        read_only: use a bundle that is there; build nothing.
        tolerance: how many times the gate's limits are accepted; above 1 is for those who have measured their own task.
            What was refused with a smaller one is tried again.
        retry: forget what the engine, or every engine that `auto` would try, was refused for.

    Returns:
        An engine that passed the gate. Its `notice` says what `auto` could not have, and why, and what `tolerance` let
        through.

    Raises:
        UnknownEngineError: no such engine or precision.
        EngineUnavailableError: the engine asked for cannot run here; the message names what is missing.
        EngineFailedError: its library could not build or start it.
        BundleError: `read_only`, and there is no bundle that can be used.
        StoreError: a bundle must be written, and cannot be; of `auto`, when nothing else kept its last choice away.
        ParityError: the engine asked for does not compute the reference's tokens.
    """
    if precision not in (AUTO, *PRECISIONS):
        raise UnknownEngineError(f"unknown precision {precision!r}; expected {AUTO} or one of {', '.join(PRECISIONS)}")
    store = BundleStore(bundle_dir or default_store(), read_only=read_only)
    plan = [
        (name, EngineSpec(preset=preset, precision=chosen, images=images, entry=entry), reason)
        for name, chosen, reason in _plan(engine, precision)
    ]
    if retry:
        for name, spec, _ in plan:
            forget_refusal(spec, name, fingerprint, store)
    refused: list[str] = []
    last: EngineError | None = None
    for name, spec, reason in plan:
        chosen = spec.precision
        try:
            started = start(backbone, spec, name, fingerprint, store, tolerance=tolerance)
        except EngineError as error:
            if engine != AUTO:
                raise
            refused.append(f"{name} in {chosen}: {error}")
            logger.warning("auto: %s", refused[-1])
            last = error
            continue
        logger.info("engine %s in %s: %s", name, chosen, reason)
        instead = f"{name} in {chosen} instead of " + "; instead of ".join(refused) if refused else ""
        started.engine.notice = "; ".join(filter(None, [started.accepted, instead]))
        return started.engine
    if isinstance(last, StoreError):
        raise last
    raise EngineUnavailableError("no engine can run here: " + "; ".join(refused))


def _plan(engine: str, precision: str) -> list[tuple[str, str, str]]:
    """What to try, in order. An engine asked for by name is tried in one precision, and nothing else is."""
    if engine == AUTO:
        plan = [choice for choice in candidates() if precision in (AUTO, choice[1])]
        if not plan:
            raise EngineUnavailableError(
                f"auto has no engine for {precision} here; it would use {candidates()[0][1]}; name an engine: "
                f"{', '.join(ENGINES)}"
            )
        return plan
    backend = get_backend(engine)
    if precision != AUTO:
        return [(engine, precision, "asked for")]
    best = [choice[1] for choice in candidates() if choice[0] == engine]
    runnable = [name for name in (*best, *backend.PRECISIONS) if not backend.missing(name)]
    # When none can run, the first one's error says what is missing.
    return [(engine, (runnable or list(backend.PRECISIONS))[0], "asked for")]
