"""`omnivla-vision verify`: is this bundle whole, of this machine, and are its engine's tokens the reference's?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from omnivla_vision.cli.options import add_gate_option
from omnivla_vision.cli.paths import path

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check an engine bundle and its engine's tokens",
        description="Check a bundle's ownership, checksums and origin, start its engine, and compare its tokens with "
        "the reference tokens in it, on all the fixed images. Shown are the distances, their limits, and what plain "
        "torch loses in bfloat16, of which the limits are multiples. Exit code 0 only if everything holds.",
    )
    parser.add_argument("bundle", type=path, metavar="BUNDLE", help="the bundle's folder")
    add_gate_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify and report."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from omnivla_vision.engine.start import verify
    from omnivla_vision.tokens.difference import numbers

    started = verify(arguments.bundle, tolerance=arguments.gate_tolerance)
    print(f"{arguments.bundle}: whole, and of this machine; {started.engine.name} in {started.engine.precision}")
    for result, bfloat16 in zip(started.results, started.reference.bfloat16, strict=True):
        print(f"  {result.difference}")
        print(f"    limits: {numbers(result.limits)}")
        print(f"    plain torch in bfloat16: {numbers(bfloat16)}")
    if started.accepted:
        print(started.accepted)
    return 0
