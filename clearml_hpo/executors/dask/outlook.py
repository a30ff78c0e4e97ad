"""What a Dask scheduler tells of its workers, and which settings do not suit trials: `dask status` and `check`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from distributed import Client

from clearml_hpo.executors.dask.cluster import connect
from clearml_hpo.executors.dask.plan import DaskPlan
from clearml_hpo.executors.dask.tickets import KEY
from clearml_hpo.executors.dask.trials import RESOURCE

_ANSWER_S = 10.0
"""How long the scheduler may take to answer."""


@dataclass(frozen=True)
class Outlook:
    """A Dask cluster, as its scheduler tells of it.

    Attributes:
        workers: a row each: name, address, threads, trials that run, resources, and whether it takes trials.
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


def _row(address: str, about: Mapping[str, Any], processing: Any) -> dict[str, Any]:
    resources = {str(name): float(amount) for name, amount in (about.get("resources") or {}).items()}
    return {
        "name": str(about["name"]),
        "address": address,
        "threads": int(about["nthreads"]),
        "trials": sum(str(key).startswith(KEY) for key in processing),
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
