"""The report's page: sections of HTML around charts and pictures. Every text from a bag is escaped."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.output_files import write
from omnivla_vision.replay.gate import Verdict
from omnivla_vision.replay.report.charts import STRIP, WIDE_STRIP, Series, histogram, line_chart
from omnivla_vision.replay.report.parts import figure, key, notice, page, section, strip, tiles, values
from omnivla_vision.replay.report.thumbnails import View, views
from omnivla_vision.replay.result import Replay, percentiles

SECONDS = "seconds into the bag"


def write_report(path: Path, replay: Replay, *, verdict: Verdict | None = None) -> None:
    """Write the report of a replay as one HTML file.

    Args:
        path: the file.
        replay: what to report.
        verdict: the comparison with a baseline, if there was one.
    """
    sections = [
        _verdict(verdict),
        notice(replay.all_notes(), random=replay.provenance.weights == "random"),
        _tiles(replay),
        _strip(views(replay)),
        _charts(replay),
        _stages(replay),
        _frames(replay),
        _provenance(replay),
    ]
    subtitle = f"{replay.provenance.preset}, {replay.mode} mode, {replay.selection.camera.name}"
    write(path, page(f"Replay of {replay.bag.name}", subtitle, sections))


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    word = "passed" if verdict.passed else "failed"
    return section(f"Baseline: {word}", f'<p class="verdict">{escape(str(verdict))}</p>', css=word)


def _tiles(replay: Replay) -> str:
    encode = percentiles([row.stage_ms["encode"] for row in replay.rows if "encode" in row.stage_ms])
    entries = [
        (f"{replay.counts.received}", "camera frames"),
        (f"{len(replay.rows)}", "with tokens"),
        (f"{replay.clock.rate_hz:.1f} Hz", "camera rate"),
    ]
    if encode:
        entries += [(f"{encode['p50']:.0f} ms", "encode, median"), (f"{encode['p95']:.0f} ms", "encode, 95 %")]
    cosines = [next(iter(row.goal_cosines.values())) for row in replay.rows if row.goal_cosines]
    if cosines:
        entries.append((f"{cosines[0]:.2f}→{cosines[-1]:.2f}", "cosine to the goal"))
    return tiles(entries)


def _strip(shown: list[View]) -> str:
    figures = []
    for view in shown:
        cosine = "" if view.cosine is None else f" · cosine {view.cosine:.2f}"
        css, name, caption = ("goal", "goal", "goal") if view.is_goal else ("", f"frame {view.index}", "")
        caption = caption or f"{view.seconds:.1f} s{cosine}"
        figures.append(figure(name, view.picture, view.components, caption, css=css))
    text = "Sampled frames, each above the first three principal components of its patch tokens as red, green and blue."
    return section("What the encoder saw", strip(figures), text=text)


def _charts(replay: Replay) -> str:
    rows = replay.rows
    if not rows:
        return ""
    encoders = list(rows[0].norms)
    x, x_label = _time_axis(replay)
    cosines = [
        Series(name, colour, x, np.array([row.goal_cosines.get(name, np.nan) for row in rows]))
        for colour, name in enumerate(encoders)
    ]
    lengths = {name: np.array([row.norms[name] for row in rows]) for name in encoders}
    norms = [
        Series(name, colour, x, 100 * values / np.median(values))
        for colour, (name, values) in enumerate(lengths.items())
    ]
    at = {row.index: seconds for row, seconds in zip(rows, x.tolist(), strict=True)}
    changes = [(at[goal.frame], "new goal") for goal in replay.goals[1:] if goal.frame in at]
    names = key([(name, colour) for colour, name in enumerate(encoders)])
    return '<div class="pair">{}{}</div>'.format(
        section(
            "How near the view is to the goal",
            names + line_chart(cosines, label="Cosine to the goal over time", x_label=x_label, marks=changes),
            text="Mean cosine between each patch and the goal's patch at the same place, in standardized channels; "
            "1 is the goal itself, 0 has nothing in common with it.",
        ),
        section(
            "Length of the tokens",
            key([(f"{name}, median {np.median(v):.4g}", colour) for colour, (name, v) in enumerate(lengths.items())])
            + line_chart(norms, label="Token norm over time", x_label=x_label),
            text="Mean L2 norm in percent of its median. A jump without one in the picture is worth a look.",
        ),
    )


def _stages(replay: Replay) -> str:
    if not replay.rows:
        return ""
    x, x_label = _time_axis(replay)
    lines = []
    for number, name in enumerate(replay.stage_names):
        values = np.array([row.stage_ms.get(name, np.nan) for row in replay.rows])
        present = values[np.isfinite(values)]
        cells = "".join(f'<td class="n">{value:.1f}</td>' for value in percentiles(present.tolist()).values())
        timeline = line_chart(
            [Series(f"{name}, ms:", number % 6, x, values)], label=f"{name} over time", x_label=x_label, size=STRIP
        )
        lines.append(
            f"<tr><th>{escape(name)}</th>{cells}"
            f'<td class="histogram">{histogram(present, label=f"{name}: how often", unit="ms")}</td>'
            f'<td class="timeline">{timeline}</td></tr>'
        )
    numbers = "".join(f'<th class="n">{name}</th>' for name in ("median", "95 %", "99 %", "max"))
    table = f'<div class="scroll"><table><tr><th>stage</th>{numbers}<th>how often</th><th>over time</th></tr>'
    return section("Latency per stage, in milliseconds", f"{table}{''.join(lines)}</table></div>")


def _frames(replay: Replay) -> str:
    counts = {name: count for name, count in asdict(replay.counts).items() if name != "received"}
    counts["lost on the way"] = replay.lost
    counts["missing in the bag"] = replay.missing
    shown = [
        (name, count) for name, count in counts.items() if count or name in ("published", "superseded", "rejected")
    ]
    bars = "".join(
        f'<div class="c{colour}" style="flex:{count}" title="{name}: {count}"></div>'
        for colour, (name, count) in enumerate(shown)
        if count
    )
    names = key([(f"{name} {count}", colour) for colour, (name, count) in enumerate(shown)])
    text = f"{replay.counts.received} camera frames received, at {replay.clock.rate_hz:.2f} Hz"
    text += f"; the longest pause was {replay.clock.longest_gap_s:.2f} s. The line shows the time between two frames."
    content = f'<div class="account">{bars}</div>{names}'
    times = np.asarray(replay.clock.times_ns, dtype=np.float64)
    if len(times) > 2:
        line = Series("interval, s:", 0, (times[1:] - replay.selection.bag_start_ns) / 1e9, np.diff(times) / 1e9)
        content += line_chart([line], label="Camera interval over time", x_label=SECONDS, size=WIDE_STRIP)
    return section("What became of the frames", content, text=text)


def _provenance(replay: Replay) -> str:
    known: dict[str, Any] = {
        **asdict(replay.provenance),
        "camera": replay.selection.camera,
        "goal": "; ".join(f"from frame {g.frame}: {g.source}, {g.id[:12]}" for g in replay.goals) or "none",
        **replay.parameters,
    }
    return section("What computed this", values(known.items()))


def _time_axis(replay: Replay) -> tuple[NDArray[np.float64], str]:
    """Seconds into the bag, or the frame's number where a loop made the time run backwards."""
    times = np.array([row.time_ns for row in replay.rows], dtype=np.int64)
    if (times[1:] < times[:-1]).any():
        return np.array([row.index for row in replay.rows], dtype=np.float64), "frame"
    return (times - replay.selection.bag_start_ns) / 1e9, SECONDS
