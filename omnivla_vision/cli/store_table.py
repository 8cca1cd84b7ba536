"""What is in a store of bundles: what was built, and what was refused."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from omnivla_vision.engine.refusals import Refusal

TABLE_WIDTH = 160
BUNDLES = ("bundle", "engine", "precision", "MB", "built", "s", "relative L2")
REFUSED = ("refused", "engine", "precision", "date", "reason")


def show_store(folder: Path) -> None:
    """Print a table of the bundles in a store, and one of the refusals. Nothing is written, and no file is hashed."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from omnivla_vision.engine.refusals import Refusals
    from omnivla_vision.engine.store import BundleStore

    # Wide enough for all columns also where there is no terminal to measure.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    store = BundleStore(folder, read_only=True)
    bundles = [_bundle_row(path) for path in store.folders()]
    refused = [_refused_row(refusal) for refusal in Refusals(store).all()]
    console.print(Text(f"{folder}: {len(bundles)} bundles, {len(refused)} refused"))
    for columns, rows in ((BUNDLES, bundles), (REFUSED, refused)):
        table = Table(box=box.SIMPLE)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            # As Text: rich would take brackets in a message for markup.
            table.add_row(*map(Text, row))
        if rows:
            console.print(table)


def _refused_row(refusal: Refusal) -> tuple[str, ...]:
    from omnivla_vision.engine.bundle import bundle_name

    key = refusal.key
    date = f"{refusal.date:%Y-%m-%d %H:%M}"
    return (bundle_name(key), key["engine"], key["precision"], date, refusal.summary)


def _bundle_row(folder: Path) -> tuple[str, ...]:
    from omnivla_vision.engine.bundle import MANIFEST, BundleError, read_manifest

    try:
        manifest = read_manifest(folder)
        built = datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime).astimezone()
    except (BundleError, OSError) as error:
        return (folder.name, "", "", "", "", "", f"cannot be used: {error}")
    key, notes = manifest["key"], manifest["notes"]
    size = sum(file["bytes"] for file in manifest["files"].values())
    seconds = f"{notes['build_s']:.0f}" if "build_s" in notes else ""
    return (
        folder.name,
        key["engine"],
        key["precision"],
        f"{size / 1e6:.0f}",
        f"{built:%Y-%m-%d %H:%M}",
        seconds,
        _figures(notes),
    )


def _figures(notes: Mapping[str, Any]) -> str:
    """What the gate measured when the bundle was built; the reference's own bundle has nothing to be compared with."""
    return ", ".join(f"{result['encoder']} {result['relative_l2']:.1e}" for result in notes.get("parity", ()))
