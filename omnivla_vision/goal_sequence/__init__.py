"""Goals that follow one another along a route: where they come from, how they are kept, where a robot is on them."""
