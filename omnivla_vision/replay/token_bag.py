"""The bag's images together with their tokens as one mcap file, which Foxglove and `ros2 bag` open."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from omnivla_vision.output_files import explaining
from omnivla_vision.process.scratch import scratch
from omnivla_vision.replay.bag import VIDEO_PACKET
from omnivla_vision.replay.storage.base import Record
from omnivla_vision.replay.video import VIDEO_PACKET_FIELDS
from omnivla_vision.resources import resource_path
from omnivla_vision.tokens.fields import constant_fields
from omnivla_vision.tokens.packing import pack
from omnivla_vision.tokens.token_set import TokenSet

TOKENS_TYPE, OUTPUT_TYPE = "omnivla_vision/msg/VisualTokens", "omnivla_vision/msg/TokenOutput"
TOKENS_TOPIC = "/vision_node/tokens"


class TokenBag:
    """Writes an mcap file; a context manager.

    Args:
        path: the file, which is replaced if it is there.
        token_topic: name of the tokens' topic in the file.
    """

    def __init__(self, path: Path, *, token_topic: str = TOKENS_TOPIC) -> None:
        self._path = path
        self._token_topic = token_topic
        self._types = token_types()
        # rosbags writes folders: the file is taken out of one when it is complete, so a broken run leaves the old one.
        self._stack = ExitStack()
        with explaining(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = self._stack.enter_context(scratch(path.parent, ".tokens-"))
        self._bag = Writer(self._folder / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
        self._connections: dict[tuple[str, str], Connection] = {}

    def write(self, topic: str, msgtype: str, time_ns: int, data: bytes) -> None:
        """Write one serialized message of a standard type, or of ours.

        Raises:
            OutputError: the system refused to write.
        """
        with explaining(self._path):
            connection = self._connections.get((topic, msgtype))
            if connection is None:
                connection = self._bag.add_connection(topic, msgtype, typestore=self._types)
                self._connections[topic, msgtype] = connection
            self._bag.write(connection, time_ns, data)

    def write_record(self, record: Record) -> None:
        """Copy an image of the bag, byte for byte."""
        self.write(record.topic, record.msgtype, record.time_ns, record.data)

    def write_serialized_tokens(self, data: bytes, *, time_ns: int) -> None:
        """Write a VisualTokens message that came over the wire, byte for byte."""
        self.write(self._token_topic, TOKENS_TYPE, time_ns, data)

    def write_tokens(self, tokens: TokenSet, *, stamp_ns: int, frame_id: str, sequence: int, time_ns: int) -> None:
        """Write tokens as the node would publish them, in float16, under the camera image's stamp and frame.

        Raises:
            NonFiniteTokensError: the tokens do not fit into float16.
        """
        message = self._message(tokens, stamp_ns, frame_id, sequence)
        self.write_serialized_tokens(bytes(self._types.serialize_cdr(message, TOKENS_TYPE)), time_ns=time_ns)

    def _message(self, tokens: TokenSet, stamp_ns: int, frame_id: str, sequence: int) -> Any:
        types, packed = self._types.types, pack(tokens.blocks, "float16", tokens.layout.shape)
        constant = _arrays(constant_fields(tokens.layout, tokens.provenance))
        constant["outputs"] = [types[OUTPUT_TYPE](**_arrays(output)) for output in constant["outputs"]]
        time, header = types["builtin_interfaces/msg/Time"], types["std_msgs/msg/Header"]
        return types[TOKENS_TYPE](
            header=header(stamp=time(*divmod(stamp_ns, 10**9)), frame_id=frame_id),
            sequence=sequence,
            dtype_code=packed.dtype_code,
            dtype_bits=packed.dtype_bits,
            dtype_lanes=packed.dtype_lanes,
            shape=np.array(packed.shape, np.int64),
            strides=np.array(packed.strides, np.int64),
            byte_offset=packed.byte_offset,
            data=np.frombuffer(packed.data, np.uint8),
            goal_valid=tokens.goal is not None,
            goal_id="" if tokens.goal is None else tokens.goal.id,
            goal_stamp=time(*divmod(0 if tokens.goal is None else tokens.goal.stamp_ns, 10**9)),
            past_image_stamps=[time(*divmod(ns, 10**9)) for ns in tokens.past_stamps_ns],
            past_image_valid=np.array(tokens.past_valid, np.bool_),
            stage_names=list(tokens.stage_ms),
            stage_ms=np.array(list(tokens.stage_ms.values()), np.float32),
            **constant,
        )

    def __enter__(self) -> TokenBag:
        with explaining(self._path):
            self._bag.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack, suppress(OSError) if kind else explaining(self._path):
            self._bag.__exit__(kind, value, trace)
            if kind is None:
                (self._folder / "bag" / "bag.mcap").replace(self._path)


def _arrays(fields: dict[str, Any]) -> dict[str, Any]:
    """Lists of numbers as rosbags wants them."""
    return fields | {"segment_widths": np.array(fields["segment_widths"], np.uint32)}


def token_types() -> Typestore:
    """The standard message types, ffmpeg_image_transport's, and ours, from its own definition."""
    types = get_typestore(Stores.ROS2_KILTED)
    types.register(get_types_from_msg(VIDEO_PACKET_FIELDS, VIDEO_PACKET))
    types.register(get_types_from_msg(resource_path("msg/TokenOutput.msg").read_text(), OUTPUT_TYPE))
    types.register(get_types_from_msg(resource_path("msg/VisualTokens.msg").read_text(), TOKENS_TYPE))
    return types
