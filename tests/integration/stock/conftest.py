"""ClearML's own optimizer, as a script uses it, on the embedded server."""

from __future__ import annotations

import threading
import time

import pytest

from ..controller.conftest import api, queue  # noqa: F401
from ..controller.test_optimizer_classes import live, make, memory, study_optimizer, template, trials  # noqa: F401

_GO_ON_S = 60.0


@pytest.fixture
def controller_task(api, template):  # noqa: F811
    """A task for the optimizer to report on."""
    from clearml import Task

    project = api.call("tasks.get_by_id", task=template)["task"]["project"]
    task = Task.get_task(task_id=api.call("tasks.create", name="optimizer", type="optimizer", project=project)["id"])
    yield task
    task.flush(wait_for_uploads=True)  # the SDK's own threads would outlive the server


@pytest.fixture
def stock(make, api, controller_task):  # noqa: F811
    """Makes ``HyperParameterOptimizer`` with ``OptimizerOptuna``; what it leaves running is ended with the test."""
    from clearml.automation import HyperParameterOptimizer
    from clearml.automation.optuna import OptimizerOptuna

    made, before = [], set(threading.enumerate())

    def stock(**options):
        options = {"max_iteration_per_job": 1_000_000, **options}
        made.append(make(HyperParameterOptimizer, optimizer_class=OptimizerOptuna, **options))
        return made[-1]

    yield stock
    for optimizer in made:
        if optimizer.get_optimizer()._study is not None:  # its own stop() does not reach Optuna from another thread
            optimizer.get_optimizer()._study._stop_flag = True
        optimizer.stop(wait_for_reporter=False)
        if optimizer._stop_event is not None:  # its reporter would sleep on
            optimizer._stop_event.set()
    deadline = time.monotonic() + _GO_ON_S
    while any(_is_of(made, thread) for thread in set(threading.enumerate()) - before):
        assert time.monotonic() < deadline, "a thread of the stock optimizer goes on"
        for task_id in [id_ for optimizer in made for id_ in optimizer.get_optimizer().get_created_jobs_ids()]:
            (task,) = api.call("tasks.get_all", id=[task_id], only_fields=["status"])["tasks"]
            if task["status"] not in ("completed", "failed"):  # its thread waits for a job until it has ended
                api.call("tasks.failed", task=task_id, force=True)
        time.sleep(0.1)


def _is_of(optimizers, thread):
    """Whether a thread is one of theirs, or of the pool in which Optuna runs their jobs."""
    owner = getattr(getattr(thread, "_target", None), "__self__", None)
    return thread.is_alive() and (owner in optimizers or thread.name.startswith("ThreadPoolExecutor"))


@pytest.fixture
def calls(monkeypatch):
    """Endpoints that this process has called since, in their order."""
    from urllib3 import HTTPConnectionPool

    found, send = [], HTTPConnectionPool.urlopen

    def noted(self, method, url, *given, **options):
        found.append(url.rpartition("/")[2].partition("?")[0])
        return send(self, method, url, *given, **options)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", noted)
    return found


@pytest.fixture
def hasty(monkeypatch):
    """The stock optimizer's reporter waits at least 15 seconds before its first report; here no event waits so long."""

    class Hasty(threading.Event):
        def wait(self, timeout=None):
            return super().wait(None if timeout is None else min(timeout, 0.02))

    monkeypatch.setattr("clearml.automation.optimization.Event", Hasty)
