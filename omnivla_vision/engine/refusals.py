"""What a store remembers of engines that failed: their build, their start, or the gate.

A build takes minutes, and where it failed once it fails again as long as nothing that it depends on has changed. So the
reason is kept under the key that the bundle would have had, `refused/<name of the bundle>.json`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from omnivla_vision.engine.base import EngineError, EngineFailedError
from omnivla_vision.engine.bundle import ForeignBundleError, bundle_name, check_owner, key_hash, sync
from omnivla_vision.engine.parity import ParityError
from omnivla_vision.engine.passing import is_passing
from omnivla_vision.engine.store import BundleStore
from omnivla_vision.engine.store_folder import StoreError, keeping
from omnivla_vision.output_files import OutputError, writing

logger = logging.getLogger(__name__)

FORMAT = 1
REFUSED = "refused"
SUMMARY_LENGTH = 200
RETRY = "omnivla-vision build --retry"
# What is remembered, by its name in the file. A lack of packages is found out anew in milliseconds; a lack of memory or
# space may be over.
_KINDS: dict[str, type[EngineError]] = {kind.__name__: kind for kind in (ParityError, EngineFailedError)}
# Parts of a key that are not what was asked for, but what was at hand for it: a new refusal takes the place of others.
_VERSIONS = ("graph_version", "gate_version", "versions", "parity_images")
_MACHINE_VERSIONS = ("driver", "l4t")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An engine that failed.

    Attributes:
        key: what its bundle would have depended on.
        kind: the error's name, "ParityError" or "EngineFailedError".
        reason: the error's message.
        figures: of each encoder what the gate measured; empty if it did not come to that.
        tolerance: multiple of the gate's limits that it was judged with.
        date: when, with the offset from UTC.
        took_s: seconds from the start of the attempt to its end.
    """

    key: dict[str, Any]
    kind: str
    reason: str
    figures: tuple[dict[str, Any], ...]
    tolerance: float
    date: datetime
    took_s: float

    def error(self) -> EngineError:
        """The same error again, which says since when it is known, and how to try again."""
        return _KINDS[self.kind](f"{self.reason} (remembered from {self.date:%Y-%m-%d}; retry with {RETRY})")

    @property
    def summary(self) -> str:
        """The reason's beginning, on one line."""
        line = " ".join(self.reason.split())
        return line if len(line) <= SUMMARY_LENGTH else f"{line[:SUMMARY_LENGTH]}..."


class Refusals:
    """The refusals in a store. One that cannot be written keeps none, and those in it count.

    Args:
        store: the bundles' store.
    """

    def __init__(self, store: BundleStore) -> None:
        self._store = store
        self._folder = store.root / REFUSED

    def check(self, key: Mapping[str, Any], tolerance: float = 1.0) -> None:
        """Raise what this engine was refused for.

        Args:
            key: what its bundle depends on.
            tolerance: multiple of the gate's limits that holds now; tokens refused with a smaller one may pass.

        Raises:
            ParityError, EngineFailedError: it was refused.
        """
        refusal = self._read(self._path(key))
        if refusal is None or (refusal.kind == ParityError.__name__ and tolerance > refusal.tolerance):
            return
        raise refusal.error()

    @contextmanager
    def remembering(self, key: Mapping[str, Any], tolerance: float = 1.0) -> Iterator[None]:
        """Around a build or a start: keep what it fails for, unless that may be gone at the next try."""
        began = time.monotonic()
        try:
            yield
        except tuple(_KINDS.values()) as error:
            if is_passing(error):
                logger.info("not remembered, because it may pass: %s", error)
            else:
                self._keep(key, error, tolerance, time.monotonic() - began)
            raise

    def forget(self, key: Mapping[str, Any]) -> None:
        """Remove what is remembered of this engine for these weights on this hardware, whatever the versions.

        Raises:
            StoreError: it cannot be removed.
        """
        for path, refusal in self._all():
            if _asked(refusal.key) == _asked(key):
                with keeping(self._store.root):
                    path.unlink(missing_ok=True)

    def all(self) -> list[Refusal]:
        """Every refusal that can be believed, oldest first."""
        return sorted((refusal for _, refusal in self._all()), key=lambda refusal: refusal.date)

    def _all(self) -> Iterator[tuple[Path, Refusal]]:
        for path in sorted(self._folder.glob("[!.]*.json")):
            if (refusal := self._read(path)) is not None:
                yield path, refusal

    def _path(self, key: Mapping[str, Any]) -> Path:
        return self._folder / f"{bundle_name(key)}.json"

    def _read(self, path: Path) -> Refusal | None:
        """What is in a file; None if there is none, or it is not to be believed."""
        try:
            check_owner(self._folder, is_folder=True)
            check_owner(path)
            refusal = _parse(path.read_bytes())
            if self._path(refusal.key) == path:
                return refusal
            raise ValueError("its name is not that of its key")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ForeignBundleError as error:
            logger.warning("a remembered refusal is not believed: %s", error)
        except OSError as error:
            logger.warning("a remembered refusal cannot be read: %s", error)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("removing a damaged refusal, %s: %s: %s", path, type(error).__name__, error)
            if self._store.writable:
                with suppress(OSError):
                    path.unlink()
        return None

    def _keep(self, key: Mapping[str, Any], error: EngineError, tolerance: float, took_s: float) -> None:
        if not self._store.writable:
            logger.info("the refusal is not remembered: nothing can be written in %s", self._store.root)
            return
        content = {
            "format": FORMAT,
            "key": dict(key),
            "kind": next(name for name, kind in _KINDS.items() if isinstance(error, kind)),
            "reason": str(error),
            "figures": [asdict(result.difference) for result in getattr(error, "results", ())],
            "tolerance": tolerance,
            "date": datetime.now().astimezone().isoformat(timespec="seconds"),
            "took_s": round(took_s, 2),
        }
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            check_owner(self._folder, is_folder=True)
            self.forget(key)
            with writing(self._path(key)) as unfinished:
                unfinished.touch(mode=0o600)
                unfinished.write_text(json.dumps(content, indent=1, sort_keys=True))
                sync(unfinished)
        except (OSError, OutputError, StoreError, ForeignBundleError) as problem:
            logger.info("the refusal is not remembered: %s", problem)


def _parse(content: bytes) -> Refusal:
    found = json.loads(content)
    if found["format"] != FORMAT:
        raise ValueError(f"found format {found['format']}, expected {FORMAT}")
    if found["kind"] not in _KINDS:
        raise ValueError(f"found kind {found['kind']!r}, expected one of {', '.join(_KINDS)}")
    return Refusal(
        key=dict(found["key"]),
        kind=found["kind"],
        reason=str(found["reason"]),
        figures=tuple(dict(figures) for figures in found["figures"]),
        tolerance=float(found["tolerance"]),
        date=datetime.fromisoformat(found["date"]),
        took_s=float(found["took_s"]),
    )


def _asked(key: Mapping[str, Any]) -> str:
    """What was asked for, and of which hardware, without the versions."""
    asked = {name: value for name, value in key.items() if name not in _VERSIONS}
    if "machine" in asked:
        asked["machine"] = {name: value for name, value in asked["machine"].items() if name not in _MACHINE_VERSIONS}
    return key_hash(asked)
