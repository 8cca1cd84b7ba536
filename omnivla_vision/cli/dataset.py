"""`omnivla-vision dataset`: recordings into a dataset of tokens."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from omnivla_vision.cli.dataset_workers import add_ray_options, opened_runner
from omnivla_vision.cli.numbers import non_negative, positive
from omnivla_vision.cli.options import (
    add_engine_options,
    add_max_pixels_option,
    add_pool_option,
    add_weights_options,
    encoder_options,
)
from omnivla_vision.cli.paths import path

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from omnivla_vision.dataset.making.run import Summary
    from omnivla_vision.dataset.recordings.plan import Plan
    from omnivla_vision.dataset.store import TokenStore


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "dataset",
        help="make a dataset of tokens from recordings, to train a policy on",
        description="Encode every camera frame of bags, and write the tokens with the other topics' latest values as "
        "rows of a Lance dataset. What is in it already is not done again: a run that was killed goes on. Exit code 1 "
        "when a recording could not be used; the others are in the dataset.",
    )
    parser.add_argument(
        "bags", type=path, nargs="*", metavar="BAG", help="bag folder, .mcap or .db3 file, or a folder of such"
    )
    parser.add_argument(
        "--from-frames",
        type=path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="instead of bags: folders of pictures 0.jpg, 1.jpg, ... (GNM's layout) or LeRobot datasets (v3), and "
        "folders of such",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the dataset: a folder, or s3://... and the like")
    _add_rows(parser.add_argument_group("what becomes rows"))
    _add_encoder(parser.add_argument_group("what encodes"))
    add_ray_options(parser.add_argument_group("on a cluster"))
    parser.set_defaults(run=run)


def _add_rows(group: Any) -> None:
    group.add_argument(
        "--image-topic", nargs="+", default=(), metavar="TOPIC", help="the camera, or several (found by type)"
    )
    group.add_argument(
        "--topics",
        nargs="*",
        metavar="TOPIC",
        help="other topics to make columns of (all of type Odometry, Twist, TwistStamped, PoseStamped and NavSatFix; "
        "with --from-frames all columns)",
    )
    group.add_argument(
        "--frame-rate", type=positive, metavar="HZ", help="of folders of pictures, which say no times (none known)"
    )
    rate = group.add_mutually_exclusive_group()
    rate.add_argument("--every", type=positive, metavar="SECONDS", help="between rows, by stamps (every frame)")
    rate.add_argument("--rate", type=positive, metavar="HZ", help="the same as a rate")
    group.add_argument("--start", type=non_negative, default=0.0, metavar="SECONDS", help="into each bag (0)")
    group.add_argument("--duration", type=positive, metavar="SECONDS", help="how much of each (all)")
    group.add_argument("--images", action="store_true", help="keep the frames, too, as JPEG")
    group.add_argument(
        "--dtype", choices=("float16", "bfloat16"), default="float16", help="of the stored tokens (%(default)s)"
    )
    add_max_pixels_option(group)


def _add_encoder(group: Any) -> None:
    add_weights_options(group)
    group.add_argument(
        "--space", choices=("fused", "projected"), default="fused", help="with the projector or not (%(default)s)"
    )
    add_pool_option(group)
    add_engine_options(group)


def run(arguments: argparse.Namespace) -> int:
    """Find, encode, commit."""
    # Here and not above, as in every command: --help should not wait for what is imported.
    from omnivla_vision.dataset.errors import NoRecordingError
    from omnivla_vision.dataset.store import TokenStore
    from omnivla_vision.dataset.support import import_lance

    if bool(arguments.bags) == bool(arguments.from_frames):
        raise NoRecordingError(
            "found bags and --from-frames; expected one of them; make two datasets, or run the command twice"
            if arguments.bags
            else "found no recordings; expected bags, or --from-frames with folders of pictures or LeRobot datasets"
        )
    import_lance()
    with TokenStore(_place(arguments.out)).held() as store:
        plan = _plan(arguments, store)
        for note in plan.notes:
            print(note, file=sys.stderr)
        summary = _add(arguments, store, plan)
        return _report(store, summary)


def _place(out: str) -> str:
    """A folder's path as every process sees it; a URI as it is."""
    out = out.removeprefix("file://")
    return out if "://" in out else str(path(out).resolve())


def _every_ns(arguments: argparse.Namespace) -> int:
    seconds = arguments.every or (1 / arguments.rate if arguments.rate else 0.0)
    return round(seconds * 1e9)


def _plan(arguments: argparse.Namespace, store: TokenStore) -> Plan:
    from omnivla_vision.dataset.recordings.frame_options import FrameOptions
    from omnivla_vision.dataset.recordings.plan import plan_bags
    from omnivla_vision.dataset.recordings.plan_frames import plan_frames
    from omnivla_vision.dataset.recordings.row_options import RowOptions

    cameras = tuple(arguments.image_topic)
    common: dict[str, Any] = {
        "every_ns": _every_ns(arguments),
        "start_s": arguments.start,
        "duration_s": arguments.duration,
        "images": arguments.images,
        "max_pixels": arguments.max_image_pixels,
    }
    topics = None if store.description is None else store.description.topics
    if arguments.from_frames:
        types = None if topics is None else {name: store.dataset.schema.field(name).type for name in topics}
        options = FrameOptions(cameras=cameras, frame_rate=arguments.frame_rate, **common)
        folders = [folder.resolve() for folder in arguments.from_frames]
        return plan_frames(folders, options, asked=arguments.topics, present=types)
    bags = [bag.resolve() for bag in arguments.bags]
    return plan_bags(bags, RowOptions(cameras=cameras, **common), asked=arguments.topics, present=topics)


def _add(arguments: argparse.Namespace, store: TokenStore, plan: Plan) -> Summary:
    from omnivla_vision.cli.dataset_progress import Bars
    from omnivla_vision.dataset.made_by import made_by
    from omnivla_vision.dataset.making.run import add_missing
    from omnivla_vision.dataset.making.worker import Request
    from omnivla_vision.dataset.recordings.sampling import sampling_name

    request = Request(
        uri=store.uri,
        encoder=encoder_options(arguments),
        dtype=arguments.dtype,
        images=arguments.images,
        sampling=sampling_name(_every_ns(arguments), arguments.start, arguments.duration, arguments.frame_rate),
        topics=plan.topics,
        values=plan.values,
        made_by=made_by(),
    )
    with Bars() as bars, opened_runner(arguments, request) as runner:
        return add_missing(store, plan.recordings, plan.unreadable, runner, bars, request.values)


def _report(store: TokenStore, summary: Summary) -> int:
    from omnivla_vision.cli.dataset_progress import counted

    for place, reason in summary.broken.items():
        print(f"not used: {place}: {reason}", file=sys.stderr)
    rows = counted(sum(episode.rows for episode in summary.added), "row")
    before = f", {summary.present} were in it" if summary.present else ""
    broken = f", {len(summary.broken)} could not be used" if summary.broken else ""
    print(f"{store.uri}: {counted(len(summary.added), 'recording')} added ({rows}){before}{broken}")
    return int(bool(summary.broken))
