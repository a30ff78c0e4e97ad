"""What each action makes of a task in each status, and that a status and a place in a queue change together."""

from __future__ import annotations

import itertools
import random
import threading

import pytest

from .server_without_sockets import Api, Refused

# The status that comes of it, "gone", or the subcode of the refusal (with 400).
WITHOUT_FORCE = """
            started     completed stopped failed publish   close  stop    reset   enqueue dequeue     delete
created     in_progress 110       stopped failed 110       110    stopped created queued  created     gone
queued      in_progress 110       stopped failed 110       110    stopped created 706     created     123
in_progress in_progress completed stopped failed published closed stopped 110     110     in_progress 123
stopped     in_progress completed stopped failed published closed stopped created queued  stopped     123
completed   110         completed 110     110    published closed 110     created 110     completed   123
failed      in_progress 110       110     failed published closed 110     created queued  failed      123
published   110         110       110     110    published 110    110     110     110     published   123
closed      110         110       110     110    110       closed 110     created 110     closed      123
"""
WITH_FORCE = {
    **{"started": "in_progress", "completed": "completed", "stopped": "stopped", "failed": "failed"},
    **{"publish": "published", "close": "closed", "stop": "stopped", "reset": "created", "delete": "gone"},
}
STARTED = ("stopped", "completed", "failed", "published", "closed")
WAYS = {"published": "publish", "closed": "close"}


def rows() -> list[tuple[str, str, str]]:
    """(status, action, outcome)"""
    head, *lines = WITHOUT_FORCE.strip().splitlines()
    actions = head.split()
    return [
        (status, action, outcome)
        for status, *outcomes in map(str.split, lines)
        for action, outcome in zip(actions, outcomes, strict=True)
    ]


def make(api: Api, status: str) -> str:
    task = api.task()
    if status == "queued":
        api.call("tasks.enqueue", task=task, queue=api.queue())
    elif status != "created":
        api.call("tasks.started", task=task)
        if status in STARTED:
            api.call(f"tasks.{WAYS.get(status, status)}", task=task)
    assert api.get(task)["status"] == status
    return task


def outcome_of(api: Api, action: str, task: str, **request: object) -> str:
    try:
        api.call(f"tasks.{action}", task=task, **request)
        return str(api.get(task)["status"])
    except Refused as refused:
        return "gone" if refused.code == (400, 101) else str(refused.code[1])


@pytest.mark.parametrize(("status", "action", "outcome"), rows())
def test_without_force(status: str, action: str, outcome: str, api: Api) -> None:
    task = make(api, status)
    assert outcome_of(api, action, task) == outcome
    if outcome.isdigit():
        assert api.get(task)["status"] == status
    queued = [entry["task"] for each in api.call("queues.get_all")["queues"] for entry in each["entries"]]
    assert (task in queued) == (outcome == "queued" or (status == "queued" and outcome.isdigit()))


@pytest.mark.parametrize(("action", "outcome"), WITH_FORCE.items())
def test_with_force_no_status_is_in_the_way(action: str, outcome: str, api: Api) -> None:
    for status in ("created", "queued", "in_progress", *STARTED):
        assert outcome_of(api, action, make(api, status), force=True) == outcome


def test_force_does_not_queue_a_task_twice(api: Api) -> None:
    assert outcome_of(api, "enqueue", make(api, "queued"), force=True) == "706"
    assert outcome_of(api, "enqueue", make(api, "published"), force=True) == "queued"


def test_a_status_and_a_place_in_a_queue_change_together(api: Api) -> None:
    """Callers change the same few tasks at once; whoever looks, whenever, sees no entry of a task not queued."""
    queues, tasks = [api.queue() for _ in range(2)], [api.task() for _ in range(4)]
    done = threading.Event()
    odd: list[object] = []

    def change(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            task, queue = chance.choice(tasks), chance.choice(queues)
            action = chance.choice(("enqueue", "enqueue", "enqueue", "dequeue", "stop", "reset", "started", "failed"))
            try:
                api.call(f"tasks.{action}", task=task, **({"queue": queue} if action == "enqueue" else {}))
                api.call("queues.get_next_task", queue=chance.choice(queues))
            except Refused:
                pass  # another caller was quicker

    def look() -> None:
        while not done.is_set():
            odd.extend(
                api.store.db.rows(
                    "SELECT task, status, queue FROM queue_entries LEFT JOIN tasks ON tasks.id = task WHERE "
                    "status IS NOT 'queued' OR json_extract(execution, '$.queue') IS NOT queue"
                )
            )

    watcher = threading.Thread(target=look)
    callers = [threading.Thread(target=change, args=(seed,)) for seed in range(4)]
    for thread in (watcher, *callers):
        thread.start()
    for thread in callers:
        thread.join()
    done.set()
    watcher.join()
    assert [tuple(row) for row in odd] == []  # type: ignore[call-overload]


def test_no_task_is_taken_or_queued_twice_by_many_callers(api: Api) -> None:
    queue, tasks = api.queue(), [api.task() for _ in range(30)]
    queued: list[str] = []
    taken: list[str] = []

    def enqueue() -> None:
        for task in tasks:
            if outcome_of(api, "enqueue", task, queue=queue) == "queued":
                queued.append(task)

    def take() -> None:
        for _ in itertools.repeat(None, 30):
            if entry := api.call("queues.get_next_task", queue=queue).get("entry"):
                taken.append(entry["task"])

    callers = [threading.Thread(target=act) for act in (enqueue, take) * 3]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    left = [entry["task"] for entry in api.call("queues.get_by_id", queue=queue)["queue"]["entries"]]
    assert sorted(queued) == sorted(tasks)  # each by one caller, though three tried
    assert sorted(taken + left) == sorted(tasks)
