"""Start the vision node, and the example of a policy that consumes its tokens."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

# A path and no substitution: so --show-args lists also the arguments that are passed on.
VISION = str(Path(__file__).with_name("vision.launch.py"))


def generate_launch_description() -> LaunchDescription:
    """Describe the launch: all of vision.launch.py, whose arguments it takes, and the policy."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of both nodes"),
            DeclareLaunchArgument("fingerprint", default_value="", description="Weights that the policy insists on"),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(VISION)),
            Node(
                package="omnivla_vision",
                executable="policy_stub.py",
                name="policy_stub",
                namespace=LaunchConfiguration("namespace"),
                parameters=[{"fingerprint": LaunchConfiguration("fingerprint")}],
                remappings=[("tokens", "vision_node/tokens")],
                output="screen",
            ),
        ]
    )
