"""This software and its version, for a dataset's metadata."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from xml.etree import ElementTree

from omnivla_vision.resources import resource_path


def made_by() -> str:
    """For `Description.made_by`."""
    try:
        return f"omnivla-vision {version('omnivla-vision')}"
    except PackageNotFoundError:  # colcon installs no metadata of Python's
        return f"omnivla-vision {ElementTree.parse(resource_path('package.xml')).getroot().findtext('version')}"
