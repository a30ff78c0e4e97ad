"""The contract on tasks that are handed out, with two outside workers of this process; and what is special to it."""

from __future__ import annotations

import threading
import time

import pytest

from clearml_hpo.backend import outside_tasks
from clearml_hpo.core.bell import Bell
from clearml_hpo.executors.outside import OUTSIDE, OutsideExecutor
from clearml_hpo.testing.executor_contract import ExecutorContract, eventually


class Workers:
    """Ask, run what they get until it is released or aborted, and ask again."""

    def __init__(self, stage, slots):
        self.stop, self.aborted = threading.Event(), set()
        self.bell = Bell(self.stop)
        self.executor = OutsideExecutor(stage.api, self.bell, queue=stage.queue, on_abort=self._abort)
        self.queue_id = stage.api.call("queues.get_all", name=f"^{stage.queue}$")["queues"][0]["id"]
        self.threads = [threading.Thread(target=self._work, args=(stage,)) for _ in range(slots)]
        for thread in self.threads:
            thread.start()

    def _abort(self, task_ids, reason):
        self.aborted.update(task_ids)
        return task_ids

    def _work(self, stage):
        while not self.stop.is_set():
            task = self.executor.take(0.2)
            if task is None:
                continue
            if outside_tasks.begin(stage.api, task, self.queue_id, {"outside_worker": "test"}):
                params = stage.api.call("tasks.get_by_id", task=task)["task"]["hyperparams"]["General"]
                for _ in stage.training({"General/name": params["name"]["value"]}):
                    if task in self.aborted or self.stop.is_set():
                        break
                else:
                    outside_tasks.end(stage.api, task, "completed", "")
            self.executor.ended(task)

    def close(self):
        self.stop.set()
        self.executor.close()
        for thread in self.threads:
            thread.join(30)


@pytest.fixture
def workers(stage):
    workers = Workers(stage, 2)
    yield workers
    workers.close()


class TestOutsideExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, workers):
        return workers.executor


@pytest.fixture
def alone(stage):
    """Without workers."""
    executor = OutsideExecutor(stage.api, Bell(threading.Event()), queue=stage.queue)
    yield executor
    executor.close()


@pytest.fixture
def stage(api, tmp_path):
    from clearml_hpo.testing.executor_contract import Stage
    from tests import place

    return Stage(api, tmp_path, place.queue("outside"), 2)


def test_nobody_is_there_until_somebody_asks(alone):
    assert alone.workers() == {OUTSIDE: 0}
    asking = threading.Thread(target=alone.take, args=(0.5,))
    asking.start()
    eventually(lambda: alone.workers() == {OUTSIDE: 1}, "an ask counts as a worker")
    asking.join()
    assert alone.workers() == {OUTSIDE: 0}


def test_an_ask_rings_the_bell(stage):
    bell = Bell(threading.Event())
    executor = OutsideExecutor(stage.api, bell, queue=stage.queue)
    asking = threading.Thread(target=executor.take, args=(5.0,))
    asking.start()
    assert bell.wait(5.0)
    began = time.monotonic()
    executor.close()
    asking.join()
    assert time.monotonic() - began < 2.0, "the end ends waits"


def test_what_waits_when_it_begins_can_be_taken_but_not_what_is_out(stage, alone):
    first, second = stage.held("first"), stage.held("second")
    alone.submit(first)
    alone.submit(second)
    successor = OutsideExecutor(stage.api, Bell(threading.Event()), queue=stage.queue, out=[first])
    assert successor.workers() == {OUTSIDE: 1}
    assert successor.take(0.0) == second
    assert successor.take(0.0) is None


def test_taken_once_by_many_who_ask(stage, alone):
    tasks = [stage.held(f"t{i}") for i in range(10)]
    found = []
    asking = [threading.Thread(target=lambda: found.append(alone.take(20.0))) for _ in tasks]
    for thread in asking:
        thread.start()
    for task in tasks:
        alone.submit(task)
    for thread in asking:
        thread.join()
    assert sorted(found) == sorted(tasks)


def test_a_task_that_a_user_has_taken_back_does_not_begin(stage, alone):
    task = stage.held("a")
    alone.submit(task)
    queue_id = stage.api.call("queues.get_all", name=f"^{stage.queue}$")["queues"][0]["id"]
    stage.api.call("tasks.dequeue", task=task)
    assert not outside_tasks.begin(stage.api, alone.take(1.0), queue_id, {})
    assert stage.status(task) == "created"


def test_a_start_and_an_end_that_are_said_twice(stage, alone):
    task = stage.held("a")
    alone.submit(task)
    queue_id = stage.api.call("queues.get_all", name=f"^{stage.queue}$")["queues"][0]["id"]
    for _ in range(2):
        assert outside_tasks.begin(stage.api, task, queue_id, {"outside_worker": "w"})
    for _ in range(2):
        outside_tasks.end(stage.api, task, "completed", "")
    assert stage.status(task) == "completed"
    queue = stage.api.call("queues.get_by_id", queue=queue_id)["queue"]
    assert queue["entries"] == []


def test_several_are_ready_when_many_ask_and_each_waits_long(stage):
    now = [0.0]
    executor = OutsideExecutor(stage.api, Bell(threading.Event()), queue=stage.queue, clock=lambda: now[0])
    for i in range(3):
        executor.submit(stage.held(f"t{i}"))
        assert executor.take(0.0)
    assert executor.workers() == {OUTSIDE: 3}, "nobody has waited"

    def late():
        time.sleep(0.2)
        now[0] += 10.0
        executor.submit(stage.held("late"))

    making = threading.Thread(target=late)
    making.start()
    assert executor.take(10.0)
    making.join()
    assert 5 <= executor.workers()[OUTSIDE] <= 4 + 4
    now[0] += 61.0
    assert executor.workers() == {OUTSIDE: 4}, "nobody asks any more"
