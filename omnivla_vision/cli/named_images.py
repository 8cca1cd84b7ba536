"""`--image PATH`, or `--image NAME=PATH` once for each camera; `--region` and `--mask` likewise."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnivla_vision.cli.paths import path
from omnivla_vision.network.views import CAMERA_NAME
from omnivla_vision.tokens.layout import camera_names_problem

# What the only image is called: the node's default.
CURRENT = "current"


class NamedImages(argparse.Action):
    """Collects {name: path}, in the order of the command line; one image needs no name."""

    _named = True  # whether the last one had a name

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add one option's value.

        Raises:
            ArgumentError: several images, not all of which have names of their own.
        """
        name, file = _split(str(values))
        images: dict[str, Path] = dict(getattr(namespace, self.dest) or {})
        if images and not (name and self._named):
            raise argparse.ArgumentError(
                self, "found several images, not all of them with a name; name each, for example full=a.jpg wrist=b.jpg"
            )
        if name in images:
            raise argparse.ArgumentError(self, f"found two images of the name {name!r}; name them differently")
        if name and (problem := camera_names_problem([name])):
            raise argparse.ArgumentError(self, f"found the name {name!r}; expected {problem}")
        self._named = bool(name)
        try:
            images[name or CURRENT] = path(file)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        setattr(namespace, self.dest, images)


class ForSomeImages(argparse.Action):
    """Joins the values of an option that is given once for each image, as the node's parameters have them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add one option's value."""
        joined = "; ".join(filter(None, (getattr(namespace, self.dest), str(values))))
        setattr(namespace, self.dest, joined)


def _split(text: str) -> tuple[str, str]:
    """Name and path; no name where nothing that could be one is before an =. `./a=b.jpg` is a path."""
    name, equals, file = text.partition("=")
    return (name, file) if equals and CAMERA_NAME.fullmatch(name) else ("", text)
