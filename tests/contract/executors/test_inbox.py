"""Tasks that are handed to workers one by one: each is run once, by the worker that gets its entry in the queue."""

from __future__ import annotations

import threading

import pytest

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import ensure_queue
from clearml_hpo.core.errors import ApiError
from clearml_hpo.testing.executor_contract import DEADLINE_S, Stage, eventually
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import plan_slots
from clearml_hpo.workers.task_source import Inbox, QueueSource
from tests import place


@pytest.fixture
def stage(api, tmp_path):
    return Stage(api, tmp_path, place.queue("inbox"), 1)


@pytest.fixture
def queue(stage):
    return ensure_queue(stage.api, stage.queue)


@pytest.fixture
def notes():
    return []


@pytest.fixture
def serve(notes):
    """Begins to run the tasks of a source; without warm parents, which these tests are not about."""
    serving = []

    def serve(source, slots=1):
        found = plan_slots(cpu=slots, threads=1)
        serving.append(LocalWorkers(found, source, f"inbox{len(serving)}", warm=False, on_note=notes.append))
        return serving[-1]

    yield serve
    for each in serving:
        each.close()


@pytest.fixture
def inbox(notes):
    return Inbox(notes.append)


def enqueue(stage, queue, task):
    stage.api.call("tasks.enqueue", task=task, queue=queue)
    return task


def entries(stage, queue):
    (found,) = stage.api.call("queues.get_all", id=[queue], only_fields=["entries"])["queues"]
    return [entry["task"] for entry in found.get("entries") or ()]


def until_done(inbox, workers):
    eventually(lambda: inbox.remaining == 0 and workers.is_idle_for(0.0), "all tasks have been seen to")


def test_a_queued_task_is_run_to_its_end(stage, queue, serve, inbox, notes):
    task, other = (enqueue(stage, queue, stage.held(name)) for name in ("a", "b"))
    inbox.put(task)
    workers = serve(inbox)
    stage.until_begun("a")
    assert stage.status(task) == "in_progress" and entries(stage, queue) == [other]
    assert inbox.remaining == 0 and not workers.is_idle_for(0.0)
    stage.release("a")
    until_done(inbox, workers)
    assert (stage.status(task), stage.status(other)) == ("completed", "queued")
    assert notes == []


def test_what_is_handed_over_later_is_run_too(stage, queue, serve, inbox, notes):
    workers = serve(inbox)
    until_done(inbox, workers)
    for _ in range(2):
        task = enqueue(stage, queue, stage.script("print('runs')\n"))
        inbox.put(task)
        workers.look_now()
        until_done(inbox, workers)
        assert stage.status(task) == "completed"
    assert notes == []


def test_no_more_tasks_run_at_once_than_there_are_slots(stage, queue, serve, inbox):
    tasks = [enqueue(stage, queue, stage.held(name)) for name in ("a", "b")]
    for task in tasks:
        inbox.put(task)
    serve(inbox)
    stage.until_begun("a")
    assert inbox.remaining == 1 and entries(stage, queue) == [tasks[1]]
    stage.release("a", "b")
    stage.until("completed", *tasks)
    assert stage.log == ["begins a", "ends a", "begins b", "ends b"]


@pytest.mark.parametrize("status", ["created", "in_progress", "stopped", "deleted"])
def test_a_task_that_is_not_queued_is_left_alone(stage, queue, serve, inbox, notes, status):
    task = stage.script("print('runs')\n")
    if status in ("in_progress", "stopped"):
        stage.api.call("tasks.started", task=task, force=True)
    if status == "stopped":
        stage.api.call("tasks.stopped", task=task, force=True)
    if status == "deleted":
        stage.api.call("tasks.delete", task=task, force=True)
    after = enqueue(stage, queue, stage.script("print('runs')\n"))
    inbox.put(task)
    inbox.put(after)
    workers = serve(inbox)
    until_done(inbox, workers)
    assert (stage.status(task) or "deleted") == status and stage.status(after) == "completed"
    assert notes == [f"task {task} is {status}: it is not run"]
    assert notes[0].ids == {"task": task}


def test_a_task_that_another_worker_has_taken_is_left_to_it(stage, queue, serve, inbox, notes):
    task = enqueue(stage, queue, stage.script("print('runs')\n"))
    assert stage.api.call("queues.get_next_task", queue=queue)["entry"]["task"] == task
    inbox.put(task)
    until_done(inbox, serve(inbox))
    assert stage.status(task) == "queued"
    assert notes == [f"task {task} was taken by another worker: it is not run here"]


def test_of_two_inboxes_that_are_given_the_same_task_one_runs_it(stage, queue, serve, notes, monkeypatch):
    """Both have seen that it is queued when they ask for its entry."""
    both, real = threading.Barrier(2, timeout=DEADLINE_S), Api.call

    def call(self, endpoint, **body):
        if endpoint == "queues.remove_task":
            both.wait()
        return real(self, endpoint, **body)

    monkeypatch.setattr(Api, "call", call)
    task = enqueue(stage, queue, stage.held("a"))
    inboxes = [Inbox(notes.append) for _ in range(2)]
    for inbox in inboxes:
        inbox.put(task)
    serving = [serve(inbox) for inbox in inboxes]
    stage.until_begun("a")
    eventually(lambda: all(inbox.remaining == 0 for inbox in inboxes), "both have seen to it")
    eventually(lambda: sum(workers.is_idle_for(0.0) for workers in serving) == 1, "one of them has nothing to do")
    stage.release("a")
    for inbox, workers in zip(inboxes, serving, strict=True):
        until_done(inbox, workers)
    assert stage.log == ["begins a", "ends a"] and stage.status(task) == "completed"
    assert notes == [f"task {task} was taken by another worker: it is not run here"]


def test_an_inbox_and_a_queue_run_each_task_once(stage, queue, serve, inbox):
    names = [f"t{i}" for i in range(8)]
    stage.release(*names)
    tasks = [enqueue(stage, queue, stage.held(name)) for name in names]
    for task in reversed(tasks):
        inbox.put(task)
    by_queue, by_inbox = serve(QueueSource([queue], pytest.fail)), serve(inbox)
    stage.until("completed", *tasks)
    until_done(inbox, by_inbox)
    by_queue.close()
    assert sorted(stage.begun) == sorted(names)


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_task_whose_entry_is_asked_for_in_an_outage_is_run_after_it(
    stage, queue, serve, inbox, notes, monkeypatch, is_heard
):
    real, asked = Api.call, []

    def call(self, endpoint, **body):
        if endpoint != "queues.remove_task" or asked:
            return real(self, endpoint, **body)
        asked.append(body["task"])
        if is_heard:
            real(self, endpoint, **body)
        raise ApiError(endpoint, 503, 0, "in trouble")

    monkeypatch.setattr(Api, "call", call)
    task = enqueue(stage, queue, stage.held("a"))
    stage.release("a")
    inbox.put(task)
    until_done(inbox, serve(inbox))
    assert asked == [task] and stage.status(task) == "completed"
    assert stage.log == ["begins a", "ends a"]
    (note,) = notes
    assert "in trouble" in note and note.level == "warning"


def test_a_task_that_could_not_be_started_waits_in_its_queue_again(stage, queue, serve, inbox, monkeypatch):
    """Such as by the job of a cluster that has to leave."""
    real, left = Api.call, threading.Event()

    def call(self, endpoint, **body):
        if endpoint == "tasks.started":
            left.set()
            raise ApiError(endpoint, 503, 0, "in trouble")
        return real(self, endpoint, **body)

    monkeypatch.setattr(Api, "call", call)
    task = enqueue(stage, queue, stage.script("print('runs')\n"))
    inbox.put(task)
    workers = serve(inbox)
    assert left.wait(DEADLINE_S)
    assert entries(stage, queue) == [] and not workers.is_idle_for(0.0)
    workers.drain()
    eventually(lambda: workers.is_drained, "it has left")
    assert stage.status(task) == "queued" and entries(stage, queue) == [task]
