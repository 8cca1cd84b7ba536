"""Start Gazebo with the corridor world, its bridges, and the vision node on simulated time."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

# A path and no substitution: so --show-args lists also the arguments that are passed on.
VISION = str(Path(__file__).with_name("vision.launch.py"))


def generate_launch_description() -> LaunchDescription:
    """Describe the launch: Gazebo, two bridges, the node."""
    here = FindPackageShare("omnivla_vision")
    gazebo = PathJoinSubstitution([FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"])
    namespace = LaunchConfiguration("namespace")
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of the topics in ROS"),
            DeclareLaunchArgument(
                "world",
                default_value=PathJoinSubstitution([here, "resource", "gazebo", "corridor.sdf"]),
                description="SDF file of the world",
            ),
            DeclareLaunchArgument(
                "gz_flags",
                default_value="-r",
                description="Flags of `gz sim`; `-r -s --headless-rendering` runs without a window",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(gazebo),
                launch_arguments={
                    "gz_args": [LaunchConfiguration("gz_flags"), " ", LaunchConfiguration("world")],
                    "on_exit_shutdown": "true",
                }.items(),
            ),
            Node(
                package="ros_gz_bridge",
                executable="parameter_bridge",
                name="gz_bridge",
                namespace=namespace,
                parameters=[{"config_file": PathJoinSubstitution([here, "config", "gz_bridge.yaml"])}],
                output="screen",
            ),
            # Images have a bridge of their own, which also offers them compressed.
            Node(
                package="ros_gz_image",
                executable="image_bridge",
                name="gz_image_bridge",
                namespace=namespace,
                arguments=["image_raw"],
                output="screen",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(VISION),
                launch_arguments={"namespace": namespace, "use_sim_time": "true"}.items(),
            ),
        ]
    )
