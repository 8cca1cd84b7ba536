"""Tokens as messages that went through a recording: serialized, written, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader

from omnivla_vision.replay.token_bag import TokenBag, token_types
from omnivla_vision.tokens.token_set import TokenSet


def recorded(tokens: TokenSet, folder: Path) -> Any:
    """The message, in float16 as a node publishes it."""
    file = folder / "tokens.mcap"
    with TokenBag(file) as bag:
        bag.write_tokens(tokens, stamp_ns=1, frame_id="camera", sequence=0, time_ns=1)
    with AnyReader([file], default_typestore=token_types()) as reader:
        return next(reader.deserialize(data, connection.msgtype) for connection, _, data in reader.messages())
