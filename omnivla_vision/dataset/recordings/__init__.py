"""Bags, folders of pictures and LeRobot episodes as recordings: frames, and what other topics said beside them."""
