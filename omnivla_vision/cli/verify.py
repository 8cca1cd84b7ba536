"""`omnivla-vision verify`: is this bundle whole, of this machine, and are its engine's tokens the reference's?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from omnivla_vision.cli.paths import path

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check an engine bundle and its engine's tokens",
        description="Check a bundle's ownership, checksums and origin, start its engine, and compare its tokens with "
        "the reference tokens in it, on all the fixed images. Exit code 0 only if everything holds.",
    )
    parser.add_argument("bundle", type=path, metavar="BUNDLE", help="the bundle's folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify and report."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from omnivla_vision.engine.parity import LIMITS
    from omnivla_vision.engine.start import verify

    started, results = verify(arguments.bundle)
    limits = LIMITS[started.spec.precision]
    print(f"{arguments.bundle}: whole, and of this machine; {started.engine.name} in {started.engine.precision}")
    for result in results:
        print(f"  {result}")
    print(
        f"  limits: token cosine min {limits.cosine_min} mean {limits.cosine_mean}, relative L2 {limits.relative_l2:g}"
    )
    return 0
