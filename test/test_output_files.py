"""What cannot be written is said before the work; what fails nevertheless leaves nothing, and what was there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omnivla_vision.output_files import BLOCK, OutputError, check_file, make_folder, write, writing
from test.disks import fill, limited, mounted, read_only

SENTENCE = r"cannot write .*: found .*; expected a place that can be written; \w+"


def test_a_file_that_can_be_written_leaves_no_trace_of_the_check(tmp_path: Path) -> None:
    check_file(tmp_path / "new", 1 << 20)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").write_text("old")
    check_file(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=SENTENCE) as caught:
        check_file(tmp_path / "a" / "b.json")
    assert f"no folder {tmp_path / 'a'}; " in str(caught.value)
    assert f"mkdir -p {tmp_path / 'a'}" in str(caught.value)


def test_a_folder_where_a_file_should_be_and_the_reverse(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"found a folder of that name.*name a file"):
        check_file(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"found a file of that name.*name a folder"):
        make_folder(tmp_path / "file")
    for call in (make_folder, check_file):
        with pytest.raises(OutputError, match=r"Not a directory|no folder"):
            call(tmp_path / "file" / "below")


def test_a_full_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        with pytest.raises(OutputError, match=r"found 1\.0 MB free, and 2\.1 MB to write"):
            check_file(disk / "x", 2 << 20)
        check_file(disk / "x", 1 << 19)
        (disk / "old").write_text("old")
        fill(disk)
        for call in (check_file, make_folder):
            with pytest.raises(OutputError, match=r"No space left on device.*free some space"):
                call(disk / "x")
        with pytest.raises(OutputError, match="No space left on device"):
            write(disk / "old", bytes(BLOCK))
        assert (disk / "old").read_text() == "old"
        assert sorted(path.name for path in disk.iterdir()) == ["filler", "old", "x"]


def test_a_read_only_disk(tmp_path: Path) -> None:
    with read_only(tmp_path):
        for call in (check_file, make_folder):
            with pytest.raises(OutputError, match="Read-only file system"):
                call(tmp_path / "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    for call in (check_file, make_folder):
        with pytest.raises(OutputError, match="Permission denied"):
            call(tmp_path / "x")


def test_a_limit_that_is_met_while_writing(tmp_path: Path) -> None:
    """As a quota; works for every user."""
    (tmp_path / "out").write_text("old")
    code = "from pathlib import Path; from omnivla_vision.output_files import write; "
    result = limited(f"{code}write(Path(sys.argv[1]), bytes(9999))", 5000, tmp_path / "out")
    assert f"OutputError: cannot write {tmp_path / 'out'}: found File too large; " in result.stderr
    assert (tmp_path / "out").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_writing_replaces_a_file_and_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_the_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "x.png") as file:
            assert file.suffix == ".png"
            file.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_ordinary_file_is_written_directly() -> None:
    check_file(Path("/dev/null"))
    write(Path("/dev/null"), b"x")
    with pytest.raises(OutputError, match="No space left"):
        write(Path("/dev/full"), b"x")
