"""`omnivla-vision dataset`: every frame of every bag is a row, and the metadata say what made it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lance")
import lance

from test.dataset.conftest import write_drive
from test.dataset.messages import odometry, twist
from test.encoders import random_encoder
from test.replay import bags
from test.replay.conftest import TINY


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Two bags in a folder."""
    folder = tmp_path / "drives"
    folder.mkdir()
    write_drive(folder / "drive_2", 3)
    write_drive(folder / "drive_10", 4, first=10, start_s=100.0)
    return folder


def packed(picture: np.ndarray[Any, Any], dtype: str = "float16", **options: Any) -> bytes:
    """The tokens of a picture as the node packs them."""
    from omnivla_vision.tokens.packing import pack

    encoder = random_encoder(TINY, seed=1, takes_goal=False, **options)
    return pack(encoder.encode(picture).tokens, dtype).data.tobytes()


def test_every_frame_is_a_row_with_the_encoders_tokens(
    drives: Path, dataset: Callable[..., int], table: Callable[..., Any]
) -> None:
    assert dataset(drives) == 0
    rows = table().to_pylist()
    assert [row["episode"].partition("@")[0] for row in rows] == ["drive_2"] * 3 + ["drive_10"] * 4
    assert [row["episode_index"] for row in rows] == [0] * 3 + [1] * 4
    assert [row["frame_index"] for row in rows] == [0, 1, 2, 0, 1, 2, 3]
    assert {row["camera"] for row in rows} == {bags.CAMERA}
    assert [row["stamp_ns"] - bags.START_NS for row in rows] == [
        *(i * 10**8 for i in range(3)),
        *(100 * 10**9 + i * 10**8 for i in range(4)),
    ]
    assert [row["recorded_ns"] for row in rows] == [row["stamp_ns"] for row in rows]
    for row, number in zip(rows, [0, 1, 2, 10, 11, 12, 13], strict=True):
        assert np.array(row["tokens"], np.float16).tobytes() == packed(bags.picture(number))


def test_metadata_say_what_made_it(drives: Path, dataset: Callable[..., int], tmp_path: Path) -> None:
    from omnivla_vision.dataset.description import Description
    from omnivla_vision.dataset.store import episodes_of, open_dataset

    dataset(drives)
    opened = open_dataset(str(tmp_path / "tokens.lance"))
    description = Description.of(opened.schema.metadata)
    encoder = random_encoder(TINY, seed=1, takes_goal=False)
    assert description.fingerprint == encoder.provenance.fingerprint
    assert description.preprocessing_id == encoder.provenance.preprocessing_id
    assert (description.engine, description.precision, description.weights) == ("eager", "float32", "random")
    assert (description.preset, description.space, description.dtype) == ("tiny", "fused", "float16")
    (output,) = description.outputs
    assert (output.column, output.tokens, output.width, output.grid) == ("tokens", 16, 80, (4, 4))
    assert output.segments == (("dinov2", 32), ("siglip", 48))
    assert description.made_by.startswith("omnivla-vision ")
    assert opened.schema.metadata[b"omnivla_vision.format"] == b"1"
    first, second = episodes_of(opened)
    assert (first.rows, second.rows) == (3, 4)
    assert Path(second.path) == drives / "drive_10"
    assert first.size == sum(file.stat().st_size for file in (drives / "drive_2").iterdir())


def test_bfloat16_and_pooled_tokens(drives: Path, dataset: Callable[..., int], table: Callable[..., Any]) -> None:
    assert dataset(drives / "drive_2", "--dtype", "bfloat16", "--pool", "2x2") == 0
    first = table().to_pylist()[0]
    bits = np.array(first["tokens"], np.uint16)
    assert bits.tobytes() == packed(bags.picture(0), "bfloat16", output_pool="2x2")
    assert len(bits) == 4 * 80


def test_each_output_has_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from omnivla_vision.cli import main
    from omnivla_vision.dataset.description import Description
    from omnivla_vision.dataset.store import open_dataset
    from omnivla_vision.network.presets import PRESETS
    from test.presets import shallow

    monkeypatch.setitem(PRESETS, "robottrack-384", shallow("robottrack-384", 2))
    bag, out = write_drive(tmp_path / "drive", 2), tmp_path / "out"
    assert main(["dataset", str(bag), "--out", str(out), "--preset", "robottrack-384", "--engine", "eager"]) == 0
    opened = open_dataset(str(out))
    outputs = Description.of(opened.schema.metadata).outputs
    assert [output.column for output in outputs] == ["tokens", f"tokens_{outputs[1].name}"]
    rows = opened.to_table()
    for output in outputs:
        assert len(rows[output.column][0]) == output.elements


def test_images_are_kept_as_they_were_recorded(
    tmp_path: Path, dataset: Callable[..., int], table: Callable[..., Any]
) -> None:
    _, jpeg = cv2.imencode(".jpg", bags.picture(5))
    recorded = bags._file(jpeg.tobytes(), "jpeg", 0.1, "/jpeg")
    bag = bags.write(tmp_path / "drive", [bags.raw(bags.picture(3), 0.0), recorded])
    assert dataset(bag, "--images", "--image-topic", bags.CAMERA, "/jpeg") == 0
    raw, compressed = table().to_pylist()
    assert (raw["camera"], compressed["camera"]) == (bags.CAMERA, "/jpeg")
    assert (raw["frame_index"], compressed["frame_index"]) == (0, 0)
    assert compressed["image"] == jpeg.tobytes()
    kept = cv2.imdecode(np.frombuffer(raw["image"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(kept.astype(int) - bags.picture(3)).mean() < 3


def test_sampled_by_stamps(tmp_path: Path, dataset: Callable[..., int], table: Callable[..., Any]) -> None:
    bag = write_drive(tmp_path / "drive", 12)
    assert dataset(bag, "--rate", "4", "--start", "0.2", "--duration", "0.8") == 0
    stamps = [(stamp - bags.START_NS) / 1e9 for stamp in table()["stamp_ns"].to_pylist()]
    assert stamps == [0.2, 0.4, 0.7, 0.9]  # 0.45 and 0.95 lie in the middle of two


def test_other_topics_are_columns(
    drives: Path, tmp_path: Path, dataset: Callable[..., int], table: Callable[..., Any], capsys: Any
) -> None:
    """Found by type, over all bags; a bag that lacks one has an empty column, and says so."""
    camera = [bags.raw(bags.picture(20 + i), 200 + i / 10) for i in range(3)]
    others = [odometry(1.5, 200.05), odometry(2.5, 200.15), twist(0.4, 200.12)]
    bags.write(drives / "drive_11", sorted([*camera, *others], key=lambda message: message.at_s))
    assert dataset(drives) == 0
    rows = table().to_pylist()
    assert [row["/odom"] for row in rows[:8]] == [None] * 8
    assert [row["/odom"]["pose"]["pose"]["position"] for row in rows[8:]] == [[1.5, 2.0, 3.0], [2.5, 2.0, 3.0]]
    assert [row["/odom"]["age_s"] for row in rows[8:]] == pytest.approx([0.05, 0.05])
    assert [row["/cmd_vel"] and row["/cmd_vel"]["linear"][0] for row in rows[7:]] == [None, None, 0.4]
    assert "/odom (nav_msgs/msg/Odometry) is not in the bag: its column is empty." in capsys.readouterr().err
    # The dataset's columns are the rule for whoever joins; others can be asked for only at its beginning.
    write_drive(drives / "drive_12", 1, start_s=300.0)
    assert dataset(drives, "--topics", "/odom") == 1
    assert "topics" in capsys.readouterr().err
    assert dataset(drives) == 0
    assert dataset(drives, "--topics", "/odom", out=tmp_path / "one") == 0
    assert [name for name in table(tmp_path / "one").column_names if name.startswith("/")] == ["/odom"]
    assert dataset(drives, "--topics", out=tmp_path / "none") == 0
    assert not [name for name in table(tmp_path / "none").column_names if name.startswith("/")]
    assert dataset(drives, "--topics", "/nowhere", out=tmp_path / "missing") == 1
    assert "found no topic /nowhere in any of the bags" in capsys.readouterr().err


def test_a_frame_that_is_no_image_is_said_and_left_out(
    tmp_path: Path, dataset: Callable[..., int], table: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [bags.raw(bags.picture(i), i / 10) for i in range(4)]
    messages[1] = bags.Message(bags.CAMERA, bags.IMAGE, 0.1, messages[1].data[:200])
    assert dataset(bags.write(tmp_path / "drive", messages)) == 0
    rows = table().to_pylist()
    assert [row["frame_index"] for row in rows] == [0, 1, 2]
    assert [row["stamp_ns"] - bags.START_NS for row in rows] == [0, 2 * 10**8, 3 * 10**8]
    record = json.loads(rows[-1]["episode_record"])
    assert record["rejected"] == 1
    assert "broken" in record["problems"][0]
    assert "1 frame rejected" in capsys.readouterr().err


def test_rows_of_other_weights_are_refused(
    drives: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str], table: Callable[..., Any]
) -> None:
    assert dataset(drives / "drive_2") == 0
    for other, what in [
        (("--seed", "2"), "fingerprint"),
        (("--image-path", "openvla-crop"), "preprocessing_id"),
        (("--pool", "2x2"), "outputs"),
        (("--dtype", "bfloat16"), "dtype"),
        (("--every", "1"), "sampling"),
        (("--images",), "images"),
    ]:
        assert dataset(drives, *other) == 1
        assert what in capsys.readouterr().err
    assert len(table()) == 3
    assert dataset(drives) == 0
    assert len(table()) == 7


def test_what_is_in_it_is_not_done_again(
    drives: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str], table: Callable[..., Any]
) -> None:
    dataset(drives)
    before = table()
    (drives / "drive_2").rename(drives / "moved")  # another name is another recording; another place is not
    (drives / "moved").rename(drives.parent / "drive_2")
    capsys.readouterr()
    assert dataset(drives, drives.parent / "drive_2") == 0
    assert "0 recordings added (0 rows), 2 were in it" in capsys.readouterr().out
    assert table().equals(before)


def test_a_recording_that_has_changed_is_said(
    tmp_path: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str], table: Callable[..., Any]
) -> None:
    dataset(write_drive(tmp_path / "drive", 2))
    for file in (tmp_path / "drive").iterdir():
        file.unlink()
    (tmp_path / "drive").rmdir()
    assert dataset(write_drive(tmp_path / "drive", 3)) == 0
    assert "stay as they are" in capsys.readouterr().err
    assert len(table()) == 2


def test_another_folder_is_not_touched(
    drives: Path, dataset: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("unique")
    assert dataset(drives, out=other) == 1
    assert "thesis.tex" in capsys.readouterr().err
    foreign = tmp_path / "foreign"
    import pyarrow as pa

    lance.write_dataset(pa.table({"a": [1]}), str(foreign))
    assert dataset(drives, out=foreign) == 1
    assert "metadata is not that of tokens" in capsys.readouterr().err
    assert [item.name for item in other.iterdir()] == ["thesis.tex"]
    assert lance.dataset(str(foreign)).count_rows() == 1


def test_a_later_format_is_refused(
    drives: Path, dataset: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset(drives / "drive_2")
    lance.dataset(str(tmp_path / "tokens.lance")).update_schema_metadata({"omnivla_vision.format": "2"})
    assert dataset(drives) == 1
    assert "found a dataset of format 2; expected 1" in capsys.readouterr().err


def test_nothing_to_make_one_of(
    tmp_path: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dataset(tmp_path / "nowhere") == 1
    assert "found nothing at" in capsys.readouterr().err
    assert not (tmp_path / "tokens.lance").exists(), "no trace of a run that did nothing"
    (tmp_path / "empty").mkdir()
    assert dataset(tmp_path / "empty") == 1
    assert "found no bag in" in capsys.readouterr().err


def test_the_extra_is_named_where_it_is_missing(
    drives: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lance", None)
    assert dataset(drives) == 1
    assert "pip install 'omnivla-vision[dataset]'" in capsys.readouterr().err
