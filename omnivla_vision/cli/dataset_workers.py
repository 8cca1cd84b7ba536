"""Who encodes a dataset: this process, or a Ray cluster; its options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omnivla_vision.cli.numbers import positive, whole_positive
from omnivla_vision.errors import VisionError

if TYPE_CHECKING:
    from omnivla_vision.dataset.making.run import Runner
    from omnivla_vision.dataset.making.worker import Request


class RayOptionError(VisionError):
    """An option of the cluster, and no cluster."""


def add_ray_options(group: Any) -> None:
    """Declare --ray, --ray-actors, --num-cpus and --num-gpus."""
    group.add_argument(
        "--ray",
        nargs="?",
        const="",
        type=_address,
        metavar="ADDRESS",
        help="encode on Ray: auto or HOST:PORT of a cluster that this machine is in (one of this machine alone)",
    )
    group.add_argument(
        "--ray-actors", type=whole_positive, metavar="N", help="how many encode at once (as many as there is room for)"
    )
    group.add_argument("--num-cpus", type=whole_positive, metavar="N", help="of each actor, and its threads (1)")
    group.add_argument("--num-gpus", type=positive, metavar="X", help="of each actor; 0.5: two share one (none)")


def _address(text: str) -> str:
    if text not in ("", "auto") and not re.fullmatch(r"\S+:\d+", text):
        raise argparse.ArgumentTypeError(f"found {text}; expected auto, HOST:PORT, or --ray behind the bags")
    return text


@contextmanager
def opened_runner(arguments: argparse.Namespace, request: Request) -> Iterator[Callable[[], Runner]]:
    """What makes the one that works, for `run.add_missing`.

    Raises:
        RayOptionError: options of the cluster without --ray.
        RaySupportMissingError: Ray is not installed.
    """
    if arguments.ray is None:
        from omnivla_vision.dataset.making.run import LocalRunner
        from omnivla_vision.dataset.making.worker import Worker

        given = [name for name in ("ray_actors", "num_cpus", "num_gpus") if getattr(arguments, name) is not None]
        if given:
            option = f"--{given[0].replace('_', '-')}"
            raise RayOptionError(f"found {option} without --ray; expected both; add --ray, or leave out {option}")
        yield lambda: LocalRunner(Worker(request))
        return
    from omnivla_vision.dataset.cluster.on_ray import RayRunner

    with RayRunner(
        request,
        address=arguments.ray,
        actors=arguments.ray_actors or 0,
        num_cpus=arguments.num_cpus or 1,
        num_gpus=arguments.num_gpus or 0.0,
    ) as runner:
        yield lambda: runner
