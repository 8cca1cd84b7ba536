"""The page about a dataset, in a real browser: frames, what their tokens tell apart, and how alike they are."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lance")

import cv2
import lance
import numpy as np
import pyarrow as pa

from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.report.examine import info_of
from omnivla_vision.dataset.report.page import SAMPLES, dataset_page
from omnivla_vision.dataset.report.scan import episode_rows
from omnivla_vision.dataset.report.views import camera_view
from omnivla_vision.network.grid import Grid
from test.dataset.messages import odometry
from test.dataset.random_walks import CLASS_TOKEN, DESCRIPTION, OUTPUT, random_walks
from test.replay import bags
from test.replay.browser import Browser

PICTURES = "return [...document.querySelectorAll('img.%s')].map(i => i.complete && i.naturalWidth > 0)"
LABELS = "return [...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-label'))"
TEXT = "return document.body.innerText"
SIMILARITY, AGES = "Similarity to the last frame", "Ages of the topics, in seconds"


def page_of(dataset: Path) -> Path:
    from omnivla_vision.cli import main

    page = dataset.with_name("page.html")
    assert main(["dataset", "info", str(dataset), "--html", str(page)]) == 0
    return page


def test_a_drive_with_pictures(tmp_path: Path, dataset: Callable[..., int], chromium: Browser) -> None:
    pytest.importorskip("torch")
    frames = [bags.raw(bags.picture(i), i / 10) for i in range(20) if not 8 <= i < 13]
    bags.write(tmp_path / "bag", [*frames, odometry(1.0, 0.0), odometry(2.0, 1.5)])
    (tmp_path / "bad.mcap").write_bytes(b"nothing")
    assert dataset(tmp_path / "bag", tmp_path / "bad.mcap", "--images") == 1
    page = page_of(tmp_path / "tokens.lance")
    chromium.requests()  # of the browser's first page
    chromium.open(page)
    assert chromium.console() == []
    assert chromium.requests() == [page.as_uri()], "one file, nothing from elsewhere"
    assert chromium.run("return document.title") == "Dataset tokens.lance"
    assert "RANDOM WEIGHTS" in chromium.run("return document.querySelector('.notice').textContent")
    assert chromium.run(PICTURES % "picture") == [True] * 8
    assert chromium.run(PICTURES % "components") == [True] * 8
    assert chromium.run(LABELS) == [SIMILARITY, AGES]
    text = chromium.run(TEXT)
    for told in ("gap 0.6 s", "1 gap", "/odom", "bad.mcap", "--images"):
        assert (told in text) is (told != "--images"), told
    drawn = chromium.run("return [...document.querySelectorAll('path.line')].map(p => p.getTotalLength())")
    assert len(drawn) == 3
    assert all(length > 50 for length in drawn), "both encoders' similarity, and an age"
    assert chromium.run("return document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"


def test_frames_and_their_tokens_are_above_one_another(tmp_path: Path, dataset: Callable[..., int]) -> None:
    """A strip's pictures are those of its frames, and its similarity is that of its tokens."""
    pytest.importorskip("torch")
    bags.write(tmp_path / "before", [bags.compressed(bags.picture(9), i / 10) for i in range(5)])
    bags.write(tmp_path / "bag", [bags.compressed(bags.picture(i % 4), 99 + i / 10) for i in range(12)])
    assert dataset(tmp_path / "before", tmp_path / "bag", "--images") == 0
    opened = lance.dataset(str(tmp_path / "tokens.lance"))
    _, rows = episode_rows(opened, ())
    view = camera_view(opened, Description.of(opened.schema.metadata), rows.cameras[0], 120)
    assert [shot.frame for shot in view.shots] == [0, 2, 3, 5, 6, 8, 9, 11]
    shown = {shot.picture for shot in view.shots}
    assert len(shown) == 4
    assert len({(shot.picture, shot.components) for shot in view.shots}) == 4, "alike where the frames are"
    data = base64.b64decode(view.shots[0].picture.partition(",")[2])
    drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    wanted = cv2.resize(bags.picture(0), drawn.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(drawn.astype(int) - wanted).mean() < 5
    for values in view.similarity.values():
        assert values[3::4] == pytest.approx(1), "the last frame is one of these"
        assert (values[0::4] < 0.99).all()


@pytest.mark.parametrize(
    ("description", "pictures"),
    [
        (DESCRIPTION, 8),
        (replace(DESCRIPTION, dtype="bfloat16"), 8),
        (replace(DESCRIPTION, outputs=(replace(OUTPUT, grid=Grid(2, 3), pooling="2x3"),)), 8),
        (replace(DESCRIPTION, outputs=(replace(OUTPUT, segments=(("projected", 64),)),), space="projected"), 8),
        (replace(DESCRIPTION, outputs=(replace(OUTPUT, segments=(("siglip", 8),) * 4),)), 8),
        (replace(DESCRIPTION, outputs=(OUTPUT, replace(OUTPUT, name="past", column="tokens_past"))), 8),
        (replace(DESCRIPTION, outputs=(CLASS_TOKEN,)), 0),
    ],
    ids=["pair", "bfloat16", "pooled", "projected", "shuffled", "two-outputs", "class-token"],
)
def test_every_kind_of_tokens(tmp_path: Path, description: Any, pictures: int, chromium: Browser) -> None:
    chromium.open(page_of(random_walks(tmp_path / "d.lance", [40], description=description)))
    assert chromium.console() == []
    assert chromium.run(PICTURES % "components") == [True] * pictures
    assert chromium.run(PICTURES % "picture") == []
    text = chromium.run(TEXT)
    assert "make it with --images" in text
    assert ("of which no picture can be made" in text) is not pictures
    lines = "return JSON.parse(document.querySelector('svg').dataset.hover).series.map(s => s.points.map(p => +p[3]))"
    for line in chromium.run(lines):
        assert len(line) == 40
        assert line[-1] == pytest.approx(1, abs=1e-3)
        assert np.isfinite(line).all()
        assert np.mean(line[-10:]) > np.mean(line[:10]) + 0.1, "a random walk comes nearer to its end"


def test_bfloat16_is_what_was_stored(tmp_path: Path) -> None:
    found = []
    for dtype in ("float16", "bfloat16"):
        path = random_walks(tmp_path / dtype, [40], description=replace(DESCRIPTION, dtype=dtype))
        opened = lance.dataset(str(path))
        (rows,) = episode_rows(opened, ())
        view = camera_view(opened, Description.of(opened.schema.metadata), rows.cameras[0], 40)
        found.append(np.concatenate(list(view.similarity.values())))
    assert found[0] == pytest.approx(found[1], abs=0.01)


def test_of_many_episodes_the_first_are_drawn(
    tmp_path: Path, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omnivla_vision.dataset.report.page.LISTED", 22)
    chromium.open(page_of(random_walks(tmp_path / "d.lance", [1, 2, *[5] * 21])))
    assert chromium.console() == []
    assert chromium.run("return document.querySelectorAll('.strip').length") == 20
    assert "The first 20 of 23 are shown above." in chromium.run(TEXT)
    assert "drive 21" in chromium.run(TEXT)
    assert "drive 22" not in chromium.run(TEXT)
    assert "This table has the first 22" in chromium.run(TEXT)


def test_of_a_long_episode_few_tokens_are_read(tmp_path: Path) -> None:
    opened = lance.dataset(str(random_walks(tmp_path / "d.lance", [3000])))
    info = info_of(opened)
    opened.io_stats_incremental()
    dataset_page(opened, info)
    assert opened.io_stats_incremental().read_bytes < info.bytes * (SAMPLES + 8 + 60) / 3000


def test_a_dataset_without_rows(tmp_path: Path, chromium: Browser) -> None:
    chromium.open(page_of(random_walks(tmp_path / "d.lance", [])))
    assert chromium.console() == []
    assert chromium.run("return document.querySelectorAll('.strip').length") == 0


def test_a_picture_that_is_none_is_said(tmp_path: Path, chromium: Browser) -> None:
    path = random_walks(
        tmp_path / "d.lance", [3], description=replace(DESCRIPTION, images=True), columns={"image": [b"no JPEG"] * 3}
    )
    chromium.open(page_of(path))
    assert chromium.run(PICTURES % "components") == [True] * 3
    assert "found 7 bytes starting with 6e 6f 20 4a" in chromium.run(TEXT)


def test_names_are_text_and_never_markup(tmp_path: Path, chromium: Browser) -> None:
    evil = "<img src=x onerror=\"alert('owned')\">"
    path = random_walks(
        tmp_path / "<b>d",
        [3],
        names=[evil],
        kinds={evil: pa.float64()},
        columns={evil: [1.0] * 3, "camera": [evil] * 3},
    )
    lance.dataset(str(path)).update_schema_metadata(
        {"omnivla_vision.broken": f'{{"/x{evil[:9]}": "</script>{evil[:9]}"}}'}
    )
    chromium.open(page_of(path))
    assert chromium.console() == []
    assert chromium.run("return document.title") == "Dataset <b>d"
    assert chromium.run("return [...document.images].filter(i => i.getAttribute('src') == 'x').length") == 0
    assert chromium.run(TEXT).count(evil) >= 4


def test_a_page_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from omnivla_vision.cli import main

    path = random_walks(tmp_path / "d.lance", [3])
    assert main(["dataset", "info", str(path), "--html", str(tmp_path / "none" / "page.html")]) == 1
    told = capsys.readouterr()
    assert "no folder" in told.err
    assert told.out == ""
