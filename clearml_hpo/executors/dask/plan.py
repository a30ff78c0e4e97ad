"""What a study asks of a Dask cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DASK = "dask"
"""What study files call the executor, and the queue of trials that need no resources."""
GPU = "GPU"
"""The resource that a Dask worker with a GPU has one of."""
CLUSTERS: Mapping[str, tuple[str, str]] = {
    "local": ("", "dask"),
    "slurm": ("dask_jobqueue.SLURMCluster", "slurm"),
    "pbs": ("dask_jobqueue.PBSCluster", "slurm"),
    "htcondor": ("dask_jobqueue.HTCondorCluster", "slurm"),
    "kubernetes": ("dask_kubernetes.operator.KubeCluster", "kubernetes"),
}
"""Clusters by the name that a study file gives them: the class, and the extra of this package that brings it."""


def place_of(resources: Mapping[str, float]) -> str:
    """The queue of trials that need these resources of Dask's, such as ``dask GPU=1``."""
    return " ".join([DASK, *(f"{name}={amount:g}" for name, amount in sorted(resources.items()))])


_ADDRESS = re.compile(r"^(tcp|tls|ws|wss|ucx)://[^\s/:]+:\d+$|^(tcp|tls|ws|wss|ucx)://\[[0-9a-fA-F:]+\]:\d+$")


def fault_of_address(address: str, *, is_encrypted: bool) -> str:
    """What is wrong with the address of a scheduler; empty if nothing is."""
    if not _ADDRESS.match(address):
        return f"{address!r} is no address of a Dask scheduler, such as tcp://node-1:8786"
    if address.startswith(("tls", "wss")) != is_encrypted:
        return f"{address}: an address that begins with tls:// needs the files of TLS, and they need such an address"
    return ""


@dataclass(frozen=True)
class Tls:
    """Files of a cluster that encrypts: the authority's certificate, and one with its key for us."""

    ca: str
    cert: str
    key: str


@dataclass(frozen=True)
class Cluster:
    """A cluster that the study starts, and that ends with it.

    Attributes:
        kind: a name of :data:`CLUSTERS`, or a class by its dotted path.
        options: what the class is called with.
        scale: so many workers, for batch systems jobs; None if ``adapt`` says it.
        adapt: what ``adapt`` of the cluster is called with, such as ``minimum`` and ``maximum``.
        slots: of this machine, for ``local``: what ``plan_slots`` returns.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scale: int | None = None
    adapt: Mapping[str, Any] | None = None
    slots: tuple[Any, ...] = ()

    @property
    def most(self) -> int:
        """How many workers, or jobs, there are at the most."""
        asked = (self.adapt or {}).get("maximum") or self.scale or len(self.slots) or 1
        return min(int(asked), len(self.slots) or int(asked))


@dataclass(frozen=True)
class DaskPlan:
    """Where a study's trials go.

    Attributes:
        address: of a scheduler; empty if ``scheduler_file`` or ``cluster`` says it.
        scheduler_file: which ``dask scheduler --scheduler-file`` has written.
        places: the resources that trials need, by the queue that :func:`place_of` names.
    """

    address: str = ""
    scheduler_file: str = ""
    cluster: Cluster | None = None
    tls: Tls | None = None
    places: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: {DASK: {}})

    @property
    def needs(self) -> dict[str, float]:
        """The most of each resource that a trial needs: what a worker has that can run any of them."""
        most: dict[str, float] = {}
        for resources in self.places.values():
            most |= {name: max(amount, most.get(name, 0.0)) for name, amount in resources.items()}
        return most

    @property
    def name(self) -> str:
        """The cluster in messages."""
        return self.address or self.scheduler_file or (f"{self.cluster.kind} cluster" if self.cluster else "")
