"""The world: a textured corridor and a differential-drive robot with a camera, in MuJoCo. Nothing here knows ROS."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

# Before mujoco is imported. EGL draws without a screen, on a GPU or in software.
os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
import numpy as np
import textures
from numpy.typing import NDArray

HERE = Path(__file__).parent
PICTURES = HERE.parents[1] / "resource" / "parity"
WIDTH, HEIGHT = 320, 240
WHEEL_RADIUS, TRACK = 0.08, 0.36  # metres, as in corridor.xml
STEP_S = 0.005
START_X, GOAL_X = 0.0, 6.0


@dataclass(frozen=True)
class Pose:
    """Where the robot is on the floor: metres, and radians counter-clockwise from the corridor's direction."""

    x: float
    y: float
    yaw: float


START = Pose(START_X, 0.15, math.radians(6))
GOAL = Pose(GOAL_X, 0.0, 0.0)


class Corridor:
    """The simulation; not thread-safe.

    Attributes:
        model, data: MuJoCo's own.
    """

    def __init__(self) -> None:
        assets = {"bricks.png": textures.bricks(), "planks.png": textures.planks(), "tiles.png": textures.tiles()}
        assets |= {f"{name}.png": (PICTURES / f"{name}.png").read_bytes() for name in ("room", "stream", "sunset")}
        self.model = mujoco.MjModel.from_xml_string((HERE / "corridor.xml").read_text(), assets)
        self.model.opt.timestep = STEP_S
        self.data = mujoco.MjData(self.model)
        self._renderer = mujoco.Renderer(self.model, HEIGHT, WIDTH)
        self.reset()

    @property
    def time_s(self) -> float:
        """Simulated seconds since the last reset."""
        return float(self.data.time)

    @property
    def pose(self) -> Pose:
        """Where the robot is."""
        x, y, _, w, _, _, z = self.data.qpos[:7]
        return Pose(float(x), float(y), 2 * math.atan2(z, w))

    @property
    def distance(self) -> float:
        """Metres from the robot to the goal, on the floor."""
        return math.hypot(GOAL.x - self.pose.x, GOAL.y - self.pose.y)

    def reset(self) -> None:
        """Back to the start, at time zero."""
        mujoco.mj_resetData(self.model, self.data)
        self._place(START)

    def drive(self, forward: float, turn: float) -> None:
        """Set the wheels' speeds from metres per second and radians per second."""
        for index, side in enumerate((-1, 1)):
            self.data.ctrl[index] = (forward + side * turn * TRACK / 2) / WHEEL_RADIUS

    def step(self, seconds: float) -> None:
        """Let the time pass."""
        mujoco.mj_step(self.model, self.data, round(seconds / STEP_S))

    def look(self) -> NDArray[np.uint8]:
        """What the camera sees: RGB, uint8 [HEIGHT, WIDTH, 3]."""
        self._renderer.update_scene(self.data, camera="eye")
        return self._renderer.render()

    def goal_picture(self) -> NDArray[np.uint8]:
        """What the camera would see at the goal; the robot stays where it is."""
        before = self.data.qpos.copy()
        self._place(GOAL)
        picture = self.look()
        self.data.qpos[:] = before
        mujoco.mj_forward(self.model, self.data)
        return picture

    def focal_length(self) -> float:
        """Of the camera, in pixels."""
        half = math.radians(float(self.model.camera("eye").fovy[0])) / 2
        return HEIGHT / 2 / math.tan(half)

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    def _place(self, pose: Pose) -> None:
        half = pose.yaw / 2
        self.data.qpos[:7] = pose.x, pose.y, WHEEL_RADIUS, math.cos(half), 0, 0, math.sin(half)
        mujoco.mj_forward(self.model, self.data)
