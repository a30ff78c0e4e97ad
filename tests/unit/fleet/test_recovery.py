from __future__ import annotations

import pytest

from clearml_hpo.fleet import recovery

from .fake_client import FakeClient


def _after_death(client: FakeClient, task: str | None, started: bool) -> None:
    recovery.after_death(client, "host:cpu0", "q1", task, started)  # type: ignore[arg-type]


def test_a_running_task_is_lost(client: FakeClient) -> None:
    client.tasks = {"t": "in_progress"}
    _after_death(client, "t", True)
    [failed] = client.named("tasks.failed")
    assert (failed["task"], failed["status_reason"]) == ("t", "lost: agent host:cpu0 died")


def test_an_ended_task_is_left_alone(client: FakeClient) -> None:
    client.tasks = {"t": "completed"}
    _after_death(client, "t", True)
    assert not client.named("tasks.failed")


def test_a_task_that_was_not_started_goes_back_to_the_front(client: FakeClient) -> None:
    client.tasks = {"t": "in_progress"}
    _after_death(client, "t", False)
    assert [name for name, _ in client.calls if name != "tasks.get_all"][:3] == [
        "tasks.reset",
        "tasks.enqueue",
        "queues.move_task_to_front",
    ]


def test_what_was_withdrawn_or_stopped_meanwhile_does_not_go_back(client: FakeClient) -> None:
    for status in ("created", "stopped", "failed", "completed"):
        client.tasks, client.reasons = {"t": status}, {"t": "a person's wish"}
        _after_death(client, "t", False)
    assert not client.named("tasks.reset") and not client.named("tasks.enqueue")


@pytest.mark.parametrize("said", ["user abort", ""])
def test_what_the_agent_has_aborted_as_it_ended_goes_back(client: FakeClient, said: str) -> None:
    client.tasks, client.reasons = {"t": "stopped"}, {"t": said}
    _after_death(client, "t", False)
    assert client.named("tasks.reset") and client.named("tasks.enqueue")


def test_what_a_user_has_archived_as_the_agent_ended_stays(client: FakeClient) -> None:
    client.tasks, client.system_tags = {"t": "stopped"}, {"t": ["archived"]}
    recovery.after_stop(client, "host:cpu0", "q1", "t", started=False)  # type: ignore[arg-type]
    assert not client.named("tasks.reset") and not client.named("tasks.enqueue")


def test_what_goes_back_is_not_dequeued_before(client: FakeClient) -> None:
    """ClearML makes a draft of what runs after all."""
    client.tasks = {"t": "queued"}
    assert recovery.return_task(client, "t", "q1")  # type: ignore[arg-type]
    assert [body["task"] for body in client.named("tasks.enqueue")] == ["t"]
    assert not client.named("tasks.dequeue") and not client.named("tasks.reset")


def test_a_stray_beyond_the_first_five_hundred(client: FakeClient) -> None:
    client.tasks = {f"t{i}": "queued" for i in range(501)}
    client.queue["entries"] = [{"task": f"t{i}"} for i in range(500)]
    assert recovery.return_strays(client, "q1", settle_s=0) == ["t500"]  # type: ignore[arg-type]


def test_a_draft_that_has_run_is_lost_as_well(client: FakeClient) -> None:
    client.tasks, client.started = {"t": "created", "reset": "created"}, {"t": "2026-01-01"}
    _after_death(client, "t", True)
    _after_death(client, "reset", True)
    assert [body["task"] for body in client.named("tasks.failed")] == ["t"]


def test_a_task_that_is_in_no_queue_goes_back(client: FakeClient) -> None:
    client.tasks = {"stray": "queued", "waiting": "queued"}
    client.queue["entries"] = [{"task": "waiting"}]
    assert recovery.return_strays(client, "q1", settle_s=0) == ["stray"]  # type: ignore[arg-type]
    assert [body["task"] for body in client.named("tasks.enqueue")] == ["stray"]


def test_a_server_that_refuses_is_survived(client: FakeClient) -> None:
    client.tasks = {"t": "in_progress"}
    client.refuse = {"tasks.failed"}
    _after_death(client, "t", True)


def test_only_own_workers_are_unregistered(client: FakeClient) -> None:
    client.workers = ["host:cpu0", "other:cpu0"]
    recovery.unregister(client, {"host:cpu0", "host:cpu1"})  # type: ignore[arg-type]
    assert client.named("workers.unregister") == [{"worker": "host:cpu0"}]
