"""What another node wrote must be here before it is committed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from omnivla_vision.dataset.errors import NotSharedError

# A shared folder may show what one node writes to the others a while later (NFS keeps what it knows for some seconds).
VISIBLE_S = 10.0


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
