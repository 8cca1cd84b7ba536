"""ROS message types as columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")

from omnivla_vision.dataset.errors import MessageColumnError  # noqa: E402
from omnivla_vision.dataset.recordings.message_columns import (  # noqa: E402
    column_type,
    message_reader,
    value_types,
)
from omnivla_vision.replay.bag import IMAGE_TYPES  # noqa: E402
from omnivla_vision.replay.decoding import message_types  # noqa: E402
from test.dataset.messages import FIX, ODOMETRY  # noqa: E402


def _round_trip(msgtype: str, message: Any) -> dict[str, Any]:
    """Through CDR, the reader and Arrow."""
    types = message_types()
    received = types.deserialize_cdr(types.serialize_cdr(message, msgtype), msgtype)
    (stored,) = pa.array([{**message_reader(msgtype)(received), "age_s": 0.5}], column_type(msgtype)).to_pylist()
    assert stored.pop("age_s") == 0.5
    return stored


def _time(seconds: int, nanoseconds: int, kind: str = "Time") -> Any:
    return message_types().types[f"builtin_interfaces/msg/{kind}"](sec=seconds, nanosec=nanoseconds)


def _header() -> Any:
    return message_types().types["std_msgs/msg/Header"](stamp=_time(7, 8), frame_id="map")


def test_odometrys_column() -> None:
    vector, covariance = pa.list_(pa.float64(), 3), pa.list_(pa.float64(), 36)
    pose = pa.struct({"position": vector, "orientation": pa.list_(pa.float64(), 4)})
    twist = pa.struct({"linear": vector, "angular": vector})
    assert column_type(ODOMETRY) == pa.struct(
        {
            "header": pa.struct({"stamp_ns": pa.int64(), "frame_id": pa.string()}),
            "child_frame_id": pa.string(),
            "pose": pa.struct({"pose": pose, "covariance": covariance}),
            "twist": pa.struct({"twist": twist, "covariance": covariance}),
            "age_s": pa.float64(),
        }
    )


def test_topic_that_is_itself_a_vector_or_a_time_is_a_struct() -> None:
    fields = {axis: pa.float64() for axis in "xyz"}
    assert column_type("geometry_msgs/msg/Vector3") == pa.struct({**fields, "age_s": pa.float64()})
    assert column_type("builtin_interfaces/msg/Time").field("nanosec").type == pa.uint32()


def test_fix_keeps_its_numbers() -> None:
    types = message_types().types
    message = types[FIX](
        header=_header(),
        status=types["sensor_msgs/msg/NavSatStatus"](status=-1, service=3),
        latitude=48.1,
        longitude=11.5,
        altitude=520.0,
        position_covariance=np.arange(9.0),
        position_covariance_type=2,
    )
    assert _round_trip(FIX, message) == {
        "header": {"stamp_ns": 7_000_000_008, "frame_id": "map"},
        "status": {"status": -1, "service": 3},
        "latitude": 48.1,
        "longitude": 11.5,
        "altitude": 520.0,
        "position_covariance": [float(i) for i in range(9)],
        "position_covariance_type": 2,
    }


def test_sequences_of_numbers_texts_and_messages() -> None:
    types = message_types().types
    joints = types["sensor_msgs/msg/JointState"](
        header=_header(), name=["a", "b"], position=np.array([1.0, 2.0]), velocity=np.zeros(0), effort=np.zeros(0)
    )
    stored = _round_trip("sensor_msgs/msg/JointState", joints)
    assert (stored["name"], stored["position"], stored["effort"]) == (["a", "b"], [1.0, 2.0], [])

    point = types["trajectory_msgs/msg/JointTrajectoryPoint"](
        positions=np.array([3.0]),
        velocities=np.zeros(0),
        accelerations=np.zeros(0),
        effort=np.zeros(0),
        time_from_start=_time(1, 5, "Duration"),
    )
    trajectory = types["trajectory_msgs/msg/JointTrajectory"](header=_header(), joint_names=["a"], points=[point])
    (stored_point,) = _round_trip("trajectory_msgs/msg/JointTrajectory", trajectory)["points"]
    assert (stored_point["positions"], stored_point["time_from_start_ns"]) == ([3.0], 1_000_000_005)

    polygon = types["geometry_msgs/msg/Polygon"](
        points=[types["geometry_msgs/msg/Point32"](x=1.0, y=2.0, z=float(i)) for i in range(2)]
    )
    assert _round_trip("geometry_msgs/msg/Polygon", polygon) == {"points": [[1, 2, 0], [1, 2, 1]]}


def test_every_type_that_ros_ships_has_a_column() -> None:
    for msgtype in message_types().fielddefs:
        if msgtype not in IMAGE_TYPES:
            assert pa.types.is_struct(column_type(msgtype))


@pytest.mark.parametrize(
    ("msgtype", "reason"),
    [("acme_msgs/msg/Unheard", "not known here"), *((msgtype, "a type of images") for msgtype in IMAGE_TYPES)],
)
def test_types_that_are_no_column(msgtype: str, reason: str) -> None:
    with pytest.raises(MessageColumnError, match=f"found {msgtype}, .*{reason}"):
        value_types({"/x": msgtype})
