"""The report opens in a real browser, offline and without a complaint, and shows what was measured."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.exact import ExactReplay
from omnivla_vision.replay.gate import Limits, Verdict, ViewDifference
from omnivla_vision.replay.report.charts import POINTS, Series, histogram, line_chart, thinned
from omnivla_vision.replay.report.page import write_report
from omnivla_vision.replay.report.thumbnails import views
from omnivla_vision.replay.result import Replay
from omnivla_vision.replay.selection import select
from test.encoders import random_encoder
from test.replay import bags
from test.replay.browser import Browser, browser
from test.replay.conftest import TINY

Play = Callable[..., Replay]


def test_the_page_shows_what_was_measured(tmp_path: Path, replay: Play, chromium: Browser) -> None:
    result = replay(bags.write(tmp_path / "bag", bags.drive(20)))
    page = tmp_path / "report.html"
    write_report(page, result)
    chromium.requests()  # of the browser's first page
    chromium.open(page)
    assert chromium.console() == []
    assert chromium.requests() == [page.as_uri()], "one file, nothing from elsewhere"
    assert chromium.run("return document.title") == "Replay of bag"
    assert "RANDOM WEIGHTS" in chromium.run("return document.querySelector('.notice').textContent")
    assert chromium.run("return document.querySelector('.tile b').textContent") == "20"
    pictures = chromium.run("return [...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert all(pictures)
    assert len(pictures) == 2 * (len(result.measurements.pictures.kept) + 1), (
        "sampled frames and the goal, with components"
    )
    labels = chromium.run("return [...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-label'))")
    for label in ("Cosine to the goal over time", "Token norm over time", "encode over time", "encode: how often"):
        assert label in labels
    drawn = chromium.run("return [...document.querySelectorAll('path.line')].map(p => p.getTotalLength())")
    assert len(drawn) >= 2 + 2 + len(result.stage_names)
    assert all(length > 50 for length in drawn), "every line has an extent"
    assert chromium.run("return document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"


def test_components_of_a_rectangle_are_one(tmp_path: Path) -> None:
    sizes = [ImageSize(56, 28), ImageSize(64, 32)]
    encoders = tuple(replace(spec, image_size=size) for spec, size in zip(TINY.encoders, sizes, strict=True))
    bag = bags.write(tmp_path / "bag", bags.drive(3))
    with Bag(bag) as opened:
        selection = select(opened)
    result = ExactReplay(bag, selection, random_encoder(replace(TINY, encoders=encoders))).run({})
    for view in views(result):
        png = np.frombuffer(base64.b64decode(view.components.partition(",")[2]), np.uint8)
        assert cv2.imdecode(png, cv2.IMREAD_COLOR).shape == (4, 2, 3)


def test_hovering_a_chart_tells_the_values(tmp_path: Path, replay: Play, chromium: Browser) -> None:
    page = tmp_path / "report.html"
    write_report(page, replay(bags.write(tmp_path / "bag", bags.drive(20))))
    chromium.open(page)
    place = "const c = document.querySelector('svg[data-hover]'); c.scrollIntoView({block: 'center'});"
    box = chromium.run(f"{place} const b = c.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]")
    assert chromium.run("return document.getElementById('tip').hidden")
    chromium.hover(box[0] + box[2] - 16, box[1] + box[3] / 2)
    tip = chromium.run("return document.getElementById('tip').innerText")
    assert tip.splitlines() == ["1.9 seconds into the bag", "dinov2 1", "siglip 1"]
    chromium.hover(2, 2)
    assert chromium.run("return document.getElementById('tip').hidden")
    assert chromium.console() == []


def test_names_from_a_bag_are_text_and_never_markup(tmp_path: Path, replay: Play, chromium: Browser) -> None:
    result = replay(bags.write(tmp_path / "<img src=x onerror=alert(1)>", bags.drive(3)))
    result.notes.append("</script><script>document.title = 'owned'</script>")
    page = tmp_path / "report.html"
    write_report(page, result)
    chromium.open(page)
    assert chromium.console() == []
    assert chromium.run("return document.title") == "Replay of <img src=x onerror=alert(1)>"
    assert "owned" in chromium.run("return document.querySelector('.notice').textContent")


def test_without_goal_or_with_one_frame_the_page_is_still_whole(
    tmp_path: Path, replay: Play, chromium: Browser
) -> None:
    page = tmp_path / "report.html"
    write_report(page, replay(bags.write(tmp_path / "bag", bags.drive(1, goal=False))))
    chromium.open(page)
    assert chromium.console() == []
    assert chromium.run("return document.querySelectorAll('.empty').length") == 1
    assert "--goal-image FILE" in chromium.run("return document.querySelector('.notice').textContent")


def test_dark_and_light_differ_and_both_are_readable(tmp_path: Path, replay: Play, chromium: Browser) -> None:
    result = replay(bags.write(tmp_path / "bag", bags.drive(8)))
    worst = ViewDifference(view="frame 3", encoder="siglip", cosine=0.9, relative_l2=0.4, norm_change=0.1, excess=200.0)
    page = tmp_path / "report.html"
    write_report(page, result, verdict=Verdict(passed=False, views=9, failed=1, limits=Limits(), worst=[worst]))
    script = """
      const rgb = (element, property) => getComputedStyle(element)[property].match(/\\d+/g).slice(0, 3).map(Number);
      const light = ([r, g, b]) => (r * 299 + g * 587 + b * 114) / 1000;
      const verdict = document.querySelector('section.failed');
      return [light(rgb(verdict, 'color')), light(rgb(verdict, 'backgroundColor')), verdict.innerText];
    """
    chromium.open(page)
    ink, card, text = chromium.run(script)
    assert card - ink > 150
    assert "1 of 9 views differ" in text
    assert "frame 3, siglip: cosine 0.900000" in text
    with browser(tmp_path / "profile", dark=True) as dark:
        dark.open(page)
        ink, card, _ = dark.run(script)
        assert ink - card > 150
        assert dark.console() == []


def test_a_long_line_keeps_its_peaks(tmp_path: Path) -> None:
    y = np.sin(np.arange(20_000) / 300)
    y[12_345], y[700] = 9, -9
    line = thinned(Series("a", 0, np.arange(20_000.0), y))
    assert len(line.x) <= POINTS
    assert {line.y.max(), line.y.min()} == {9, -9}
    assert (np.diff(line.x) > 0).all()


def test_a_chart_survives_constants_gaps_and_nothing() -> None:
    x = np.arange(5.0)
    nothing = line_chart([Series("a", 0, x, np.full(5, np.nan))], label="l", x_label="x")
    assert "No values" in nothing
    gap = line_chart([Series("a", 0, x, np.array([1, 1, np.nan, 1, 1]))], label="l", x_label="x")
    assert gap.count("M") == 2, "the line is interrupted"
    assert "nan" not in gap.lower()
    assert histogram(np.full(7, 3.0), label="l", unit="ms").count("<rect") == 1
