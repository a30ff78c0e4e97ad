"""Clusters that a study starts, which end with it; and the way to a scheduler that is there."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.security import Security

from clearml_hpo.core.errors import InputError
from clearml_hpo.executors.dask.plan import CLUSTERS, GPU, Cluster, DaskPlan, Tls
from clearml_hpo.executors.dask.slots import DURATIONS, PRELOAD, SlotCluster, groups_of

_CONNECT_S = 10.0
"""How long a scheduler may take to answer."""
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "slurm": {"processes": 1},
    "pbs": {"processes": 1},
    "htcondor": {"processes": 1},
    "kubernetes": {},
}
_PER_JOB = ("slurm", "pbs", "htcondor")


def connect(plan: DaskPlan, own: Any = None) -> Client:
    """A client of the scheduler that a plan names, or of the ``own`` cluster.

    Raises:
        OSError: it does not answer.
        TimeoutError: nor refuses.
    """
    security = security_of(plan.tls)
    if own is not None:
        return Client(own, timeout=_CONNECT_S, set_as_default=False)
    if plan.scheduler_file and not Path(plan.scheduler_file).is_file():
        raise FileNotFoundError(f"there is no file {plan.scheduler_file} yet")  # Dask would wait for it
    where = {"scheduler_file": plan.scheduler_file} if plan.scheduler_file else {"address": plan.address}
    return Client(**where, security=security, timeout=_CONNECT_S, set_as_default=False)


def security_of(tls: Tls | None) -> Security | None:
    """What Dask needs to encrypt; None if the cluster does not."""
    if tls is None:
        return None
    ours = {f"tls_{who}_{what}": value for who in ("client", "scheduler", "worker") for what, value in _pair(tls)}
    return Security(tls_ca_file=tls.ca, require_encryption=True, **ours)


def _pair(tls: Tls) -> list[tuple[str, str]]:
    return [("cert", tls.cert), ("key", tls.key)]


class OwnCluster:
    """A cluster that was started here: its scheduler is in this process, unless its class has it elsewhere.

    Attributes:
        cluster: Dask's object.
        places: how many trials its workers can run when all of them are there.
    """

    def __init__(self, asked: Cluster, tls: Tls | None, needs: Mapping[str, float]) -> None:
        """Starts it. Its workers have the resources that the trials need; GPUs of this machine only where they are.

        Raises:
            InputError: its package is missing, or refuses the options.
        """
        security = security_of(tls)
        start = _here if asked.kind == "local" else _of_class
        try:
            with dask.config.set(DURATIONS):
                self.cluster: Any = start(asked, security, needs)
        except (TypeError, ValueError, OSError, RuntimeError) as error:
            raise InputError(f"execution.dask.cluster: {asked.kind} cannot be started: {error}") from None
        self.places = asked.most * (int(asked.options.get("processes", 1)) if asked.kind in _PER_JOB else 1)
        try:
            self._size(asked)
        except (TypeError, ValueError) as error:
            self.cluster.close()
            raise InputError(f"execution.dask.{'adapt' if asked.adapt else 'scale'}: {error}") from None

    def _size(self, asked: Cluster) -> None:
        of_jobs = asked.kind in _PER_JOB
        if asked.adapt:
            sizes = {f"{name}_jobs" if of_jobs and name in _SIZES else name: v for name, v in asked.adapt.items()}
            self.cluster.adapt(**sizes)
        elif asked.kind == "local":
            self.cluster.scale(len(groups_of(asked.slots[: asked.most])))
        elif of_jobs:
            self.cluster.scale(jobs=asked.most)
        else:
            self.cluster.scale(asked.most)

    def close(self) -> None:
        """Ends it, with its workers."""
        self.cluster.close()


_SIZES = ("minimum", "maximum")


def _check_main() -> None:
    """Refuses to start Python processes that would run a user's script once more: they import it."""
    main = sys.modules["__main__"]
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if spec is not None and spec.name.rpartition(".")[2] == "__main__":
        return  # of a package: these are not imported
    if (
        path is not None
        and path.endswith(".py")
        and "__name__" not in Path(path).read_text(encoding="utf-8", errors="replace")
    ):
        raise InputError(
            "execution.dask.cluster: local starts Python processes, which import your script: have what starts the "
            f'study below `if __name__ == "__main__":` in {path}'
        )


def _here(asked: Cluster, security: Security | None, needs: Mapping[str, float]) -> SlotCluster:
    _check_main()
    slots = asked.slots[: asked.most]
    groups = {slot.name: (slot,) for slot in slots} if asked.adapt else groups_of(slots)
    options = {"dashboard": "127.0.0.1:0", **asked.options}
    resources = {name: amount for name, amount in needs.items() if name != GPU}
    return SlotCluster(groups, resources, security=security, silence_logs=logging.CRITICAL, **options)


def class_of(kind: str) -> Any:
    """The class of a cluster.

    Raises:
        InputError: it cannot be imported.
    """
    path, extra = CLUSTERS.get(kind, (kind, ""))
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        hint = f"; install it: pip install 'clearml-hpo[{extra}]'" if extra else ""
        raise InputError(f"execution.dask.cluster: {kind!r} cannot be imported ({error}){hint}") from None


def _of_class(asked: Cluster, security: Security | None, needs: Mapping[str, float]) -> Any:
    make = class_of(asked.kind)
    options = {**_OPTIONS.get(asked.kind, {}), **asked.options}
    if asked.kind in _PER_JOB:
        # A thread for each process: one trial, with all cores of the process.
        cores = max(1, int(options.get("cores", 1)) // int(options["processes"]))
        limits = [f"export {name}={cores}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")]
        options["job_script_prologue"] = [*limits, *options.get("job_script_prologue", ())]
        more = ["--nthreads", "1", "--preload", PRELOAD, *_as_option(needs)]
        options["worker_extra_args"] = [*more, *options.get("worker_extra_args", ())]
    if asked.kind == "kubernetes":
        options = on_kubernetes(options, needs)
    if security is not None:
        options.setdefault("security", security)
    return make(**options)


def _as_option(needs: Mapping[str, float]) -> list[str]:
    """The option of ``dask worker`` that gives it resources; of several such options the last one counts."""
    named = ",".join(f"{name}={amount:g}" for name, amount in needs.items())
    return ["--resources", named] if named else []


def on_kubernetes(options: Mapping[str, Any], needs: Mapping[str, float]) -> dict[str, Any]:
    """Arguments of ``KubeCluster``, whose scheduler and workers are other processes: they are told by variables.

    A pod runs one trial. The operator asks the scheduler how many workers it wants by a route that is not a default.
    """
    routes = ["distributed.http.scheduler.api", *dask.config.get("distributed.scheduler.http.routes")]
    settings = {"distributed.worker.preload": [PRELOAD], "distributed.scheduler.http.routes": routes, **DURATIONS}
    env = {f"DASK_{key.replace('.', '__').replace('-', '_').upper()}": json.dumps(v) for key, v in settings.items()}
    given = {"worker_command": " ".join(["dask worker --nthreads 1", *_as_option(needs)]), **options}
    return {**given, "env": {**env, **options.get("env", {})}}
