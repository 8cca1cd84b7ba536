"""The simulated world without ROS: what it shows, how it drives, and a controller that finds the goal in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from controller import ARRIVED, steer


def test_the_camera_sees_a_textured_world(corridor: Any) -> None:
    corridor.reset()
    view, goal = corridor.look().copy(), corridor.goal_picture()
    assert view.shape == goal.shape == (240, 320, 3)
    assert view.dtype == np.uint8
    for picture in (view, goal):
        blocks = picture[:240, :320].reshape(12, 20, 16, 20, 3).swapaxes(1, 2).reshape(-1, 20 * 20 * 3)
        assert (blocks.std(axis=1) > 3).mean() > 0.8, "hardly any part of the picture is plain"
        assert picture.mean(axis=(0, 1)).min() > 20, "nor dark"
    assert np.abs(view.astype(int) - goal).mean() > 15
    assert np.array_equal(view, corridor.look()), "looking from the goal has not moved the robot"


def test_the_wheels_drive_like_wheels(corridor: Any) -> None:
    corridor.reset()
    start = corridor.pose
    corridor.drive(0.4, 0.0)
    corridor.step(3.0)
    travelled = math.hypot(corridor.pose.x - start.x, corridor.pose.y - start.y)
    assert travelled == pytest.approx(1.2, rel=0.1)
    assert corridor.pose.yaw == pytest.approx(start.yaw, abs=0.02)
    corridor.drive(0.0, 0.5)
    corridor.step(2.0)
    assert corridor.pose.yaw - start.yaw == pytest.approx(1.0, rel=0.2), "counter-clockwise"
    corridor.drive(0.0, 0.0)
    corridor.step(1.0)
    still = corridor.pose
    corridor.step(1.0)
    assert corridor.pose.x == pytest.approx(still.x, abs=1e-3)


def test_the_wall_stops_the_robot(corridor: Any) -> None:
    corridor.reset()
    corridor.drive(1.0, 0.0)
    corridor.step(20.0)
    assert abs(corridor.pose.y) < 1.25
    assert corridor.pose.x < 8.5


def test_a_reset_starts_the_same_run_again(corridor: Any) -> None:
    views = []
    for _ in range(2):
        corridor.reset()
        assert corridor.time_s == 0
        corridor.drive(0.3, 0.1)
        corridor.step(1.0)
        views.append(corridor.look().copy())
    assert np.array_equal(*views)


@pytest.mark.parametrize("shift", [-3, -1, 0, 2, 4])
def test_the_controller_turns_to_where_the_goal_lies(shift: int) -> None:
    goal = np.random.default_rng(0).normal(size=(16, 16, 32)).astype(np.float16)
    view = np.roll(goal, shift, axis=1)
    command = steer(view.reshape(256, 32), goal.reshape(256, 32), 16)
    assert command.similarity == pytest.approx(1, abs=1e-3)
    assert (command.forward, command.turn) == (0, 0), "it is there"
    faint = 0.4 * view + np.random.default_rng(1).normal(size=view.shape)
    command = steer(faint.reshape(256, 32), goal.reshape(256, 32), 16)
    assert 0 < command.similarity < ARRIVED
    assert command.forward > 0
    assert np.sign(command.turn) == -np.sign(shift), "right is clockwise"


def test_the_goals_own_view_is_where_it_stops(corridor: Any) -> None:
    pytest.importorskip("torch")
    from omnivla_vision.goal import Goal
    from test.encoders import random_encoder

    encoder = random_encoder()
    encoder.set_goal(Goal(rgb=corridor.goal_picture().copy()))
    corridor.reset()
    far = encoder.encode(corridor.look().copy()).tokens.numpy()[:, :384]
    near = encoder.encode(corridor.goal_picture().copy()).tokens.numpy()[:, :384]
    assert steer(far[:256], far[256:], 16).similarity < ARRIVED
    assert steer(near[:256], near[256:], 16).similarity == pytest.approx(1, abs=1e-3)
