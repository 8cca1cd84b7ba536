"""The process beside a fork, see `reading.ProcessReader`; `python -m` starts it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from omnivla_vision.dataset.errors import DatasetError
from omnivla_vision.dataset.training.reading import LanceReader


def main() -> None:
    """Answer until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the other side, and that ends this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get among the answers
    try:
        serve(sys.stdin, answers)
    except BrokenPipeError:
        os._exit(0)


def serve(requests: Iterable[str], answers: BinaryIO) -> None:
    """The first request opens the dataset, the others are for rows."""
    reader: LanceReader | None = None
    for line in requests:
        request = json.loads(line)
        table: pa.Table | None = None
        problem = ""
        try:
            if reader is None:
                reader = LanceReader(request["uri"], request["storage_options"])
            else:
                table = reader.take(np.array(request["rows"], np.int64), request["columns"])
        except DatasetError as error:
            problem = str(error)
        answers.write(json.dumps(problem).encode() + b"\n")
        if table is not None:
            with pa.ipc.new_stream(answers, table.schema) as stream:
                stream.write_table(table)
        answers.flush()


if __name__ == "__main__":
    main()
