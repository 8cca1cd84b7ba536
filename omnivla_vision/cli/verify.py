"""`omnivla-vision verify`: are these bundles whole, of this machine, and are their engines' tokens the reference's?"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from omnivla_vision.cli.options import DISTRIBUTIONS, add_gate_option
from omnivla_vision.cli.paths import path

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from pathlib import Path


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check engine bundles and their engines' tokens",
        description="Check bundles' ownership, checksums and origin, start their engines, and compare the tokens with "
        "the reference tokens in the bundle, on all the fixed images. Shown are the distances, their limits, and what "
        "plain torch loses in bfloat16, of which the limits are multiples. Exit code 0 only if everything holds.",
    )
    parser.add_argument(
        "bundle", type=path, nargs="*", metavar="BUNDLE", help="a bundle's folder (every bundle in --bundle-dir)"
    )
    parser.add_argument("--bundle-dir", type=path, metavar="DIR", help="where bundles are kept (the user's cache)")
    parser.add_argument(
        "--weights", choices=DISTRIBUTIONS, help="of --bundle-dir, only those of random weights of that kind"
    )
    add_gate_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify and report."""
    bundles = arguments.bundle or _stored(arguments.bundle_dir, arguments.weights)
    refused = [bundle for bundle in bundles if not _verify(bundle, arguments.gate_tolerance)]
    if len(bundles) != 1:
        print(f"{len(bundles)} bundles, {len(refused)} refused")
    return 1 if refused else 0


def _verify(bundle: Path, tolerance: float) -> bool:
    """Whether everything holds; what does not goes to stderr."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from omnivla_vision.engine.start import verify
    from omnivla_vision.errors import VisionError
    from omnivla_vision.tokens.difference import numbers

    try:
        started = verify(bundle, tolerance=tolerance)
    except VisionError as error:
        print(error, file=sys.stderr)
        return False
    print(f"{bundle}: whole, and of this machine; {started.engine.name} in {started.engine.precision}")
    for result, bfloat16 in zip(started.results, started.reference.bfloat16, strict=True):
        print(f"  {result.difference}")
        print(f"    limits: {numbers(result.limits)}")
        print(f"    plain torch in bfloat16: {numbers(bfloat16)}")
    kept = started.bundle.notes.get("kept_layers", {})
    if kept:
        layers = ", ".join(f"{name} ({error:.3f})" for name, error in kept.items())
        print(f"  not in int8, because of the error that it would make: {layers}")
    if started.accepted:
        print(started.accepted)
    return True


def _stored(folder: Path | None, weights: str | None) -> list[Path]:
    """The engines' bundles in a store; those of a kind of random weights, if one is given.

    One whose manifest cannot be read is among them, to be refused with the reason.

    Raises:
        MissingBundleError: there is none.
    """
    from omnivla_vision.engine.bundle import BundleError, read_manifest
    from omnivla_vision.engine.store import BundleStore, MissingBundleError
    from omnivla_vision.engine.store_folder import default_store, expand_store
    from omnivla_vision.weights import is_random

    root = expand_store(folder) if folder else default_store()
    found = []
    for bundle in BundleStore(root, read_only=True).folders():
        try:
            key = read_manifest(bundle)["key"]
        except BundleError:
            found.append(bundle)
            continue
        if key["engine"] != "reference" and (not weights or is_random(key["weights"], key["preset_name"], weights)):
            found.append(bundle)
    if not found:
        kind = f" of {weights} random weights" if weights else ""
        raise MissingBundleError(f"found no engine{kind} in {root}; build one with `omnivla-vision build`")
    return found
