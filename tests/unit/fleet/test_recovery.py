from __future__ import annotations

from clearml_hpo.fleet import recovery
from tests.unit.fleet.conftest import FakeApi


def _after_death(api: FakeApi, task: str | None, started: bool) -> None:
    recovery.after_death(api, "host:cpu0", "q1", task, started)  # type: ignore[arg-type]


def test_a_running_task_is_lost(api: FakeApi) -> None:
    api.tasks = {"t": "in_progress"}
    _after_death(api, "t", True)
    [failed] = api.named("tasks.failed")
    assert (failed["task"], failed["status_reason"]) == ("t", "lost: agent host:cpu0 died")


def test_an_ended_task_is_left_alone(api: FakeApi) -> None:
    api.tasks = {"t": "completed"}
    _after_death(api, "t", True)
    assert not api.named("tasks.failed")


def test_a_task_that_was_not_started_goes_back_to_the_front(api: FakeApi) -> None:
    api.tasks = {"t": "in_progress"}
    _after_death(api, "t", False)
    assert [name for name, _ in api.calls][:3] == [
        "tasks.reset",
        "tasks.enqueue",
        "queues.move_task_to_front",
    ]


def test_a_task_that_is_in_no_queue_goes_back(api: FakeApi) -> None:
    api.tasks = {"stray": "queued", "waiting": "queued"}
    api.queue["entries"] = [{"task": "waiting"}]
    assert recovery.return_strays(api, "q1", settle_s=0) == ["stray"]  # type: ignore[arg-type]
    assert [body["task"] for body in api.named("tasks.enqueue")] == ["stray"]


def test_a_server_that_refuses_is_survived(api: FakeApi) -> None:
    api.tasks = {"t": "in_progress"}
    api.refuse = {"tasks.failed"}
    _after_death(api, "t", True)


def test_only_own_workers_are_unregistered(api: FakeApi) -> None:
    api.workers = ["host:cpu0", "other:cpu0"]
    recovery.unregister(api, {"host:cpu0", "host:cpu1"})  # type: ignore[arg-type]
    assert api.named("workers.unregister") == [{"worker": "host:cpu0"}]
