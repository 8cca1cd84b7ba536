"""The connection to a Ray cluster, or a Ray of this machine alone."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from omnivla_vision.dataset.errors import ClusterError, NoRoomError
from omnivla_vision.dataset.support import import_ray

# For a Ray of our own: what goes through its object store are jobs and what came of them, some kB each.
_OBJECT_STORE_BYTES = 100_000_000


class Cluster:
    """A connection that is open; one that this process had before is used, and left as it is.

    Args:
        address: "auto" or HOST:PORT of a cluster that this machine is a node of; empty for this machine alone.

    Raises:
        RaySupportMissingError: Ray is not installed.
        ClusterError: it cannot be joined, or started.
    """

    def __init__(self, address: str) -> None:
        if "://" in address:
            raise ClusterError(
                f"found --ray {address}; expected auto, or HOST:PORT of a cluster that this machine is a node of; run "
                "the command on one of its nodes, for example with `ray job submit`"
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = import_ray()
        self.local = not address
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._connect(address)

    def _connect(self, address: str) -> None:
        here: dict[str, Any] = {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
        }
        if address not in ("", "auto"):
            _require_listener(address)
        # It says so of every fork, and Ray forks only to start other programs.
        warnings.filterwarnings("ignore", "lance is not fork-safe")
        try:
            with _sigterm_kept(), nullcontext() if address else _token_of_its_own():
                self._ray.init(
                    **({"address": address} if address else here), log_to_driver=False, logging_level=logging.ERROR
                )
        except Exception as error:  # whatever Ray raises, of a dozen kinds
            raise _not_joined(address, str(error).splitlines()[0]) from error
        # Also with log_to_driver=False the whole log of a dead node would be printed on stdout.
        printing: Any = importlib.import_module("ray._private.worker")
        printing.print_to_stdstream = lambda *_, **__: None

    @property
    def nodes(self) -> dict[str, dict[str, float]]:
        """Address of each node that lives -> what it has in all: CPU, GPU, memory (bytes), ..."""
        return {node["NodeManagerAddress"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}

    def address_of(self, node: str) -> str:
        """Of a node, by Ray's id of it."""
        return next(str(known["NodeManagerAddress"]) for known in self._ray.nodes() if known["NodeID"] == node)

    def room(self, demands: Mapping[str, float]) -> dict[str, int]:
        """How many actors of these demands fit on each node, if nobody else is there; nodes without room are left out.

        Args:
            demands: by Ray's names: num_cpus, num_gpus, memory (bytes).
        """
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        wanted = {names[name]: amount for name, amount in demands.items() if amount}
        room = {
            address: min(int(resources.get(name, 0) / amount) for name, amount in wanted.items())
            for address, resources in self.nodes.items()
        }
        return {address: number for address, number in room.items() if number}

    def no_room(self, demands: Mapping[str, float], *, since: str = "") -> NoRoomError:
        """What to raise if an actor of these demands does not fit, or did not " for 300 s"."""
        wanted = ", ".join(f"{name} {amount:g}" for name, amount in demands.items() if amount)
        nodes = "; ".join(
            ", ".join(f"{name} {node.get(name, 0):g}" for name in ("CPU", "GPU", "memory"))
            for node in self.nodes.values()
        )
        return NoRoomError(
            f"found no room for a worker ({wanted}) on the cluster{since}, whose nodes have in all: {nodes or 'none'}; "
            "expected a node that has it and is free; ask for less (--num-cpus, --num-gpus), or wait for the others"
        )

    def close(self) -> None:
        """Leave; a Ray of our own ends."""
        if self._ours:
            self._ray.shutdown()


def _require_listener(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10.0).close()
    except (OSError, ValueError) as error:
        raise _not_joined(address, f"nobody who answers there ({error})") from error


def _not_joined(address: str, found: str) -> ClusterError:
    tried = f"join the Ray cluster at {address}" if address else "start Ray here"
    return ClusterError(
        f"cannot {tried}: found {found}; expected a cluster that runs, of which this machine is a node, or --ray "
        "without an address for this machine alone; see `ray status`"
    )


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; it belongs to whoever has it now."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _token_of_its_own() -> Iterator[None]:
    """Nobody else may use this Ray; without a token in the environment, one would be left in the user's home."""
    given = "RAY_AUTH_TOKEN" in os.environ
    os.environ.setdefault("RAY_AUTH_TOKEN", uuid.uuid4().hex)
    try:
        yield
    finally:
        if not given:
            del os.environ["RAY_AUTH_TOKEN"]
