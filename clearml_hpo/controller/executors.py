"""The executor that a study file asks for: one of the product's own, or of another package."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import find_queues, own_queue_name
from clearml_hpo.backend.pilots import environment_of
from clearml_hpo.backend.template import Templates
from clearml_hpo.controller.policy import agent_queues, queues_of_executors
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.trial import RETRYABLE
from clearml_hpo.executors import Executor
from clearml_hpo.executors.dask.plan import DASK, Cluster, DaskPlan, Tls, place_of
from clearml_hpo.executors.kinds import ExecutorRequest, checked_options, find_kind
from clearml_hpo.executors.local import LOCAL, LocalExecutor
from clearml_hpo.executors.outside import OUTSIDE, OutsideExecutor
from clearml_hpo.executors.pilots import PilotExecutor, PilotPlan
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.executors.routed import RoutedExecutor
from clearml_hpo.study_file import StudyFile
from clearml_hpo.study_file.models import ExecutionSpec, LocalSpec, PilotsSpec
from clearml_hpo.workers.slots import Slot, default_slots, plan_slots

MakeExecutor = Callable[[str, Templates], Executor]
"""Makes the executor of a study, by the study's id and its templates."""
MakeOutside = Callable[[str], OutsideExecutor]
"""Makes what hands out the trials of a study, by the study's id."""


def executor_of(
    file: StudyFile, api: Api, on_note: Callable[[str], None], outside: MakeOutside | None = None
) -> MakeExecutor:
    """How to make the executor that the file asks for; what it starts, it starts when it is made.

    Args:
        outside: hands out the trials of the queue ``outside``; None where nobody does.

    Raises:
        InputError: the server has no such queue, this machine no such GPU, or no package such an executor; or nobody
            hands out trials here.
    """
    own = queues_of_executors(file)
    if not own:
        return _inside(file, api, on_note)
    if OUTSIDE in own and outside is None:
        raise InputError(
            f"execution.queue: a gateway hands out the trials of {OUTSIDE!r}: `clearml-hpo run FILE --gateway` does so "
            "here, `clearml-hpo gateway study add FILE` has one that runs drive the study"
        )
    if DASK in own:
        module_of_dask("executor")
    inside = _inside(file, api, on_note) if agent_queues(file) else None

    def made(study_id: str, templates: Templates) -> Executor:
        by_queue: dict[str, Executor] = {}
        if DASK in own:
            request = ExecutorRequest(api, study_id, "", (), {}, file.spec.execution, on_note)
            by_queue[DASK] = _dask(request)
        if OUTSIDE in own and outside is not None:
            by_queue[OUTSIDE] = outside(study_id)
        if inside is None and len(by_queue) == 1:
            return next(iter(by_queue.values()))
        return RoutedExecutor(by_queue, inside(study_id, templates) if inside is not None else None)

    return made


def _inside(file: StudyFile, api: Api, on_note: Callable[[str], None]) -> MakeExecutor:
    """The executor of all trials that are not handed out."""
    execution = file.spec.execution
    queues = find_queues(api, agent_queues(file))
    options, faults = checked_options(execution.executor, execution.options)
    if faults:
        raise InputError(file.explain(faults))
    name = "pilots" if execution.pilots is not None else execution.executor
    make, given = {
        "queue": (_queue, None),
        "local": (_local, execution.local),
        "pilots": (_pilots, execution.pilots),
        DASK: (_dask, execution),
    }.get(name) or (find_kind(name).make, options)
    if name == "local":
        slots_of(execution.local)  # a GPU that this machine has not is told before the study is opened
    if name == DASK:
        module_of_dask("executor")

    def made(study_id: str, templates: Templates) -> Executor:
        project_id = next(iter(templates.values())).project_id
        ids = tuple(template.task_id for template in templates.values())
        return make(ExecutorRequest(api, study_id, project_id, ids, queues, given, on_note))

    return made


def _queue(request: ExecutorRequest) -> Executor:
    return QueueExecutor(request.api, request.queues)


def _local(request: ExecutorRequest) -> Executor:
    return LocalExecutor(
        request.api,
        slots_of(request.options),
        queue=own_queue_name(LOCAL, request.study_id),
        min_free_mb=request.options.min_free_mb,
        on_note=request.on_note,
    )


def _pilots(request: ExecutorRequest) -> Executor:
    ((queue, queue_id),) = request.queues.items()
    return PilotExecutor(
        request.api,
        pilot_plan_of(request.options, queue, queue_id),
        study_id=request.study_id,
        project_id=request.project_id,
        environment=environment_of(request.api, list(request.template_ids)),
        on_note=request.on_note,
    )


def _dask(request: ExecutorRequest) -> Executor:
    dask_executor = module_of_dask("executor")
    made: Executor = dask_executor.DaskExecutor(
        request.api, dask_plan_of(request.options), study_id=request.study_id, on_note=request.on_note
    )
    return made


def module_of_dask(name: str) -> Any:
    """A module of our own that imports ``distributed``: late, as it takes a second.

    Raises:
        InputError: Dask is not installed.
    """
    try:
        return importlib.import_module(f"clearml_hpo.executors.dask.{name}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("clearml_hpo"):
            raise
        raise InputError(
            f"execution.executor: dask needs the package {error.name}: pip install 'clearml-hpo[dask]'"
        ) from None


def dask_plan_of(execution: ExecutionSpec) -> DaskPlan:
    """The Dask cluster that a study file asks for."""
    asked = execution.dask
    assert asked is not None
    rules = [rule.resources or {} for rule in execution.placement]
    cluster = None
    if asked.cluster is not None:
        slots = tuple(slots_of(execution.local)) if asked.cluster.kind == "local" else ()
        adapt = asked.adapt.model_dump() if asked.adapt else None
        cluster = Cluster(asked.cluster.kind, asked.cluster.options, asked.scale, adapt, slots)
    return DaskPlan(
        address=asked.address or "",
        scheduler_file=asked.scheduler_file or "",
        cluster=cluster,
        tls=Tls(asked.tls.ca, asked.tls.cert, asked.tls.key) if asked.tls else None,
        places={DASK: asked.resources}
        if execution.executor != DASK
        else {place_of(resources): resources for resources in [asked.resources, *rules]},
    )


def pilot_plan_of(pilots: PilotsSpec, queue: str, queue_id: str) -> PilotPlan:
    """The pilots that a study file asks for."""
    given = {"idle-timeout": f"{pilots.idle_timeout:g}", "per-gpu": pilots.per_gpu}
    more = {"cpu": pilots.cpu, "threads": pilots.threads, "min-free-mb": pilots.min_free_mb}
    options = {**given, **{name: value for name, value in more.items() if value is not None}}
    return PilotPlan(queue, queue_id, pilots.count, {name: str(value) for name, value in options.items()})


def slots_of(given: LocalSpec) -> Sequence[Slot]:
    """What trials of ``executor: local`` have for themselves; if the file does not say it, a GPU or a core each.

    Raises:
        InputError: this machine has no such GPU.
    """
    if not given.gpus and given.cpu is None:
        return default_slots()
    return plan_slots([str(gpu) for gpu in given.gpus], given.per_gpu, given.cpu or 0, given.threads)


def on_this_machine(file: StudyFile) -> StudyFile:
    """The study with all its trials in processes of this machine, whatever its queues."""
    file = on_one_queue(file, LOCAL)
    execution = file.spec.execution.model_copy(update={"executor": "local", "pilots": None})
    return replace(file, spec=file.spec.model_copy(update={"execution": execution}))


def on_one_queue(file: StudyFile, queue: str) -> StudyFile:
    """The study with all its trials on one queue, whatever its rules say."""
    return on_queues(file, [queue])


def on_queues(file: StudyFile, queues: Sequence[str]) -> StudyFile:
    """The study with its trials on these queues, whatever its rules say."""
    spec = file.spec
    failures = spec.failures.model_copy(
        update={
            state.value: retry.model_copy(update={"queue": None})
            for state in RETRYABLE
            if (retry := getattr(spec.failures, state.value)).queue
        }
    )
    concurrency = spec.execution.concurrency
    in_all = sum(concurrency.values()) if isinstance(concurrency, dict) else concurrency
    execution = spec.execution.model_copy(update={"queue": list(queues), "placement": [], "concurrency": in_all})
    return replace(file, spec=spec.model_copy(update={"execution": execution, "failures": failures}))
