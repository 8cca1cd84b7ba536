"""The columns of a dataset of tokens. Here pyarrow is imported: nothing that runs without the extra may import this."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from omnivla_vision.dataset.description import Description

EPISODE, EPISODE_INDEX, FRAME_INDEX, CAMERA = "episode", "episode_index", "frame_index", "camera"
STAMP_NS, RECORDED_NS = "stamp_ns", "recorded_ns"
IMAGE = "image"
# JSON of an `Episode`, in the last row of each; null in all others.
EPISODE_RECORD = "episode_record"
RESERVED = (EPISODE, EPISODE_INDEX, CAMERA, FRAME_INDEX, STAMP_NS, RECORDED_NS, IMAGE, EPISODE_RECORD)
# The outputs' columns begin so.
TOKENS = "tokens"


def schema_of(description: Description, values: Mapping[str, pa.DataType]) -> pa.Schema:
    """The schema of a dataset.

    Args:
        description: becomes the metadata.
        values: columns of other topics, by their names (`/odom`, which no column of ours begins like).
    """
    stored = pa.float16() if description.dtype == "float16" else pa.uint16()
    return pa.schema(
        [
            pa.field(EPISODE, pa.string(), nullable=False),
            pa.field(EPISODE_INDEX, pa.int32(), nullable=False),
            pa.field(CAMERA, pa.string(), nullable=False),
            pa.field(FRAME_INDEX, pa.int32(), nullable=False),
            pa.field(STAMP_NS, pa.int64(), nullable=False),
            pa.field(RECORDED_NS, pa.int64(), nullable=False),
            *(
                pa.field(output.column, pa.list_(stored, output.elements), nullable=False)
                for output in description.outputs
            ),
            *([pa.field(IMAGE, pa.binary(), nullable=False)] if description.images else []),
            *(pa.field(name, kind) for name, kind in values.items()),
            pa.field(EPISODE_RECORD, pa.string()),
        ],
        metadata=description.metadata(),
    )
