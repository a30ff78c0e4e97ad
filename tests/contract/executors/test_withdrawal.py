"""Tasks taken out of their queues and put back, whatever workers do meanwhile."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import pytest

from clearml_hpo.backend.names import ensure_project, ensure_queue
from clearml_hpo.backend.pilots import create_pilot, pilots_of
from clearml_hpo.backend.pilots import withdraw as withdraw_pilots
from clearml_hpo.backend.study_records import StudyRecord, read_again
from clearml_hpo.backend.trial_tasks import TrialTasks, end_of
from clearml_hpo.backend.withdrawal import forget_entry, is_spoilt, put_back, withdraw
from clearml_hpo.controller.registration import FirstRun
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.executors.base import withdraw_at_last
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.studies.steering import end_study
from tests import place


@pytest.fixture
def queue(api):
    return ensure_queue(api, place.queue("withdrawal"))


@pytest.fixture
def make(api, queue):
    """Makes a task, and does to it what is said."""

    def make(*actions):
        task = api.call(
            "tasks.create", name="trial", type="training", project=ensure_project(api, place.project("contract"))
        )["id"]
        for action in actions:
            act(api, task, action, queue)
        return task

    return make


def act(api, task, action, queue):
    if action == "enqueue":
        api.call("tasks.enqueue", task=task, queue=queue)
    elif action == "take":
        assert api.call("queues.get_next_task", queue=queue)["entry"]["task"] == task
    else:
        api.call(f"tasks.{action}", task=task)


def seen(api, task):
    (found,) = api.call("tasks.get_all", id=[task], only_fields=["status", "started", "status_reason"])["tasks"]
    return found


def status(api, task):
    return seen(api, task)["status"]


def entries(api, queue):
    return [entry["task"] for entry in api.call("queues.get_by_id", queue=queue)["queue"]["entries"]]


class Meddled:
    """A connection on which something happens right before the first call of an endpoint."""

    def __init__(self, api, endpoint, before):
        self._api, self._endpoint, self._before = api, endpoint, before

    def call(self, endpoint, **body):
        if endpoint == self._endpoint:
            self._endpoint = ""
            self._before()
        return self._api.call(endpoint, **body)


@pytest.mark.parametrize(
    ("actions", "left", "becomes"),
    [
        ((), None, "created"),
        (("enqueue",), None, "created"),
        (("enqueue", "take"), "queued", "queued"),
        (("enqueue", "take", "started"), "in_progress", "in_progress"),
        (("enqueue", "started"), "in_progress", "in_progress"),
        (("enqueue", "take", "started", "stopped"), None, "stopped"),
        (("enqueue", "take", "started", "stopped", "enqueue"), None, "stopped"),
        (("enqueue", "take", "started", "completed"), None, "completed"),
    ],
)
def test_what_becomes_of_a_task_that_is_withdrawn(api, make, actions, left, becomes):
    task = make(*actions)
    assert withdraw(api, [task, "0" * 32]) == ({task: left} if left else {})
    assert status(api, task) == becomes


def test_what_is_withdrawn_can_be_taken_by_nobody(api, make, queue):
    task = make("enqueue")
    withdraw(api, [task])
    assert entries(api, queue) == []


def test_a_worker_that_is_quicker_keeps_its_task(api, make, queue):
    task = make("enqueue")

    def take_and_start():
        act(api, task, "take", queue)
        api.call("tasks.started", task=task, force=True)

    assert withdraw(Meddled(api, "queues.remove_task", take_and_start), [task]) == {task: "queued"}
    assert status(api, task) == "in_progress"


def test_one_that_is_started_by_its_id_is_no_draft(api, make):
    """Nobody would know that it has ended; its worker sees that it is not to run."""
    task = make("enqueue")
    start = lambda: api.call("tasks.started", task=task, force=True)  # noqa: E731
    assert withdraw(Meddled(api, "tasks.dequeue_many", start), [task]) == {}
    assert status(api, task) == "stopped" and "while it started" in seen(api, task)["status_reason"]


def test_a_worker_that_died_before_the_start_loses_its_task(api, make, queue):
    task = make("enqueue", "take")
    executor = QueueExecutor(api, {})
    assert executor.withdraw([task]) == executor.withdraw([task]) == {task: "queued"}, "it has a second"
    assert withdraw_at_last(executor, [task]) == {}
    assert status(api, task) == "created"


@pytest.mark.parametrize(
    ("actions", "becomes"),
    [
        (("enqueue",), "created"),
        (("enqueue", "take"), "created"),
        (("enqueue", "take", "started"), "stopped"),
        (("enqueue", "started"), "stopped"),
    ],
)
def test_what_becomes_of_a_first_run_that_is_cancelled(api, make, tasks, actions, becomes):
    """A baseline that was left as a draft seemed to run for ever in a campaign's report."""
    task, executor = make(*actions), QueueExecutor(api, {})
    first = FirstRun(api, None, None, tasks, executor, "")  # the rest is of no matter here
    first.cancel(task)
    assert status(api, task) == becomes


class Starting(QueueExecutor):
    """Its worker says that a task starts right after it was asked to stop it, and heeds the second wish."""

    asked = 0

    def abort(self, task_ids, reason):
        super().abort(task_ids, reason)
        self.asked += 1
        for task_id in task_ids:
            self._api.call("tasks.started" if self.asked == 1 else "tasks.stopped", task=task_id, force=True)


def test_a_first_run_that_starts_as_it_is_cancelled_is_asked_again(api, make, tasks):
    task, worker, executor = make("started"), f"played:{uuid.uuid4().hex[:8]}", Starting(api, {})
    api.call("workers.status_report", worker=worker, task=task, timestamp=int(time.time() * 1000))
    FirstRun(api, None, None, tasks, executor, "").cancel(task)
    assert status(api, task) == "stopped" and executor.asked == 2


def test_a_first_run_that_has_long_begun_is_asked_and_not_waited_for(api, make, tasks, monkeypatch):
    task, worker, executor, looks = make("started"), f"played:{uuid.uuid4().hex[:8]}", QueueExecutor(api, {}), []
    api.call("workers.status_report", worker=worker, task=task, timestamp=int(time.time() * 1000))

    def a_minute_ago(task_ids):
        looks.append(task_ids)
        return {
            key: replace(one, started_at=one.started_at - 60) for key, one in TrialTasks.poll(tasks, task_ids).items()
        }

    monkeypatch.setattr(tasks, "poll", a_minute_ago)
    FirstRun(api, None, None, tasks, executor, "").cancel(task)
    assert looks == [[task]] and TrialTasks.poll(tasks, [task])[task].is_stopping


@pytest.mark.parametrize(("drain", "becomes"), [(False, "stopped"), (True, "in_progress")])
def test_a_study_that_is_ended_from_elsewhere_as_a_trial_starts(api, make, queue, drain, becomes):
    waits, runs, starts, controller = make("enqueue"), make("started"), make("enqueue"), make("started")
    states = {waits: TrialState.QUEUED, runs: TrialState.RUNNING, starts: TrialState.QUEUED}
    trials = [Trial(number, {}, task, state=state) for number, (task, state) in enumerate(states.items())]
    record = read_again(api, StudyRecord(controller, "study", "", "", "", ""))
    withdraw(api, [waits])
    act(api, starts, "take", queue)
    api.call("tasks.started", task=starts)
    act(api, waits, "enqueue", queue)
    end_study(api, record, trials, drain=drain)
    assert [status(api, task) for task in (waits, runs, starts)] == ["created", becomes, becomes]
    assert status(api, controller) == "stopped"


def test_a_call_more_for_each_that_waits_and_none_for_the_others(api, make):
    waiting, others = [make("enqueue") for _ in range(3)], [make(), make("started")]
    api.calls.clear()
    withdraw(api, [*waiting, *others])
    assert api.calls == {"tasks.get_all": 2, "queues.remove_task": 3, "tasks.dequeue_many": 1}
    api.calls.clear()
    withdraw(api, others)
    withdraw(api, [])
    assert api.calls == {"tasks.get_all": 1}


@pytest.mark.parametrize(
    ("actions", "waits", "becomes"),
    [
        (("enqueue", "take"), True, "queued"),
        (("enqueue", "take", "started"), False, "in_progress"),
        (("enqueue", "take", "stop"), False, "stopped"),
        (("enqueue", "take", "dequeue"), False, "created"),
        (("enqueue", "take", "started", "completed"), False, "completed"),
    ],
)
def test_what_becomes_of_a_task_that_is_put_back(api, make, queue, actions, waits, becomes):
    task = make(*actions)
    assert put_back(api, task, queue) is waits
    assert status(api, task) == becomes
    assert entries(api, queue) == [task] * waits


def test_one_that_waits_already_is_there_once(api, make, queue):
    task = make("enqueue")
    assert put_back(api, task, queue)
    assert entries(api, queue) == [task]
    assert not put_back(api, "0" * 32, queue), "it was deleted"


def test_one_that_starts_while_it_is_put_back(api, make, queue):
    task = make("enqueue", "take")
    start = lambda: api.call("tasks.started", task=task)  # noqa: E731
    assert not put_back(Meddled(api, "tasks.enqueue", start), task, queue)
    assert status(api, task) == "in_progress"


def test_the_entry_of_a_lost_task_is_taken_out(api, make, queue):
    task = make("enqueue")
    api.call("tasks.failed", task=task, force=True)
    forget_entry(api, task)
    forget_entry(api, task)
    assert entries(api, queue) == []
    assert status(api, task) == "failed"


def test_a_reset_leaves_a_draft_and_a_dequeued_run_does_not(api, make):
    draft, reset, dequeued = make(), make("started"), make("started")
    api.call("tasks.reset", task=reset, force=True)
    api.call("tasks.dequeue", task=dequeued)
    assert [is_spoilt(seen(api, task)) for task in (draft, reset, dequeued)] == [False, False, True]


def test_a_task_that_nobody_reported_has_an_end_nevertheless(api, make):
    """ClearML notes none where the stop takes effect at once."""
    task = make("started", "stop")
    fields = ["status", "started", "completed", "status_changed"]
    (found,) = api.call("tasks.get_all", id=[task], only_fields=fields)["tasks"]
    end = end_of(found)
    assert end is not None and end >= (end_of({"completed": found["started"]}) or 0.0)
    (running,) = api.call("tasks.get_all", id=[make("started")], only_fields=fields)["tasks"]
    assert end_of(running) is None


def test_pilots_that_start_are_not_deleted(api, queue):
    """One whose start was quicker than its withdrawal leaves by itself: its queue is gone."""
    project = ensure_project(api, place.project("contract"))
    study = api.call("tasks.create", name="study", type="optimizer", project=project)["id"]
    tasks = [
        create_pilot(api, name=f"pilot {i}", project_id=project, options={"queue": "q"}, parent=study) for i in range(3)
    ]
    for task in tasks:
        api.call("tasks.enqueue", task=task, queue=queue)
    found = pilots_of(api, study)
    act(api, tasks[0], "take", queue)
    api.call("tasks.started", task=tasks[0])
    start = lambda: api.call("tasks.started", task=tasks[1], force=True)  # noqa: E731
    withdraw_pilots(Meddled(api, "tasks.dequeue_many", start), found)
    assert {pilot.task_id: pilot.status for pilot in pilots_of(api, study)} == {
        tasks[0]: "in_progress",
        tasks[1]: "stopped",
    }


@pytest.fixture
def tasks(api):
    goal = Goal((Objective("validation", "loss"),))
    return TrialTasks(api, {}, goal, study="", parent_id="", project_id="", name_of=lambda number, params: "trial")


def test_a_trial_that_is_given_up_is_handed_to_nobody(api, make, queue, tasks):
    task = make("enqueue")
    tasks.give_up(task, "lost: never started")
    assert status(api, task) == "failed" and entries(api, queue) == []


def test_a_trial_that_became_a_draft_is_ended(api, make, tasks):
    """ClearML refuses that without force."""
    task = make("started", "dequeue")
    tasks.end_draft(task, "it was taken out of its queue while it ran")
    snapshot = tasks.poll([task])[task]
    assert (snapshot.status, snapshot.reason) == ("stopped", "it was taken out of its queue while it ran")
    assert snapshot.ended_at is not None


def test_whether_a_worker_is_told_to_stop_a_trial_shows(api, make, tasks):
    task, worker = make("started"), f"played:{uuid.uuid4().hex[:8]}"
    api.call("workers.status_report", worker=worker, task=task, timestamp=int(time.time() * 1000))
    assert not tasks.poll([task])[task].is_stopping
    api.call("tasks.stop", task=task)
    assert tasks.poll([task])[task].is_stopping
    api.call("tasks.started", task=task, force=True)
    assert not tasks.poll([task])[task].is_stopping, "the start has wiped it out"
