"""Tasks that workers take on request: each request is for one task, and no task runs without one."""

from __future__ import annotations

import os
import tempfile
import threading
from functools import partial

import pytest

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import ensure_queue
from clearml_hpo.core.errors import ApiError
from clearml_hpo.testing.executor_contract import DEADLINE_S, Stage, eventually
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import plan_slots
from clearml_hpo.workers.task_source import RequestedSource
from tests import place


@pytest.fixture
def stage(api, tmp_path):
    return Stage(api, tmp_path, place.queue("requested"), 1)


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
        serving.append(LocalWorkers(found, source, f"requested{len(serving)}", warm=False, on_note=notes.append))
        return serving[-1]

    yield serve
    for each in serving:
        each.close()


@pytest.fixture
def source(notes):
    return RequestedSource(notes.append)


def enqueue(stage, queue, task):
    stage.api.call("tasks.enqueue", task=task, queue=queue)
    return task


def entries(stage, queue):
    (found,) = stage.api.call("queues.get_all", id=[queue], only_fields=["entries"])["queues"]
    return [entry["task"] for entry in found.get("entries") or ()]


def test_one_task_is_run_for_a_request(stage, queue, serve, source, notes):
    task, other = (enqueue(stage, queue, stage.held(name)) for name in ("a", "b"))
    request = source.request(queue)
    workers = serve(source)
    stage.until_begun("a")
    assert stage.status(task) == "in_progress" and entries(stage, queue) == [other]
    assert not request.done() and not workers.is_idle_for(0.0)
    stage.release("a")
    assert request.result(DEADLINE_S) == task
    assert (stage.status(task), stage.status(other)) == ("completed", "queued")
    assert notes == []


def test_the_task_is_the_first_one_of_the_queue_at_that_time(stage, queue, serve, source):
    first, second = (enqueue(stage, queue, stage.held(name)) for name in ("a", "b"))
    stage.api.call("queues.move_task_to_front", queue=queue, task=second)
    stage.release("a", "b")
    requests = [source.request(queue), source.request(queue)]
    serve(source)
    assert [each.result(DEADLINE_S) for each in requests] == [second, first]


def test_a_request_that_finds_nothing_is_answered_with_none(stage, queue, serve, source, notes):
    workers = serve(source)
    eventually(lambda: workers.is_idle_for(0.0), "it waits")
    for _ in range(2):
        request = source.request(queue)
        workers.take_now()
        assert request.result(DEADLINE_S) == ""
        task = enqueue(stage, queue, stage.script("print('runs')\n"))
        request = source.request(queue)
        workers.take_now()
        assert request.result(DEADLINE_S) == task
    assert notes == []


def test_how_often_the_server_is_asked_whether_to_stop_can_be_told(stage, queue, serve, source):
    aborted = enqueue(stage, queue, stage.held("a"))
    source.request(queue)
    workers = serve(source, slots=2)
    workers.look_every(1e6)
    stage.until_begun("a")

    def run_another():
        task = enqueue(stage, queue, stage.script("print('runs')\n"))
        source.request(queue)
        stage.until("completed", task)

    with workers.between_tasks():
        pass
    run_another()  # after that look
    stage.api.call("tasks.stop", task=aborted)
    run_another()
    assert stage.status(aborted) == "in_progress"
    with workers.between_tasks():
        pass  # then it looks at all of them
    stage.until("stopped", aborted)


def test_no_more_tasks_run_at_once_than_there_are_slots(stage, queue, serve, source):
    tasks = [enqueue(stage, queue, stage.held(name)) for name in ("a", "b")]
    requests = [source.request(queue) for _ in tasks]
    serve(source)
    stage.until_begun("a")
    assert not any(each.done() for each in requests) and entries(stage, queue) == [tasks[1]]
    stage.release("a", "b")
    stage.until("completed", *tasks)
    assert stage.log == ["begins a", "ends a", "begins b", "ends b"]


def test_a_deleted_queue_has_none(stage, queue, serve, source, notes):
    stage.api.call("queues.delete", queue=queue)
    request = source.request(queue)
    serve(source)
    assert request.result(DEADLINE_S) == ""
    assert [note for note in notes if "was deleted" in note]


def test_what_a_dead_worker_of_this_machine_has_left_is_seen_to_first(stage, queue, serve, source):
    taken, runs = (enqueue(stage, queue, stage.script("print('runs')\n")) for _ in range(2))
    for _ in range(2):
        stage.api.call("queues.get_next_task", queue=queue)
    serve(RequestedSource(pytest.fail))  # another worker of this process, which has asked for nothing, is left alone
    stage.api.call("tasks.started", task=runs, status_reason=f"pulled by {dead_worker()}")
    request = source.request(queue)
    serve(source)
    assert request.result(DEADLINE_S) == taken
    assert stage.task(runs)["status_reason"].startswith("lost: worker")


def dead_worker():
    import subprocess

    from clearml_hpo.workers.recovery import worker_id

    with subprocess.Popen(["true"]) as process:
        process.wait()
    return worker_id("dask", process.pid, plan_slots(cpu=1)[0])


def test_requests_of_several_workers_run_each_task_once(stage, queue, serve, source):
    names = [f"t{i}" for i in range(8)]
    stage.release(*names)
    tasks = [enqueue(stage, queue, stage.held(name)) for name in names]
    other = RequestedSource(pytest.fail)
    requests = [each.request(queue) for _ in tasks for each in (source, other)]
    serve(source)
    serve(other, slots=2)
    assert sorted(filter(None, (each.result(DEADLINE_S) for each in requests))) == sorted(tasks)
    stage.until("completed", *tasks)
    assert sorted(stage.begun) == sorted(names)


def test_a_request_outlasts_an_outage(stage, queue, serve, source, notes, monkeypatch):
    real, asked = Api.call, []

    def call(self, endpoint, **body):
        if endpoint == "queues.get_next_task" and not asked:
            asked.append(body["queue"])
            raise ApiError(endpoint, 503, 0, "in trouble")
        return real(self, endpoint, **body)

    monkeypatch.setattr(Api, "call", call)
    task = enqueue(stage, queue, stage.held("a"))
    stage.release("a")
    request = source.request(queue)
    serve(source)
    assert request.result(DEADLINE_S) == task
    assert asked == [queue] and stage.status(task) == "completed"
    (note,) = notes
    assert "in trouble" in note and note.level == "warning"


def test_a_task_that_could_not_be_started_waits_in_its_queue_again(stage, queue, serve, source, monkeypatch):
    """Such as by the job of a cluster that has to leave."""
    real, left = Api.call, threading.Event()

    def call(self, endpoint, **body):
        if endpoint == "tasks.started":
            left.set()
            raise ApiError(endpoint, 503, 0, "in trouble")
        return real(self, endpoint, **body)

    monkeypatch.setattr(Api, "call", call)
    task = enqueue(stage, queue, stage.script("print('runs')\n"))
    request = source.request(queue)
    workers = serve(source)
    assert left.wait(DEADLINE_S)
    assert entries(stage, queue) == [] and not workers.is_idle_for(0.0)
    workers.drain()
    eventually(lambda: workers.is_drained, "it has left")
    assert request.result(DEADLINE_S) == ""
    assert stage.status(task) == "queued" and entries(stage, queue) == [task]


def test_a_worker_that_leaves_refuses_what_is_asked_for(stage, queue, serve, source):
    tasks = [enqueue(stage, queue, stage.held(name)) for name in ("a", "b")]
    runs, waits = [source.request(queue) for _ in tasks]
    workers = serve(source)
    stage.until_begun("a")
    workers.drain()
    with workers.between_tasks():
        source.refuse_all()
    assert waits.result(DEADLINE_S) == "" and entries(stage, queue) == [tasks[1]]
    stage.release("a")
    assert runs.result(DEADLINE_S) == tasks[0]


def test_many_are_started_together(stage, queue, serve, source, notes):
    """More tasks than slots, more requests than tasks: each task runs once, and the rest is told that there is none."""
    names = [f"t{i}" for i in range(12)]
    stage.release(*names)
    tasks = [enqueue(stage, queue, stage.held(name)) for name in names]
    requests = [source.request(queue) for _ in range(15)]
    serve(source, slots=10)
    answers = [each.result(DEADLINE_S) for each in requests]
    assert sorted(answers[:12]) == sorted(tasks) and answers[12:] == ["", "", ""]
    assert sorted(stage.begun) == sorted(names)
    assert [stage.status(task) for task in tasks] == ["completed"] * 12
    assert notes == []


@pytest.mark.parametrize("refused", ["queues.get_next_task", "tasks.started", "workers.status_report"])
def test_one_refused_call_of_several_loses_no_task(stage, queue, serve, source, notes, monkeypatch, refused):
    real, calls = Api.call, []

    def call(self, endpoint, **body):
        if endpoint == refused and (refused != "workers.status_report" or "task" in body):
            calls.append(endpoint)
            if len(calls) == 2:
                raise ApiError(endpoint, 503, 0, "in trouble")
        return real(self, endpoint, **body)

    monkeypatch.setattr(Api, "call", call)
    names = ("a", "b", "c")
    stage.release(*names)
    tasks = [enqueue(stage, queue, stage.held(name)) for name in names]
    requests = [source.request(queue) for _ in tasks]
    serve(source, slots=3)
    assert sorted(each.result(DEADLINE_S) for each in requests) == sorted(tasks)
    assert sorted(stage.begun) == [*names]
    assert [stage.status(task) for task in tasks] == ["completed"] * 3
    # What was taken beside the call that was refused is run first: then the error does not come again.
    said = len([note for note in notes if "in trouble" in note])
    assert said == 1 or (said == 0 and refused == "queues.get_next_task")
    assert len(calls) >= 3


def test_what_becomes_of_some_on_their_way_keeps_no_other_from_its_start(
    stage, queue, serve, source, notes, monkeypatch
):
    real, looked = Api.call, []
    tasks = [enqueue(stage, queue, stage.script("print('runs')\n")) for _ in range(4)]

    def call(self, endpoint, **body):
        if endpoint == "tasks.get_all" and sorted(body.get("id") or ()) == sorted(tasks) and not looked:
            looked.append(endpoint)
            real(self, "tasks.delete", task=tasks[1], force=True)
            real(self, "tasks.stop", task=tasks[2])
        return real(self, endpoint, **body)

    monkeypatch.setattr(Api, "call", call)
    requests = [source.request(queue) for _ in tasks]
    serve(source, slots=4)
    assert sorted(each.result(DEADLINE_S) for each in requests) == sorted(tasks)
    assert looked and [stage.status(task) for task in tasks] == ["completed", "", "stopped", "completed"]
    (note,) = notes
    assert f"task {tasks[2]} is stopped: it is not run" in note


def test_both_requests_for_a_task_that_is_put_back_while_it_runs_are_answered(stage, queue, serve, source):
    task = enqueue(stage, queue, stage.held("a"))
    first = source.request(queue)
    workers = serve(source, slots=2)
    stage.until_begun("a")
    stage.api.call("tasks.reset", task=task, force=True)
    with workers.between_tasks():
        enqueue(stage, queue, task)
        second = source.request(queue)
    eventually(lambda: stage.log.count("begins a") == 2, "it is run again")
    stage.release("a")
    assert [first.result(DEADLINE_S), second.result(DEADLINE_S)] == [task, task]
    assert stage.status(task) == "completed"


def test_the_files_of_a_run_are_removed_when_it_has_ended(stage, queue, serve, source, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    task = enqueue(stage, queue, stage.script("import pathlib\npathlib.Path('left').touch()\n"))
    request = source.request(queue)
    serve(source)
    assert request.result(DEADLINE_S) == task and stage.status(task) == "completed"
    # Unlike rglob, os.walk takes a folder that goes while it looks.
    walked = partial(os.walk, tmp_path / "temporary")
    eventually(lambda: all("left" not in names for _, _, names in walked()), "what it has left is removed")
