"""A real Ray cluster on the loopback, one node an address, apart from every other on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from test.processes import Family, wait_for

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")


def free_port() -> int:
    """One below those that Ray gives to its workers, and that the system gives to whoever asks."""
    for port in range(6400 + os.getpid() % 2000, 10000):
        with socket.socket() as trying:
            try:
                trying.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def can_mount() -> bool:
    """Whether a process may have mounts of its own, so that two nodes see different files."""
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


class Nodes:
    """A cluster. Sockets need short paths, so its files are not below pytest's."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.address = f"127.0.0.1:{free_port()}"
        self._family = Family()
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, address: str, *options: str, mounts: Sequence[tuple[Path, Path]] = ()) -> None:
        """Start a node of one CPU.

        Args:
            address: 127.0.0.N; the first one is the head.
            options: of `ray start`.
            mounts: what this node sees, and in which place.
        """
        if self._started:
            role = ["--address", self.address]
        else:
            port = self.address.rpartition(":")[2]
            role = ["--head", "--port", port, "--temp-dir", str(self.folder), "--include-dashboard", "false"]
        command = [
            *(str(RAY), "start", "--block", "--disable-usage-stats", "--node-ip-address", address, *role),
            *("--num-cpus", "1", "--object-store-memory", "80000000", *options),
        ]
        if mounts:
            lines = [f"mount --bind '{seen}' '{place}'" for seen, place in mounts]
            command = ["unshare", "-rm", "sh", "-c", " && ".join([*lines, 'exec "$@"']), "sh", *command]
        log = self.folder / f"{address}.log"
        with log.open("ab") as output:
            self._started.append(
                subprocess.Popen(
                    command,
                    # A token in the user's home would make the head ask for it, and nobody else.
                    env={
                        **os.environ,
                        **self._family.environment,
                        "PYTHONPATH": str(ROOT),
                        "RAY_AUTH_MODE": "disabled",
                    },
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )
        mark = b"Ray runtime started"
        wait_for(lambda: mark in log.read_bytes() or self._started[-1].poll() is not None, f"node {address}")
        assert mark in log.read_bytes(), log.read_text()

    def stop(self) -> None:
        """End every process of it."""
        self._family.kill()
        for node in self._started:
            node.wait()
        shutil.rmtree(self.folder)
