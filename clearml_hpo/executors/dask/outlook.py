"""What a Dask scheduler tells of its workers, and which settings do not suit trials: `dask status` and `check`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from distributed import Client

from clearml_hpo.core.errors import InputError
from clearml_hpo.executors.dask.cluster import class_of, connect
from clearml_hpo.executors.dask.plan import Cluster, DaskPlan
from clearml_hpo.executors.dask.tickets import KEY
from clearml_hpo.executors.dask.trials import RESOURCE

_SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "htcondor": "condor_submit"}
_ANSWER_S = 10.0
"""How long the scheduler may take to answer."""


@dataclass(frozen=True)
class Outlook:
    """A Dask cluster, as its scheduler tells of it.

    Attributes:
        workers: a row each: name, address, threads, trials that run, and tickets that wait there, resources, and
            whether it takes trials.
        remarks: what is wrong, or worth a look.
    """

    address: str
    dashboard: str
    workers: list[dict[str, Any]]
    remarks: list[str]


def outlook_of(plan: DaskPlan) -> Outlook:
    """Looks at a cluster that is there.

    Raises:
        OSError: the scheduler does not answer.
        TimeoutError: nor refuses.
    """
    with connect(plan) as client:
        info = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=_ANSWER_S)
        running = client.sync(client.scheduler.processing, callback_timeout=_ANSWER_S)
        workers = [_row(address, about, running.get(address, ())) for address, about in info["workers"].items()]
        remarks = [*_of_workers(workers, plan.places), *_of_scheduler(client)]
        return Outlook(client.scheduler.address, client.dashboard_link, workers, remarks)


def remarks_on(plan: DaskPlan) -> list[str]:
    """What a study should know of its cluster before it runs, a line each.

    Raises:
        InputError: it cannot run there: a package or a file is missing.
    """
    for path in astuple(plan.tls) if plan.tls else ():
        if not Path(path).is_file():
            raise InputError(f"execution.dask.tls: no such file: {path}")
    if plan.cluster is not None:
        return _on_own(plan.cluster)
    try:
        found = outlook_of(plan)
    except (OSError, TimeoutError, ValueError) as error:
        return [f"no Dask scheduler answers at {plan.name} yet ({str(error).partition(chr(10))[0]}): trials would wait"]
    workers = len(found.workers)
    return [f"Dask at {found.address}: {workers} worker{'' if workers == 1 else 's'}", *found.remarks]


def _on_own(cluster: Cluster) -> list[str]:
    if cluster.kind == "local":
        return [f"a Dask cluster on this machine: {cluster.most} slot{'' if cluster.most == 1 else 's'}"]
    class_of(cluster.kind)
    program = _SUBMIT.get(cluster.kind)
    if program is not None and shutil.which(program) is None:
        return [f"{program} is not on this machine: the study has to run where jobs can be submitted"]
    return [f"a Dask cluster of {cluster.kind}: {cluster.most} at the most"]


def _row(address: str, about: Mapping[str, Any], processing: Any) -> dict[str, Any]:
    resources = {str(name): float(amount) for name, amount in (about.get("resources") or {}).items()}
    tickets = sum(str(key).startswith(KEY) for key in processing)
    return {
        "name": str(about["name"]),
        "address": address,
        "threads": int(about["nthreads"]),
        "trials": min(tickets, int(about["nthreads"])),
        "waiting": max(0, tickets - int(about["nthreads"])),
        "takes_trials": bool(resources.get(RESOURCE)),
        "resources": {name: amount for name, amount in resources.items() if not name.startswith("clearml-hpo-")},
        "versions": [name.removeprefix("clearml-hpo-") for name in resources if name.startswith("clearml-hpo-")],
    }


def _of_workers(workers: list[dict[str, Any]], places: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    ours = RESOURCE.removeprefix("clearml-hpo-")
    for version in sorted({version for row in workers for version in row["versions"]} - {ours}):
        count = sum(version in row["versions"] for row in workers)
        yield f"{count} of {len(workers)} workers have clearml-hpo {version}, and this is {ours}: they get no trials"
    for needs in places.values():
        fits = [row for row in workers if all(row["resources"].get(name, 0) >= n for name, n in needs.items())]
        if workers and not fits:
            named = ", ".join(f"{name}: {amount:g}" for name, amount in needs.items())
            yield f"no worker has the resources {{{named}}}; such trials wait until one joins"


def _of_scheduler(client: Client) -> Iterator[str]:
    def settings() -> tuple[Any, str]:
        import dask

        return dask.config.get("distributed.scheduler.default-task-durations", {}), metadata.version("distributed")

    ours = metadata.version("distributed")
    found, version = None, ours
    with contextlib.suppress(Exception):  # it may forbid to run functions
        found, version = client.run_on_scheduler(settings)
    if version != ours:
        yield f"the scheduler has distributed {version}, this machine {ours}"
    if found is not None and KEY.rstrip("-") not in found:
        yield (
            "the scheduler takes trials for tasks of half a second: an adaptive cluster grows slowly, and closes busy "
            'workers; start it with DASK_DISTRIBUTED__SCHEDULER__DEFAULT_TASK_DURATIONS=\'{"clearml-trial": "1h"}\''
        )
