"""The vision node as a child process with the shipped parameters and transport profile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from omnivla_vision.errors import VisionError
from omnivla_vision.resources import resource_path
from omnivla_vision.transport.shipped import use_shipped_profile

NODE = ("-m", "omnivla_vision.ros")
STOP_TIMEOUT_S = 30.0
LOG_TAIL_LINES = 20


class NodeDiedError(VisionError):
    """The node's process ended by itself, or not when it was told to."""


class NodeProcess:
    """Starts `vision_node` and stops it; a context manager.

    Args:
        parameters: ROS parameters that differ from those of the file.
        params_file: the file, config/vision.yaml unless another is given.
        remappings: `name:=other` rules, and `__ns:=/name`.
        log: file that receives the node's output.
        environment: added to this process's environment.
        program: what Python runs instead of the node, with its own arguments.
    """

    def __init__(
        self,
        *,
        parameters: Mapping[str, object],
        remappings: Sequence[str] = (),
        log: Path,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = NODE,
        params_file: Path | None = None,
    ) -> None:
        self.log = log
        arguments = ["--ros-args", "--params-file", str(params_file or resource_path("config/vision.yaml"))]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={_yaml(value)}"]
        for rule in remappings:
            arguments += ["-r", rule]
        child_environment = {**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"}
        use_shipped_profile(child_environment)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                env=child_environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def check(self) -> None:
        """Raise when the process is gone.

        Raises:
            NodeDiedError: with the end of its output.
        """
        code = self._process.poll()
        if code is not None:
            raise NodeDiedError(f"the node ended with exit code {code}; its last words:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines of the node's output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def send(self, signal_number: int) -> None:
        """Send a signal."""
        self._process.send_signal(signal_number)

    def stop(self, signal_number: int = signal.SIGINT) -> int:
        """Ask the node to end, and return its exit code.

        Raises:
            NodeDiedError: it did not end within 30 s; it has been killed.
        """
        if self._process.poll() is None:
            self.send(signal_number)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise NodeDiedError(
                f"the node did not end within {STOP_TIMEOUT_S:.0f} s of {signal.Signals(signal_number).name} and was "
                f"killed; its last words:\n{self.log_tail()}"
            ) from None

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            if kind is None:
                self.stop()
            else:
                self._process.kill()
                self._process.wait()


def _yaml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_yaml, value))}]"
    return json.dumps(value, default=str)  # quotes strings: an empty one is a value too, and "1" is no number
