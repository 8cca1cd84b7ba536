"""Start the vision node with its parameters and a transport that fits its messages.

The node is written in Python: it runs as a process of its own and cannot be loaded into a component container.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from omnivla_vision.transport.fastdds import profile_variable

CONFIG = PathJoinSubstitution([FindPackageShare("omnivla_vision"), "config"])
# Parameters that may be given here.
GIVEN = {
    "checkpoint": "Weights",
    "preset": "Which encoders",
    "image_path": "What the policy's own code does to an image first",
    "space": "fused or projected",
    "goal_sequence_path": "Folder of goal images in numeric order, or a bag",
}
ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and its topics"),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([CONFIG, "vision.yaml"]),
        description="Parameters of the node; the arguments below win over it",
    ),
    *(
        DeclareLaunchArgument(name, default_value="", description=f"{what}; empty for what params_file says")
        for name, what in GIVEN.items()
    ),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="Follow /clock"),
    DeclareLaunchArgument("autostart", default_value="true", description="Configure and activate by itself"),
    DeclareLaunchArgument("use_respawn", default_value="false", description="Start the node again when it ends"),
    DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
    DeclareLaunchArgument(
        "fastdds_profile",
        # A robot that has a profile of its own keeps it.
        default_value=EnvironmentVariable(
            profile_variable(), default_value=PathJoinSubstitution([CONFIG, "fastdds.xml"])
        ),
        description="Fast DDS profile; the camera driver needs the same",
    ),
    DeclareLaunchArgument(
        "cyclonedds_uri",
        # The shipped one asks for a larger buffer and demands none, so that no node fails to start with it.
        default_value=EnvironmentVariable(
            "CYCLONEDDS_URI", default_value=["file://", PathJoinSubstitution([CONFIG, "cyclonedds.xml"])]
        ),
        description="CycloneDDS configuration; whoever receives the tokens needs the same",
    ),
]


def _node(context: LaunchContext) -> list[Node]:
    flags = ("use_sim_time", "autostart")
    overrides = {name: ParameterValue(LaunchConfiguration(name), value_type=bool) for name in flags}
    for name in GIVEN:
        if LaunchConfiguration(name).perform(context):  # an empty one must not win over the file's
            overrides[name] = ParameterValue(LaunchConfiguration(name), value_type=str)
    node = Node(
        package="omnivla_vision",
        executable="vision_node",
        name="vision_node",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), overrides],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        respawn=LaunchConfiguration("use_respawn"),
        respawn_delay=2.0,
        output="screen",
    )
    return [node]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch: the transport's settings and one node."""
    transport = [
        SetEnvironmentVariable(profile_variable(), LaunchConfiguration("fastdds_profile")),
        SetEnvironmentVariable("CYCLONEDDS_URI", LaunchConfiguration("cyclonedds_uri")),
    ]
    return LaunchDescription([*ARGUMENTS, *transport, OpaqueFunction(function=_node)])
