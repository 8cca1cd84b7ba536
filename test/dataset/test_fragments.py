"""The thread that writes: its errors come out where somebody can act on them, and never as half a fragment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("lance")
pytest.importorskip("torch")
import pyarrow as pa

from omnivla_vision.dataset.errors import DatasetWriteError
from omnivla_vision.dataset.making.fragments import FragmentWriter
from omnivla_vision.dataset.support import import_lance
from omnivla_vision.tokens.packing import NonFiniteTokensError

SCHEMA = pa.schema([pa.field("number", pa.int64())])


@pytest.fixture
def place(tmp_path: Path) -> str:
    import_lance().write_dataset(pa.Table.from_batches([], SCHEMA), str(tmp_path / "out"))
    return str(tmp_path / "out")


def one() -> pa.RecordBatch:
    return pa.record_batch([pa.array([1, 2, 3])], schema=SCHEMA)


def overflowing() -> pa.RecordBatch:
    raise NonFiniteTokensError("found 3 infinite values")


def files(place: str) -> list[str]:
    return [file.name for file in Path(place, "data").iterdir()] if Path(place, "data").exists() else []


def test_batches_become_fragments(place: str) -> None:
    with FragmentWriter(place, SCHEMA) as writer:
        for _ in range(5):
            writer.write(one)
        (fragment,) = writer.finish()
    lance = import_lance()
    parsed = lance.fragment.FragmentMetadata.from_json(fragment)
    assert parsed.physical_rows == 15
    assert lance.dataset(place).count_rows() == 0, "nothing is in the dataset before it is committed"


def write(place: str, *makes: Callable[[], pa.RecordBatch]) -> None:
    with FragmentWriter(place, SCHEMA) as writer:
        for make in makes:
            writer.write(make)
        writer.finish()


def test_what_making_a_batch_raises_comes_out_as_it_is(place: str) -> None:
    with pytest.raises(NonFiniteTokensError, match="found 3 infinite values"):
        write(place, one, overflowing)
    assert files(place) == []


def test_what_is_not_finished_is_not_there(place: str) -> None:
    with FragmentWriter(place, SCHEMA) as writer:
        writer.write(one)
    assert files(place) == []


def test_a_storage_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetWriteError, match="it goes on where it stopped"):
        write(str(tmp_path / "file" / "out"), *([one] * 100))
