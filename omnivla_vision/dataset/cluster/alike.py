"""What must be alike on all nodes: software, rows, and the folder that they write into."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.errors import DifferentNodeError, NotSharedError

# A shared folder may show what one node writes to the others a while later (NFS keeps what it knows for some seconds).
VISIBLE_S = 10.0


def require_software(here: str, there: str, node: str) -> None:
    """See `ray_worker.software`.

    Raises:
        DifferentNodeError: it is another one.
    """
    if there != here:
        raise DifferentNodeError(
            f"found {there} on node {node}; expected {here}, as here; install the same on every node"
        )


def require_rows(first: tuple[Description, str], other: Description, node: str) -> None:
    """Rows of this node must be of the kind of the first one's.

    Args:
        first: what was described first, and on which node.
        other: what this node says.
        node: its address.

    Raises:
        DifferentNodeError: they are of another kind.
    """
    description, where = first
    if differences := description.differences(other):
        raise DifferentNodeError(
            f"found that node {node} makes other rows than node {where} ({'; '.join(differences)}); expected the same "
            "of all; put the weights where all nodes see the same files, and name --engine and --precision"
        )


def require_shared(uri: str, fragments: Sequence[str], node: str) -> None:
    """Wait for the files of these fragments.

    Args:
        uri: of the dataset; an object store is the same for everybody.
        fragments: as `FragmentWriter.finish` returns them.
        node: that wrote them.

    Raises:
        NotSharedError: they do not come.
    """
    if "://" in uri:
        return
    files = [Path(uri, "data", file["path"]) for fragment in fragments for file in json.loads(fragment)["files"]]
    deadline = time.monotonic() + VISIBLE_S
    while absent := [file for file in files if not file.exists()]:
        if time.monotonic() > deadline:
            raise NotSharedError(
                f"found no {absent[0]}, which node {node} has written; expected a folder that all nodes share; name "
                "one with --out, or a place in an object store (s3://...)"
            )
        time.sleep(0.1)
