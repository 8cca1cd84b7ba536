"""Connect the vision node to the topics of Isaac Sim's ROS 2 bridge, on simulated time. Isaac Sim is started apart."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import SetRemap

# A path and no substitution: so --show-args lists also the arguments that are passed on.
VISION = str(Path(__file__).with_name("vision.launch.py"))


def generate_launch_description() -> LaunchDescription:
    """Describe the launch: the node, with Isaac Sim's names for its topics."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "image_topic", default_value="/rgb", description="Topic of the ROS2 Camera Helper (type rgb)"
            ),
            DeclareLaunchArgument("goal_topic", default_value="/goal_image", description="Topic of the goal images"),
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node"),
            GroupAction(
                [
                    SetRemap("image_raw", LaunchConfiguration("image_topic")),
                    SetRemap("goal_image", LaunchConfiguration("goal_topic")),
                    IncludeLaunchDescription(
                        PythonLaunchDescriptionSource(VISION),
                        launch_arguments={
                            "namespace": LaunchConfiguration("namespace"),
                            "use_sim_time": "true",
                        }.items(),
                    ),
                ]
            ),
        ]
    )
