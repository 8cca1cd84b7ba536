"""The Foxglove layout names topics that exist and panels that it defines."""

from __future__ import annotations

import json
import re
from typing import Any

from omnivla_vision.resources import resource_path

TOPICS = {"/vision_node/debug/pca", "/vision_node/debug/goal_similarity", "/vision_node/tokens"}
TOPICS |= {"/vision_node/goal_status", "/diagnostics"}


def panels(node: Any) -> set[str]:
    if isinstance(node, str):
        return {node}
    return panels(node["first"]) | panels(node["second"])


def test_topics_and_panels() -> None:
    text = resource_path("resource/foxglove_layout.json").read_text()
    layout = json.loads(text)
    assert panels(layout["layout"]) == set(layout["configById"])
    assert set(re.findall(r'"(/(?:vision_node/[a-z_/]+|diagnostics))', text)) == TOPICS
