"""Workers of this machine on a server that hands out whatever is in a queue, and forgets what it was asked."""

from __future__ import annotations

import time

import pytest

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import ensure_queue
from clearml_hpo.core.errors import ApiError
from clearml_hpo.testing.executor_contract import Stage, eventually
from clearml_hpo.workers import programs, protocol, service
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import plan_slots
from clearml_hpo.workers.task_source import QueueSource
from tests import place


@pytest.fixture
def stage(api, tmp_path):
    return Stage(api, tmp_path, place.queue("workers"), 1)


@pytest.fixture
def queue(stage):
    return ensure_queue(stage.api, stage.queue)


@pytest.fixture
def notes():
    return []


@pytest.fixture
def serve(notes, queue):
    """Begins to serve queues; without warm parents, which these tests are not about."""
    serving = []

    def serve(*queues, slots=1):
        found = plan_slots(cpu=slots, threads=1)
        serving.append(
            LocalWorkers(found, QueueSource(queues or [queue], notes.append), "odd", warm=False, on_note=notes.append)
        )
        return serving[-1]

    yield serve
    for each in serving:
        each.close()


@pytest.fixture
def meddle(monkeypatch):
    """Has something happen around the calls of an endpoint that workers make, from the first one on."""

    def meddle(endpoint, before=None, after=None, times=1):
        real, left = Api.call, [times]

        def call(self, called, **body):
            if called != endpoint or not left[0]:
                return real(self, called, **body)
            left[0] -= 1
            if before:
                before(**body)
            answer = real(self, called, **body)
            if after:
                after(**body)
            return answer

        monkeypatch.setattr(Api, "call", call)

    return meddle


def enqueue(stage, queue, task):
    stage.api.call("tasks.enqueue", task=task, queue=queue)
    return task


@pytest.mark.parametrize("action", ["stopped", "failed", "completed"])
def test_what_has_ended_is_not_run_though_its_entry_is_still_there(stage, queue, serve, notes, action):
    task = enqueue(stage, queue, stage.script("print('runs')\n"))
    after = enqueue(stage, queue, stage.script("print('runs')\n"))
    stage.api.call(f"tasks.{action}", task=task, force=True)
    serve()
    stage.until("completed", after)
    assert stage.status(task) == action and "runs" not in stage.console(task)
    assert notes == [f"task {task} is {action}: it is not run, though it was in the queue"]


def test_what_runs_elsewhere_is_not_run_here(stage, queue, serve, notes):
    task = enqueue(stage, queue, stage.script("print('runs')\n"))
    after = enqueue(stage, queue, stage.script("print('runs')\n"))
    stage.api.call("tasks.started", task=task, force=True)
    serve()
    stage.until("completed", after)
    assert stage.status(task) == "in_progress" and "runs" not in stage.console(task)
    assert notes == [f"task {task} is in_progress: it is not run, though it was in the queue"]


def test_a_task_that_is_deleted_as_it_starts(stage, queue, serve, notes, meddle):
    meddle("tasks.started", before=lambda task, **_: stage.api.call("tasks.delete", task=task, force=True))
    enqueue(stage, queue, stage.script("print('runs')\n"))
    after = enqueue(stage, queue, stage.script("print('runs')\n"))
    serve()
    stage.until("completed", after)
    assert notes == []


def test_a_deleted_task_keeps_no_other_slot_from_its_report(stage, queue, serve, notes, monkeypatch):
    monkeypatch.setattr(service, "_LOOK_S", 1e6)  # it is not seen before the report
    monkeypatch.setattr(protocol, "_REPORT_S", 0.2)
    serve(slots=2)
    deleted, other = (enqueue(stage, queue, stage.held(name)) for name in ("deleted", "other"))
    stage.until_begun("deleted", "other")
    stage.api.call("tasks.delete", task=deleted, force=True)
    heard = lambda: stage.api.call("tasks.get_all", id=[other], only_fields=["last_update"])["tasks"][0]  # noqa: E731
    before = heard()
    eventually(lambda: heard() != before, "the other one is heard of")
    before = heard()
    eventually(lambda: heard() != before, "and again")
    stage.release("deleted", "other")
    stage.until("completed", other)
    assert notes == []


def test_a_wish_to_stop_outlives_a_start_whose_answer_was_lost(stage, queue, serve, notes, meddle):
    def stop(task, status_reason, **_):
        worker = status_reason.removeprefix("pulled by ")
        stage.api.call("workers.status_report", worker=worker, task=task, timestamp=int(time.time() * 1000))
        stage.api.call("tasks.stop", task=task, status_reason="no longer wanted")
        assert stage.task(task)["status_message"] == "stopping"
        raise ApiError("tasks.started", 503, 0, "in trouble")

    meddle("tasks.started", after=stop)
    task = enqueue(stage, queue, stage.held("a"))
    serve()
    stage.until("stopped", task)
    assert stage.task(task)["status_reason"] == "no longer wanted"
    assert len(notes) == 1 and "in trouble" in notes[0]


def test_a_stop_while_its_code_is_fetched_is_not_lost(stage, queue, serve, monkeypatch):
    real = programs.prepare

    def prepare(task, *rest):
        stage.api.call("tasks.stop", task=task["id"])
        return real(task, *rest)

    monkeypatch.setattr(programs, "prepare", prepare)
    task = enqueue(stage, queue, stage.held("a"))
    after_it = serve()
    stage.until("stopped", task)
    monkeypatch.setattr(programs, "prepare", real)
    after = enqueue(stage, queue, stage.script("print('runs')\n"))
    after_it.take_now()
    stage.until("completed", after)
    assert stage.status(task) == "stopped"


def test_a_task_that_is_dequeued_while_it_runs_is_ended(stage, queue, serve):
    """ClearML makes a draft of it, in which nobody sees that it has run."""
    task = enqueue(stage, queue, stage.held("a"))
    serve()
    stage.until_begun("a")
    stage.api.call("tasks.dequeue", task=task)
    stage.until("stopped", task)
    assert stage.task(task)["status_reason"] == "it was taken out of its queue while it ran"


def test_a_task_that_is_reset_while_it_runs_stays_a_draft(stage, queue, serve):
    task = enqueue(stage, queue, stage.held("a"))
    serve()
    stage.until_begun("a")
    stage.api.call("tasks.reset", task=task, force=True)
    after = enqueue(stage, queue, stage.script("print('runs')\n"))
    stage.until("completed", after)
    assert stage.status(task) == "created"


def test_a_queue_that_is_gone_when_a_worker_begins(stage, queue, serve, notes):
    gone = ensure_queue(stage.api, f"{stage.queue}-gone")
    stage.api.call("queues.delete", queue=gone)
    task = enqueue(stage, queue, stage.script("print('runs')\n"))
    serve(gone, queue)
    stage.until("completed", task)
    assert notes == [f"queue {gone} was deleted; it is no longer served here"]


def test_a_worker_none_of_whose_queues_are_there(stage, serve, notes):
    gone = ensure_queue(stage.api, f"{stage.queue}-gone")
    stage.api.call("queues.delete", queue=gone)
    serving = serve(gone)
    eventually(lambda: serving.is_without_queues, "it sees that")
    assert notes == [f"queue {gone} was deleted; it is no longer served here"]
