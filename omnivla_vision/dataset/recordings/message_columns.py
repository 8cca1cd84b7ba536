"""ROS messages as columns: the type's own definition gives the column, so that no type needs an entry anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pyarrow as pa
from rosbags.interfaces import Nodetype

from omnivla_vision.dataset.errors import MessageColumnError
from omnivla_vision.images.stamps import NS_PER_S
from omnivla_vision.replay.bag import IMAGE_TYPES
from omnivla_vision.replay.decoding import message_types

# What navigation policies train on; found by type where no topics are named.
DEFAULT_TYPES = (
    "nav_msgs/msg/Odometry",
    "geometry_msgs/msg/Twist",
    "geometry_msgs/msg/TwistStamped",
    "geometry_msgs/msg/PoseStamped",
    "sensor_msgs/msg/NavSatFix",
)
# Beside a message's own fields: seconds from the value to the frame.
AGE = "age_s"

_TIMES = ("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration")
# rosbags' names of numbers that pyarrow calls otherwise.
_NAMES = {"bool": pa.bool_(), "byte": pa.uint8(), "octet": pa.uint8(), "char": pa.uint8(), "wstring": pa.string()}
# Messages of these fields alone, all of one type, are vectors: Vector3, Point, Point32, Quaternion.
_AXES = (("x", "y", "z"), ("x", "y", "z", "w"))

Reader = Callable[[Any], Any]


def value_types(topics: Mapping[str, str]) -> dict[str, pa.DataType]:
    """The columns of topics (name -> message type), under the topics' names.

    Raises:
        MessageColumnError: see `column_type`.
    """
    return {name: column_type(msgtype) for name, msgtype in topics.items()}


def column_type(msgtype: str) -> pa.DataType:
    """A struct of the message's fields by their ROS names, and of `age_s`, float64.

    A vector or a quaternion is a fixed-size list in the order x, y, z, w; a time or a duration `t` is `t_ns`, int64, so
    that a header is its `stamp_ns` and `frame_id`; arrays are lists, of a fixed size where the definition has one.

    Raises:
        MessageColumnError: a type that is not known here, or one of images.
    """
    if msgtype in IMAGE_TYPES:
        raise MessageColumnError(
            f"found {msgtype}, a type of images; expected one of values; images are encoded: name them with "
            "--image-topic, or keep them with --images"
        )
    if msgtype not in message_types().fielddefs:
        raise MessageColumnError(
            f"found {msgtype}, whose definition is not known here; expected a type that ROS 2 ships; leave the topic "
            "out, or record what is needed of it in a standard type"
        )
    fields, _ = _fields(msgtype)
    if AGE in fields:
        raise MessageColumnError(
            f"found {msgtype} with a field {AGE!r}; expected none of that name, which is the value's age here; leave "
            "the topic out"
        )
    return pa.struct({**fields, AGE: pa.float64()})


def message_reader(msgtype: str) -> Callable[[Any], dict[str, Any]]:
    """Turns a deserialized message into a value of `column_type(msgtype)`, all but the age."""
    _, readers = _fields(msgtype)
    return _struct_reader(readers)


@cache
def _fields(msgtype: str) -> tuple[dict[str, pa.DataType], dict[str, tuple[str, Reader]]]:
    """Of a message: column -> type, and column -> the field's ROS name and what turns its value into the column's."""
    types: dict[str, pa.DataType] = {}
    readers: dict[str, tuple[str, Reader]] = {}
    for field, definition in message_types().fielddefs[msgtype][1]:
        column = f"{field}_ns" if _element(definition) in _TIMES else field
        types[column], reader = _column(definition)
        readers[column] = field, reader
    return types, readers


def _column(definition: Any) -> tuple[pa.DataType, Reader]:
    kind, content = definition
    if kind == Nodetype.BASE:
        name = content[0]
        return _NAMES[name] if name in _NAMES else pa.type_for_alias(name), _as_it_is
    if kind == Nodetype.NAME:
        return _message(content)
    element, length = content
    inner, reader = _column(element)
    return (
        pa.list_(inner, length) if kind == Nodetype.ARRAY else pa.list_(inner),
        _as_it_is if reader is _as_it_is else lambda values: [reader(value) for value in values],
    )


def _message(msgtype: str) -> tuple[pa.DataType, Reader]:
    if msgtype in _TIMES:
        return pa.int64(), lambda time: time.sec * NS_PER_S + time.nanosec
    types, readers = _fields(msgtype)
    kinds = set(types.values())
    if tuple(types) in _AXES and len(kinds) == 1:
        return pa.list_(kinds.pop(), len(types)), _vector4 if len(types) == len(_AXES[1]) else _vector3
    return pa.struct(types), _struct_reader(readers)


def _struct_reader(readers: Mapping[str, tuple[str, Reader]]) -> Callable[[Any], dict[str, Any]]:
    items = [(column, field, reader) for column, (field, reader) in readers.items()]
    return lambda message: {column: reader(getattr(message, field)) for column, field, reader in items}


def _element(definition: Any) -> str | None:
    """The message type that a field has, or its elements."""
    kind, content = definition
    if kind == Nodetype.NAME:
        return str(content)
    return None if kind == Nodetype.BASE else _element(content[0])


def _as_it_is(value: Any) -> Any:
    return value


def _vector3(vector: Any) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z


def _vector4(vector: Any) -> tuple[float, float, float, float]:
    return vector.x, vector.y, vector.z, vector.w
