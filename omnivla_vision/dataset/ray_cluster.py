"""The connection to a Ray cluster, or a Ray of this machine alone."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Mapping

from omnivla_vision.dataset.errors import ClusterError
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
        # Ray takes SIGTERM for itself; it belongs to whoever has it now.
        main = threading.current_thread() is threading.main_thread()
        handler = signal.getsignal(signal.SIGTERM) if main else None
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        # Lance, of which is true what it says, but Ray forks only to start other programs.
        warnings.filterwarnings("ignore", "lance is not fork-safe")
        try:
            if address:
                self._ray.init(address=address, **quiet)
            else:
                self._ray.init(
                    address="local",
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    **quiet,
                )
        except Exception as error:  # whatever Ray raises, of a dozen kinds
            tried = f"join the Ray cluster at {address}" if address else "start Ray here"
            raise ClusterError(
                f"cannot {tried}: found {str(error).splitlines()[0]}; expected a cluster that runs, of which this "
                "machine is a node, or --ray without an address for this machine alone; see `ray status`"
            ) from error
        finally:
            if main and handler is not None:
                signal.signal(signal.SIGTERM, handler)

    @property
    def nodes(self) -> list[dict[str, float]]:
        """What each node that lives has in all: CPU, GPU, memory (bytes), ..."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def address_of(self, node: str) -> str:
        """Of a node, by Ray's id of it."""
        return next(str(known["NodeManagerAddress"]) for known in self._ray.nodes() if known["NodeID"] == node)

    def room(self, demands: Mapping[str, float]) -> int:
        """How many actors of these demands fit, if nobody else is there; by Ray's names: num_cpus, num_gpus, memory."""
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        wanted = {names[name]: amount for name, amount in demands.items() if amount}
        return sum(
            min(int(resources.get(name, 0) / amount) for name, amount in wanted.items()) for resources in self.nodes
        )

    def close(self) -> None:
        """Leave; a Ray of our own ends."""
        if self._ours:
            self._ray.shutdown()
