"""Token sets as VisualTokens messages."""

from __future__ import annotations

from std_msgs.msg import Header

from omnivla_vision.encoder import stage
from omnivla_vision.msg import TokenOutput, VisualTokens
from omnivla_vision.ros.messages import ns_to_stamp
from omnivla_vision.tokens.fields import constant_fields
from omnivla_vision.tokens.layout import TokenLayout
from omnivla_vision.tokens.packing import pack
from omnivla_vision.tokens.provenance import Provenance
from omnivla_vision.tokens.token_set import TokenSet


class TokenMessages:
    """Makes the messages of one encoder.

    What is the same in all of them is set once: thirty fields, each checked by its setter, cost 0.1 ms a frame.
    """

    def __init__(self, layout: TokenLayout, provenance: Provenance) -> None:
        constant = constant_fields(layout, provenance)
        self._message = VisualTokens(
            **constant | {"outputs": [TokenOutput(**output) for output in constant["outputs"]]}
        )

    def fill(self, tokens: TokenSet, *, header: Header, sequence: int, dtype: str) -> VisualTokens:
        """Pack a token set; the header is the camera image's own, unchanged.

        Returns:
            The same object each time, to be published before the next call.

        Raises:
            NonFiniteTokensError: the tokens are not finite in `dtype`.
        """
        message = self._message
        with stage(tokens.stage_ms, "pack"):
            packed = pack(tokens.blocks, dtype, tokens.layout.shape)
        message.header = header
        message.sequence = sequence
        message.dtype_code = packed.dtype_code
        message.dtype_bits = packed.dtype_bits
        message.dtype_lanes = packed.dtype_lanes
        message.shape = packed.shape
        message.strides = packed.strides
        message.byte_offset = packed.byte_offset
        message.data = packed.data
        message.goal_valid = tokens.goal is not None
        message.goal_id = "" if tokens.goal is None else tokens.goal.id
        message.goal_stamp = ns_to_stamp(0 if tokens.goal is None else tokens.goal.stamp_ns)
        if tokens.past_valid:
            message.past_image_stamps = [ns_to_stamp(ns) for ns in tokens.past_stamps_ns]
            message.past_image_valid = list(tokens.past_valid)
        message.stage_names = list(tokens.stage_ms)
        message.stage_ms = list(tokens.stage_ms.values())
        return message
