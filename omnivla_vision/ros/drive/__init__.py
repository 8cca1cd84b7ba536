"""Programs that start a node or feed one, apart from the node itself."""
