"""What the files hold is played, whatever metadata.yaml, an index or another topic says; differences are named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcap.writer import CompressionType, IndexType, Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode
from ruamel.yaml import YAML

pytest.importorskip("torch")

from omnivla_vision.cli import main
from omnivla_vision.replay.bag import Bag, BagUnreadableError
from omnivla_vision.replay.result import Replay
from test.replay import bags
from test.replay.conftest import TINY

Play = Callable[..., Replay]
FRAMES = 8
DRIVE = bags.drive(FRAMES)


def mcap(
    path: Path,
    messages: list[bags.Message] = DRIVE,
    *,
    profile: str = "ros2",
    before: Callable[[Writer], None] = lambda _: None,
    after: Callable[[Writer], None] = lambda _: None,
    **options: Any,
) -> Path:
    """An .mcap file of another writer than rosbag2's; `before` may add channels, `after` falsify the summary."""
    with path.open("wb") as stream:
        writer = Writer(stream, **options)
        writer.start(profile=profile)
        before(writer)
        channels: dict[str, int] = {}
        for message in messages:
            if message.topic not in channels:
                definition = bags.TYPES.generate_msgdef(message.msgtype, ros_version=2)[0].encode()
                schema = writer.register_schema(message.msgtype, "ros2msg", definition)
                channels[message.topic] = writer.register_channel(message.topic, "cdr", schema)
            at_ns = bags.START_NS + round(message.at_s * 1e9)
            writer.add_message(channels[message.topic], at_ns, message.data, at_ns)
        after(writer)
        writer.finish()
    return path


def change_metadata(bag: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file, yaml = bag / "metadata.yaml", YAML()
    content = yaml.load(file.read_text())
    change(content["rosbag2_bagfile_information"])
    with file.open("w") as stream:
        yaml.dump(content, stream)


def topic(information: dict[str, Any], name: str = bags.CAMERA) -> dict[str, Any]:
    return next(entry for entry in information["topics_with_message_count"] if entry["topic_metadata"]["name"] == name)


def assert_all_played(result: Replay, frames: int = FRAMES) -> None:
    assert (result.counts.received, result.counts.published, result.missing) == (frames, frames, 0)
    assert result.goals


@pytest.fixture(params=[bags.MCAP, bags.SQLITE3], ids=["mcap", "sqlite3"])
def split(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A bag of two files."""
    suffix = "mcap" if request.param is bags.MCAP else "db3"
    bag = bags.write(tmp_path / "bag", DRIVE[:5], storage=request.param)
    second = bags.write(tmp_path / "second", DRIVE[5:], storage=request.param)
    shutil.move(second / f"second.{suffix}", bag / f"second.{suffix}")

    def both(information: dict[str, Any]) -> None:
        information["relative_file_paths"].append(f"second.{suffix}")
        information["message_count"] = len(DRIVE)
        topic(information)["message_count"] = FRAMES

    change_metadata(bag, both)
    return bag


def test_a_split_bag(split: Path, replay: Play) -> None:
    result = replay(split)
    assert_all_played(result)
    assert [row.index for row in result.rows] == list(range(FRAMES))
    assert not result.all_notes()


@pytest.mark.parametrize("key", ["offered_qos_profiles", "type_description_hash"])
@pytest.mark.parametrize("value", ["", "RIHS01_" + "a" * 64])
def test_metadata_that_disagrees_about_the_topic(split: Path, replay: Play, key: str, value: str) -> None:
    change_metadata(split, lambda information: topic(information)["topic_metadata"].update({key: value}))
    assert_all_played(replay(split))


def test_files_that_disagree_with_one_another(tmp_path: Path, replay: Play) -> None:
    """The second was recorded from a publisher of another QoS, which is kept with each file's topics."""
    bag = bags.write(tmp_path / "bag", DRIVE[:5], storage=bags.SQLITE3)
    second = bags.write(tmp_path / "second", DRIVE[5:], storage=bags.SQLITE3) / "second.db3"
    with sqlite3.connect(second) as database:
        database.execute("UPDATE topics SET offered_qos_profiles = '- reliability: 2', type_description_hash = 'other'")
    shutil.move(second, bag)

    def both(information: dict[str, Any]) -> None:
        information["relative_file_paths"].append("second.db3")
        topic(information)["message_count"] = FRAMES

    change_metadata(bag, both)
    assert_all_played(replay(bag))


@pytest.mark.parametrize("promised", [FRAMES - 3, FRAMES + 3])
def test_metadata_that_counts_otherwise(split: Path, replay: Play, promised: int) -> None:
    change_metadata(split, lambda information: topic(information).update(message_count=promised))
    result = replay(split)
    assert result.counts.published == FRAMES
    assert result.missing == max(0, promised - FRAMES)
    (note,) = result.all_notes()
    assert f"{bags.CAMERA} has {promised} messages; the files hold {FRAMES}" in note


def test_a_goal_that_is_missing_is_named(split: Path, replay: Play) -> None:
    change_metadata(split, lambda information: topic(information, bags.GOAL).update(message_count=2))
    result = replay(split)
    assert result.missing == 1
    assert f"{bags.GOAL} has 2 messages; the files hold 1" in result.all_notes()[0]


def test_a_file_that_metadata_does_not_list_is_named(split: Path, replay: Play) -> None:
    def forget(information: dict[str, Any]) -> None:
        information["relative_file_paths"].pop()

    change_metadata(split, forget)
    result = replay(split)
    assert (result.counts.received, result.missing) == (4, 4)
    assert any("second." in note and "metadata.yaml does not list it" in note for note in result.all_notes())


def test_a_folder_of_a_killed_recorder_has_no_metadata(split: Path, replay: Play) -> None:
    (split / "metadata.yaml").unlink()
    result = replay(split)
    assert_all_played(result)
    (note,) = result.all_notes()
    assert "metadata.yaml is missing" in note
    assert all(file.name in note for file in split.iterdir())


def test_a_folder_without_bag_files_is_refused(tmp_path: Path, replay: Play) -> None:
    (tmp_path / "notes.txt").write_text("no bag")
    with pytest.raises(BagUnreadableError, match=r"nor a file ending in \.mcap or \.db3"):
        replay(tmp_path)


@pytest.mark.parametrize("storage", [bags.MCAP, bags.SQLITE3])
def test_frames_that_are_missing_are_exit_code_1(tmp_path: Path, storage: Any, capsys: Any) -> None:
    from omnivla_vision.network.presets import PRESETS

    bag = bags.write(tmp_path / "bag", DRIVE, storage=storage)
    arguments = ["replay", str(bag), "--preset", "tiny", "--engine", "eager", "--no-tokens", "--out", str(tmp_path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        assert main(arguments) == 0
        change_metadata(bag, lambda information: topic(information).update(message_count=FRAMES + 1))
        assert main(arguments) == 1
    assert "the files hold 8" in " ".join(capsys.readouterr().out.split())


def test_an_index_that_promises_more_than_there_is(tmp_path: Path, replay: Play) -> None:
    """Statistics of an mcap written by hand: what is read counts."""
    file = mcap(tmp_path / "b.mcap", use_chunking=False, index_types=IndexType.NONE)
    with Bag(file) as bag:
        assert bag.topic(bags.CAMERA).count == FRAMES
    assert_all_played(replay(file))


@pytest.mark.parametrize("closed", [True, False])
def test_frames_in_the_write_ahead_log_of_a_killed_recorder(tmp_path: Path, replay: Play, closed: bool) -> None:
    bag = bags.write(tmp_path / "bag", DRIVE, storage=bags.SQLITE3)
    with sqlite3.connect(bag / "bag.db3") as database:
        rows = database.execute("SELECT topic_id, timestamp, data FROM messages WHERE id > 5").fetchall()
        database.execute("DELETE FROM messages WHERE id > 5")
    database.close()
    recorder = sqlite3.connect(bag / "bag.db3")
    recorder.execute("PRAGMA journal_mode = WAL")
    recorder.executemany("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", rows)
    recorder.commit()
    killed = shutil.copytree(bag, tmp_path / "killed")  # as a kill leaves it: nobody has closed the database
    assert (killed / "bag.db3-wal").stat().st_size
    recorder.close()
    assert_all_played(replay(bag if closed else killed))


@pytest.mark.parametrize("name", ["run #1", "what?", "100%20", "a%23b", "ünïcode & spaces", "file:x?immutable=1"])
@pytest.mark.parametrize("storage", [bags.MCAP, bags.SQLITE3])
def test_paths_of_every_kind(tmp_path: Path, replay: Play, name: str, storage: Any) -> None:
    # What the escaped name would mean must not be played instead.
    bags.write(tmp_path / "run ", bags.drive(2), storage=storage)
    bag = bags.write(tmp_path / "bag", DRIVE, storage=storage).rename(tmp_path / name)
    assert_all_played(replay(bag))
    assert_all_played(replay(next(file for file in bag.iterdir() if file.name != "metadata.yaml")))


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE, CompressionMode.STORAGE])
@pytest.mark.parametrize("storage", [bags.MCAP, bags.SQLITE3])
def test_compressed_bags(tmp_path: Path, replay: Play, mode: CompressionMode, storage: Any) -> None:
    if mode is CompressionMode.STORAGE and storage is bags.SQLITE3:
        pytest.skip("sqlite3 has no compression of its own")
    bag = bags.write(tmp_path / "bag", DRIVE, storage=storage, compression=(mode, CompressionFormat.ZSTD))
    assert_all_played(replay(bag))
    (bag / "metadata.yaml").unlink()
    assert_all_played(replay(bag))
    if mode is not CompressionMode.FILE:
        assert_all_played(replay(next(bag.iterdir())))


def test_a_compressed_message_that_is_broken_is_rejected(tmp_path: Path, replay: Play) -> None:
    compression = (CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    bag = bags.write(tmp_path / "bag", DRIVE, storage=bags.SQLITE3, compression=compression)
    with sqlite3.connect(bag / "bag.db3") as database:
        (data,) = database.execute("SELECT data FROM messages WHERE id = 5").fetchone()
        database.execute("UPDATE messages SET data = ? WHERE id = 5", (data[:4] + bytes(50 * [255]),))
    result = replay(bag)
    assert (result.counts.received, result.counts.rejected, result.counts.published) == (FRAMES, 1, FRAMES - 1)
    assert any("broken" in note for note in result.all_notes())


@pytest.mark.parametrize(
    ("encoding", "definition"), [("", ""), ("unknown", ""), ("ros2msg", ""), ("ros2idl", "not { idl")]
)
def test_a_db3_topic_whose_definition_was_not_found(
    tmp_path: Path, replay: Play, encoding: str, definition: str
) -> None:
    bag = bags.write(tmp_path / "bag", [*DRIVE, bags.unheard(1)], storage=bags.SQLITE3)
    with sqlite3.connect(bag / "bag.db3") as database:
        change = "UPDATE message_definitions SET encoding = ?, encoded_message_definition = ?"
        database.execute(change, (encoding, definition))
    assert_all_played(replay(bag))


@pytest.mark.parametrize(
    ("message_encoding", "schema_encoding"),
    [("json", "jsonschema"), ("protobuf", "protobuf"), ("cdr", "omgidl"), ("ros1", "ros1msg"), ("", ""), ("cdr", "")],
)
def test_an_mcap_channel_of_another_world(
    tmp_path: Path, replay: Play, message_encoding: str, schema_encoding: str
) -> None:
    def battery(writer: Writer) -> None:
        schema = writer.register_schema("Battery", schema_encoding, b"{}") if schema_encoding else 0
        channel = writer.register_channel("/battery", message_encoding, schema)
        writer.add_message(channel, bags.START_NS, b"{}", bags.START_NS)

    assert_all_played(replay(mcap(tmp_path / "b.mcap", before=battery)))


def test_images_in_json_are_not_taken_for_ours(tmp_path: Path, replay: Play) -> None:
    def image(writer: Writer) -> None:
        schema = writer.register_schema(bags.IMAGE, "jsonschema", b"{}")
        writer.add_message(writer.register_channel("/web", "json", schema), bags.START_NS, b"{}", bags.START_NS)

    assert_all_played(replay(mcap(tmp_path / "b.mcap", before=image)))


@pytest.mark.parametrize(
    "options",
    [
        {"profile": ""},
        {"profile": "x"},
        {"index_types": IndexType.NONE},
        {"index_types": IndexType.ALL & ~IndexType.MESSAGE},
        {"index_types": IndexType.ALL & ~IndexType.CHUNK},
        {"use_chunking": False},
        {"use_statistics": False},
        {"use_statistics": False, "use_summary_offsets": False},
        {"repeat_channels": False},
        {"repeat_channels": False, "use_statistics": False},
        {"repeat_schemas": False},
        {"compression": CompressionType.LZ4},
        {"compression": CompressionType.NONE},
        {"chunk_size": 1},
    ],
    ids=str,
)
def test_mcap_files_of_every_kind(tmp_path: Path, replay: Play, options: dict[str, Any]) -> None:
    assert_all_played(replay(mcap(tmp_path / "b.mcap", **options)))


@pytest.mark.parametrize("number", [0, 3], ids=["the goal's", "a frame's"])
def test_an_index_that_leaves_a_chunk_out(tmp_path: Path, replay: Play, number: int) -> None:
    def forget(writer: Any) -> None:
        del writer._Writer__chunk_indices[number]

    assert_all_played(replay(mcap(tmp_path / "b.mcap", after=forget, chunk_size=1)))


@pytest.mark.parametrize("name", [bags.CAMERA, bags.GOAL])
@pytest.mark.parametrize("use_statistics", [True, False])
def test_a_summary_that_leaves_a_channel_out(tmp_path: Path, replay: Play, name: str, use_statistics: bool) -> None:
    def forget(writer: Any) -> None:
        channels = writer._Writer__channels
        del channels[next(number for number, channel in channels.items() if channel.topic == name)]

    assert_all_played(replay(mcap(tmp_path / "b.mcap", after=forget, chunk_size=1, use_statistics=use_statistics)))


@pytest.mark.parametrize("chunked", [True, False])
def test_messages_slightly_out_of_order(tmp_path: Path, replay: Play, chunked: bool) -> None:
    messages = [*DRIVE]
    messages[3], messages[4] = messages[4], messages[3]
    result = replay(mcap(tmp_path / "b.mcap", messages, use_chunking=chunked))
    assert_all_played(result)
    assert [row.time_ns for row in result.rows] == sorted(row.time_ns for row in result.rows)


def test_an_unindexed_file_far_out_of_order_is_refused(tmp_path: Path, replay: Play) -> None:
    messages = [*bags.drive(100, goal=False), *bags.drive(1)]
    with pytest.raises(BagUnreadableError, match="`mcap sort`"):
        replay(mcap(tmp_path / "b.mcap", messages, use_chunking=False))


def test_a_stretch_of_an_unindexed_file(tmp_path: Path, replay: Play) -> None:
    result = replay(mcap(tmp_path / "b.mcap", use_chunking=False), start_s=0.2, duration_s=0.3)
    assert result.counts.received == 3
    assert result.goals, "the goal from before it holds"
