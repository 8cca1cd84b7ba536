"""Start the vision node and a policy of OpenVLA's family on its tokens: OmniVLA, as a robot drives with it."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# A path and no substitution: so --show-args lists also the arguments that are passed on.
VISION = str(Path(__file__).with_name("vision.launch.py"))
# Of the policy's parameters, with their types.
PARAMETERS = {
    "code": ("", "Folder that holds OmniVLA's prismatic; empty: it is installed", str),
    "trust_remote_code": ("false", "Run that code, with all the rights of this process", bool),
    "space": ("fused", "fused or projected, for both nodes", str),
    "image_path": ("", "For both nodes; empty: what the checkpoint says", str),
    "goals": ("[image]", "What to follow: image, pose, language, or [pose, image], [pose, language]", list[str]),
    "prompt": ("", "What to do, until the topic prompt says another thing", str),
    "robot_frame": ("base_link", "Frame of goal poses and waypoints; x is forward, y left", str),
    "max_age": ("1.0", "Seconds; on older tokens the robot stops", float),
    "max_linear": ("0.3", "m/s", float),
    "max_angular": ("0.3", "rad/s", float),
    "allow_random_weights": ("false", "Move on tokens that mean nothing", bool),
}


def generate_launch_description() -> LaunchDescription:
    """Describe the launch: all of vision.launch.py, whose arguments it takes, and the policy."""
    kinds = {name: kind for name, (_, _, kind) in PARAMETERS.items()} | {"use_sim_time": bool, "checkpoint": str}
    given = {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, kind in kinds.items()}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description, _) in PARAMETERS.items()
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(VISION)),
            Node(
                package="omnivla_vision",
                executable="openvla_policy.py",
                name="openvla_policy",
                namespace=LaunchConfiguration("namespace"),
                parameters=[given],
                remappings=[("tokens", "vision_node/tokens")],
                output="screen",
            ),
        ]
    )
