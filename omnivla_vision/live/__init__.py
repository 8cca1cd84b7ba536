"""Newest frame wins: everything about time, without ROS."""
