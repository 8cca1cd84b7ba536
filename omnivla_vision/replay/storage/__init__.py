"""The files of a ROS 2 bag: what they hold, whatever is said about it elsewhere. Only what is asked for is read."""
