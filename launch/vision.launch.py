"""Start the vision node with its parameters and a transport that fits its messages."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from omnivla_vision.ros.transport import profile_variable


def generate_launch_description() -> LaunchDescription:
    """Describe the launch: the transport's profile and one node."""
    config = PathJoinSubstitution([FindPackageShare("omnivla_vision"), "config"])
    fastdds_profile = PathJoinSubstitution([config, "fastdds.xml"])
    use_sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and its topics"),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([config, "vision.yaml"]),
                description="Parameters of the node",
            ),
            DeclareLaunchArgument("use_sim_time", default_value="false", description="Follow /clock"),
            DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
            # A robot that has a profile of its own keeps it.
            SetEnvironmentVariable(
                profile_variable(), EnvironmentVariable(profile_variable(), default_value=fastdds_profile)
            ),
            Node(
                package="omnivla_vision",
                executable="vision_node",
                name="vision_node",
                namespace=LaunchConfiguration("namespace"),
                parameters=[LaunchConfiguration("params_file"), {"use_sim_time": use_sim_time}],
                arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
                output="screen",
            ),
        ]
    )
