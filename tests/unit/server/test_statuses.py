"""What each action makes of a task in each status, what it leaves in its fields, and what becomes of its queue's entry.

The tables are those of ClearML's server 2.3.0, observed from outside.
"""

from __future__ import annotations

import random
import threading

import pytest

from clearml_hpo.server.status_rules import STATUSES

from .server_without_sockets import Api, Refused

# The status that comes of it, "gone", or the subcode of the refusal (with 400); "=" leaves the task as it is.
WITHOUT_FORCE = """
          created     queued      in_progress stopped     failed    completed   published closed    worker    stopping
enqueue   queued      706         110         queued      queued    110         110       110       110       110
dequeue   =           created     created     =           =         =           =         =         created   created
started   in_progress in_progress =           in_progress 110       in_progress 110       110       =         =
stop      110         stopped     stopped     =           stopped   110         110       stopped   =         =
stopped   110         stopped     stopped     =           stopped   110         110       stopped   stopped   stopped
failed    110         110         failed      failed      =         110         110       failed    failed    failed
completed 110         110         completed   completed   110       =           110       110       completed completed
publish   110         110         110         published   published published   110       published 110       110
close     110         110         110         closed      110       110         110       =         110       110
reset     =           created     created     created     created   created     110       created   created   created
delete    gone        123         123         123         123       123         123       123       123       123
archive   =           created     stopped     =           =         =           =         =         stopped   stopped
ping      =           =           =           =           =         =           =         =         =         =
"""
# The same with force, where that is a field: this status, whatever it was.
WITH_FORCE = {
    **{"started": "in_progress", "stopped": "stopped", "failed": "failed", "completed": "completed"},
    **{"publish": "published", "close": "closed", "reset": "created", "delete": "gone", "stop": "stopped"},
}
# Edits: created as it is, others as it is, others with force; "live" is what is queued or runs.
EDITS: dict[str, tuple[str, dict[str, object], str]] = {
    "tasks.edit": ("with force", {"comment": "c"}, "quiet"),
    "tasks.update": ("always", {"comment": "c"}, "quiet"),
    "tasks.edit_hyper_params": (
        "live with force",
        {"hyperparams": [{"section": "General", "name": "n", "value": "v"}]},
        "",
    ),
    "tasks.delete_hyper_params": ("live with force", {"hyperparams": [{"section": "General"}]}, ""),
    "tasks.edit_configuration": ("live with force", {"configuration": [{"name": "n", "value": "v"}]}, ""),
    "tasks.delete_configuration": ("live with force", {"configuration": ["n"]}, ""),
    "tasks.add_or_update_artifacts": ("live", {"artifacts": [{"key": "a", "type": "t"}]}, ""),
    "tasks.delete_artifacts": ("live", {"artifacts": [{"key": "a"}]}, ""),
    "tasks.delete_models": ("live", {"models": [{"name": "m", "type": "output"}]}, "quiet"),
    "tasks.set_requirements": ("always", {"requirements": {"pip": "x"}}, ""),
}
PROPERTIES = {"hyperparams": [{"section": "properties", "name": "n", "value": "v"}]}
LIVE = ("created", "queued", "in_progress")
WORKER = "box:0"


def rows() -> list[tuple[str, str, str]]:
    """(state, action, outcome)"""
    head, *lines = WITHOUT_FORCE.strip().splitlines()
    states = head.split()
    return [
        (state, action, outcome)
        for action, *outcomes in map(str.split, lines)
        for state, outcome in zip(states, outcomes, strict=True)
    ]


def make(api: Api, state: str) -> str:
    """A task in a state: a status, or one that a worker reports, or one of these that is to stop."""
    task = api.task()
    if state == "queued":
        api.call("tasks.enqueue", task=task, queue=api.queue())
    elif state != "created":
        api.call("tasks.started", task=task)
        if state in ("worker", "stopping"):
            api.call("workers.status_report", worker=WORKER, timestamp=1, task=task)
            if state == "stopping":
                api.call("tasks.stop", task=task)
        elif state != "in_progress":
            api.call(
                {"published": "tasks.publish", "closed": "tasks.close"}.get(state, f"tasks.{state}"),
                task=task,
                force=True,
            )
    return task


def outcome_of(api: Api, action: str, task: str, **request: object) -> str:
    about = {"tasks": [task]} if action == "archive" else {"task": task}
    try:
        api.call(f"tasks.{action}", **about, **request)
        return str(api.get(task)["status"])
    except Refused as refused:
        return "gone" if refused.code == (400, 101) else str(refused.code[1])


def is_in_a_queue(api: Api, task: str) -> bool:
    return any(task == entry["task"] for each in api.call("queues.get_all")["queues"] for entry in each["entries"])


@pytest.mark.parametrize(("state", "action", "outcome"), rows())
def test_without_force(state: str, action: str, outcome: str, api: Api) -> None:
    task = make(api, state)
    before = api.get(task)["status"]
    where = {"queue": api.call("queues.get_all")["queues"][-1]["id"]} if action == "enqueue" else {}
    assert outcome_of(api, action, task, **where) == (before if outcome == "=" else outcome)
    if outcome.isdigit():
        assert api.get(task)["status"] == before
    # What takes the entry out of the queue; all else leaves it there.
    is_taken_out = action in ("dequeue", "stop", "reset", "archive") and not outcome.isdigit()
    assert is_in_a_queue(api, task) == (outcome == "queued" or (state == "queued" and not is_taken_out))


@pytest.mark.parametrize("state", [*sorted(STATUSES), "worker"])
@pytest.mark.parametrize(("action", "outcome"), WITH_FORCE.items())
def test_with_force_no_status_is_in_the_way(action: str, outcome: str, state: str, api: Api) -> None:
    is_left_to_the_worker = (action, state) == ("stop", "worker")
    found = outcome_of(api, action, task := make(api, state), force=True)
    assert found == ("in_progress" if is_left_to_the_worker else outcome)
    if is_left_to_the_worker:
        assert api.get(task)["status_message"] == "stopping"


@pytest.mark.parametrize("action", ["stopped", "failed", "completed"])
def test_the_moment_of_the_end_is_that_of_the_last_one(action: str, api: Api) -> None:
    task = make(api, "in_progress")
    api.call(f"tasks.{action}", task=task)
    first = api.get(task)["completed"]
    api.call(f"tasks.{action}", task=task)
    assert api.get(task)["completed"] > first
    api.call("tasks.started", task=task, force=True)
    assert "completed" not in api.get(task)


def test_a_stop_without_a_worker_notes_no_end_and_says_who(api: Api) -> None:
    task = make(api, "in_progress")
    api.call("tasks.stop", task=task, status_reason="budget", status_message="is dropped")
    found = api.get(task)
    assert (found["status_reason"], found["status_message"]) == ("budget", "Stopped by Local User")
    assert "completed" not in found


def test_a_start_wipes_the_wish_to_stop(api: Api) -> None:
    task = make(api, "stopping")
    api.call("tasks.started", task=task)
    assert api.get(task)["status_message"] == ""


def test_a_running_task_that_is_dequeued_becomes_a_draft(api: Api) -> None:
    task = make(api, "in_progress")
    [done] = api.call("tasks.dequeue_many", ids=[task])["succeeded"]
    assert (done["dequeued"], done["updated"], done["fields"]["status"]) == (True, 1, "created")
    assert "started" in api.get(task)
    assert outcome_of(api, "stopped", task) == "110"


def test_a_new_task_says_nothing_of_its_status(api: Api) -> None:
    assert not {"status_changed", "status_reason", "status_message"} & api.get(api.task()).keys()


def test_archiving_blanks_what_was_said(api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    api.call("tasks.failed", task=task, status_reason="lost", status_message="lost")
    api.call("tasks.archive_many", ids=[task])
    found = api.get(task)
    assert (found["status"], found["status_reason"], found["status_message"]) == ("failed", "", "")


@pytest.mark.parametrize("state", sorted(STATUSES))
@pytest.mark.parametrize("endpoint", EDITS)
def test_edits(endpoint: str, state: str, api: Api) -> None:
    allowed, fields, is_quiet = EDITS[endpoint]
    for force in (False, True):
        task = make(api, state)
        before = api.get(task)
        is_allowed = (
            allowed == "always"
            or state == "created"
            or (allowed == "with force" and force)
            or (state in LIVE and (allowed == "live" or (allowed == "live with force" and force)))
        )
        if is_allowed:
            api.call(endpoint, task=task, force=force, **fields)
        else:
            with pytest.raises(Refused) as refused:
                api.call(endpoint, task=task, force=force, **fields)
            assert refused.value.code == (400, 110)
        now = api.get(task)
        assert (now["last_change"] > before["last_change"]) == is_allowed
        assert (now["last_update"] > before["last_update"]) == (is_allowed and not is_quiet)


@pytest.mark.parametrize("state", sorted(STATUSES))
def test_user_properties_may_be_edited_always_and_are_no_sign_of_life(state: str, api: Api) -> None:
    task = make(api, state)
    before = api.get(task)["last_update"]
    api.call("tasks.edit_hyper_params", task=task, **PROPERTIES)
    found = api.get(task)
    assert found["hyperparams"]["properties"]["n"]["value"] == "v" and found["last_update"] == before


def test_a_refused_enqueue_leaves_its_trace(api: Api) -> None:
    queue, task = api.queue(), api.task()
    api.call("tasks.enqueue", task=task, queue=queue)
    assert outcome_of(api, "enqueue", task, queue=queue) == "706"
    found = api.get(task)
    assert (found["status"], found["status_reason"]) == ("queued", "failed enqueueing")
    assert "enqueue_status" not in found


def test_another_queue_moves_a_task_and_force_is_no_way_in(api: Api) -> None:
    task = make(api, "queued")
    assert outcome_of(api, "enqueue", task, queue=(other := api.queue())) == "queued"
    holding = [each["id"] for each in api.call("queues.get_all")["queues"] if each["entries"]]
    assert holding == [other]
    assert outcome_of(api, "enqueue", make(api, "published"), force=True) == "110"


def test_callers_at_once_make_one_entry(api: Api) -> None:
    queue, tasks = api.queue(), [api.task() for _ in range(20)]
    queued: list[str] = []

    def enqueue(seed: int) -> None:
        for task in random.Random(seed).sample(tasks, len(tasks)):
            if outcome_of(api, "enqueue", task, queue=queue) == "queued":
                queued.append(task)

    callers = [threading.Thread(target=enqueue, args=(seed,)) for seed in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    left = [entry["task"] for entry in api.call("queues.get_by_id", queue=queue)["queue"]["entries"]]
    assert sorted(queued) == sorted(left) == sorted(tasks)  # each by one caller, though four tried


def test_no_entry_is_taken_twice(api: Api) -> None:
    queue, tasks = api.queue(), [api.task() for _ in range(30)]
    api.call("tasks.enqueue_many", ids=tasks, queue=queue)
    taken: list[str] = []

    def take() -> None:
        while entry := api.call("queues.get_next_task", queue=queue).get("entry"):
            taken.append(entry["task"])

    callers = [threading.Thread(target=take) for _ in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert sorted(taken) == sorted(tasks)
