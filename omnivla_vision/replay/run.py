"""`omnivla-vision replay` without the parsing: what mode exact and mode live have in common, and mode exact itself."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.images.files import read_rgb
from omnivla_vision.images.raw import MAX_PIXELS
from omnivla_vision.output_files import check_file, make_folder
from omnivla_vision.progress import CountColumn, CountedProgress
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.baseline import Baseline, BaselineBuilder
from omnivla_vision.replay.exact import ExactReplay, FixedGoal
from omnivla_vision.replay.gate import Limits, Verdict, compare
from omnivla_vision.replay.measure import segments
from omnivla_vision.replay.report.page import write_report
from omnivla_vision.replay.result import Replay
from omnivla_vision.replay.selection import Selection, select
from omnivla_vision.replay.steps import frame_at
from omnivla_vision.replay.token_bag import TokenBag


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that both modes share; the names are the command line's."""

    bag: Path
    out: Path
    json: bool = False
    no_tokens: bool = False
    image_topic: str | None = None
    goal_topic: str | None = None
    goal_image: Path | None = None
    goal_at: float | None = None
    start: float = 0.0
    duration: float | None = None
    max_image_pixels: int = MAX_PIXELS
    save_baseline: Path | None = None
    against: Path | None = None
    min_cosine: float | None = None
    max_relative_l2: float | None = None
    max_norm_change: float | None = None
    allow_different: bool = False

    @classmethod
    def names(cls) -> list[str]:
        """The names of all options."""
        return [field.name for field in fields(cls)]

    def prepare(self) -> None:
        """Make the output's folder, and sure that all files can be written: before the work, not after it.

        Raises:
            OutputError: one cannot.
        """
        make_folder(self.out)
        if self.save_baseline is not None:
            check_file(self.save_baseline)

    def select(self) -> Selection:
        """Choose what of the bag is played; raises what `selection.select` does."""
        with Bag(self.bag) as bag:
            return select(
                bag,
                image_topic=self.image_topic,
                goal_topic=self.goal_topic,
                goal_elsewhere=self.goal_image is not None or self.goal_at is not None,
                start_s=self.start,
                duration_s=self.duration,
                max_pixels=self.max_image_pixels,
            )

    def fixed_goal(self, selection: Selection) -> FixedGoal | None:
        """The goal that does not come from a topic, if one was named."""
        if self.goal_image is not None:
            rgb = read_rgb(self.goal_image, max_pixels=self.max_image_pixels)
            return FixedGoal(goal=Goal(rgb=rgb), source=str(self.goal_image))
        if self.goal_at is not None:
            time_ns = selection.bag_start_ns + round(self.goal_at * 1e9)
            frame = frame_at(self.bag, selection.camera, time_ns, max_pixels=self.max_image_pixels)
            return FixedGoal(
                goal=Goal(rgb=frame.rgb, stamp_ns=frame.stamp_ns),
                source=f"{selection.camera.name} at {self.goal_at:g} s",
            )
        return None

    def token_bag(self, stack: ExitStack) -> TokenBag | None:
        """The opened tokens.mcap, unless it is not wanted."""
        return None if self.no_tokens else stack.enter_context(TokenBag(self.out / "tokens.mcap"))

    def parameters(self) -> dict[str, Any]:
        """What was asked for, as far as it was."""
        return {
            name: str(value) for name, value in asdict(self).items() if value and name not in ("bag", "out", "json")
        }


def run_exact(options: Options, encoder: VisionEncoder) -> int:
    """Play in mode exact, write the files, and judge; returns the exit code.

    Raises:
        OutputError: there is no space for the tokens of the whole bag, or a file cannot be written.
        VisionError: what the bag, the goal or the baseline cannot be used for.
    """
    selection = options.select()
    then = None if options.against is None else Baseline.load(options.against)
    specs = encoder.preset.encoders
    columns = segments([spec.name for spec in specs], [spec.width for spec in specs])
    builder = BaselineBuilder(columns, then=then)
    if not options.no_tokens:
        # tokens.mcap holds float16; the images come on top.
        token_bytes = 2 * encoder.layout.elements
        make_folder(options.out, (selection.frames or 1) * token_bytes)
    with ExitStack() as stack:
        token_bag = options.token_bag(stack)
        bar = stack.enter_context(progress_bar())
        task = bar.add_task("encoding", total=selection.frames)
        replay = ExactReplay(
            options.bag,
            selection,
            encoder,
            fixed_goal=options.fixed_goal(selection),
            sinks=[builder] if options.save_baseline or then is not None else [],
            token_bag=token_bag,
            progress=lambda done: bar.update(task, completed=done),
        ).run(options.parameters())
    verdict = None
    if options.save_baseline is not None:
        builder.build(encoder.provenance).save(options.save_baseline)
    if then is not None:
        verdict = compare(
            builder.build(encoder.provenance), then, _limits(options), allow_different=options.allow_different
        )
    return finish(options, replay, verdict=verdict)


def finish(
    options: Options,
    replay: Replay,
    verdict: Verdict | None = None,
) -> int:
    """Write report.html and metrics.json, and say in a few lines what came of it; returns the exit code."""
    gate = {} if verdict is None else {"gate": asdict(verdict)}
    replay.save_metrics(options.out / "metrics.json", **gate)
    write_report(options.out / "report.html", replay, verdict=verdict)
    if options.json:
        print(
            json.dumps({key: value for key, value in {**gate, **replay.metrics()}.items() if key != "rows"}, indent=2)
        )
    else:
        console = Console(highlight=False)
        counts = ", ".join(f"{count} {name}" for name, count in asdict(replay.counts).items() if count)
        page = str(options.out / "report.html")
        console.print(Text(str(replay.selection)))
        console.print(Text.assemble((page, "bold"), f": {counts}; {replay.wall_s:.1f} s"))
        for note in replay.all_notes():
            console.print(Text(f"note: {note}", style="yellow"))
        if verdict is not None:
            console.print(Text(str(verdict), style="green" if verdict.passed else "bold red"))
    incomplete = not replay.rows or replay.counts.failed or replay.lost or replay.missing
    return int(bool(incomplete or (verdict is not None and not verdict.passed)))


def progress_bar() -> Progress:
    """A progress bar on stderr, so that --json has stdout for itself."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), CountColumn(), TimeRemainingColumn())
    return CountedProgress(*columns, console=Console(stderr=True))


def _limits(options: Options) -> Limits:
    names = [field.name for field in fields(Limits)]
    return Limits(**{name: getattr(options, name) for name in names if getattr(options, name) is not None})
