"""The executor that a study file asks for."""

from __future__ import annotations

from dataclasses import replace

from clearml_hpo.controller.policy import placement_of
from clearml_hpo.executors import Executor, QueueExecutor
from clearml_hpo.spec import StudyFile
from clearml_hpo.tasks import Api
from clearml_hpo.tasks.names import find_queues


def executor_of(file: StudyFile, api: Api) -> Executor:
    """Queues that agents serve, or processes of this machine.

    Raises:
        InputError: the server has no such queue.
    """
    return QueueExecutor(api, find_queues(api, placement_of(file.spec).all_queues))


def on_one_queue(file: StudyFile, queue: str) -> StudyFile:
    """The study with all its trials on one queue, whatever its rules say."""
    spec = file.spec
    failures = spec.failures.model_copy(
        update={
            name: retry.model_copy(update={"queue": None})
            for name in ("failed", "lost", "no_objective", "not_finite", "aborted")
            if (retry := getattr(spec.failures, name)).queue
        }
    )
    concurrency = spec.execution.concurrency
    in_all = sum(concurrency.values()) if isinstance(concurrency, dict) else concurrency
    execution = spec.execution.model_copy(update={"queue": [queue], "placement": [], "concurrency": in_all})
    return replace(file, spec=spec.model_copy(update={"execution": execution, "failures": failures}))
