"""An unmodified ``clearml-agent daemon`` against the embedded server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from .client import Agent, Client

pytestmark = pytest.mark.agent

DEADLINE_S = 120


@pytest.fixture
def eventually(agent: Agent) -> Callable[..., None]:
    """Waits for something to become true, long enough for a busy machine."""

    def wait(condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen:\n{agent.log()}"
            time.sleep(0.1)

    return wait


def clone(call: Client, template: str, queue: str, **parameters: str) -> str:
    """A clone of the template with parameters, in the queue."""
    section = {name: {"section": "General", "name": name, "value": value} for name, value in parameters.items()}
    made = call("tasks.clone", task=template, new_task_name="a clone", new_task_hyperparams={"General": section})["id"]
    call("tasks.enqueue", task=made, queue=queue)
    return str(made)


def test_a_queued_clone_runs_to_completion(call: Client, template: str, agent: Agent, eventually: Any) -> None:
    id_ = clone(call, template, agent.queue.id, lr="0.5")
    eventually(lambda: call.task(id_)["status"] not in ("queued", "in_progress"), "the end of the task")
    task = call.task(id_)
    assert (task["status"], task["last_worker"]) == ("completed", agent.worker)
    assert task["status_reason"] == "worker execution done"
    [score] = [last for variants in task["last_metrics"].values() for last in variants.values()]
    assert (score["metric"], score["variant"], score["value"], score["count"]) == ("validation", "score", 2.5, 5)
    assert task["hyperparams"]["General"]["lr"]["value"] == "0.5"
    assert task["hyperparams"]["General"]["iterations"]["type"] == "int"
    log = call("events.get_task_log", task=id_, batch_size=1000)["events"]
    assert "the script ended with 0.5" in "".join(event["msg"] for event in log)
    assert task["started"] <= task["completed"]
    assert call("queues.get_by_id", queue=agent.queue.id)["queue"]["entries"] == []


@pytest.mark.long
def test_a_running_task_is_aborted(call: Client, template: str, agent: Agent, eventually: Any) -> None:
    id_ = clone(call, template, agent.queue.id, sleep="1000")
    eventually(lambda: call.task(id_)["last_metrics"], "the first scalar")
    [worker] = [each for each in call("workers.get_all")["workers"] if each["id"] == agent.worker]
    assert worker["task"]["id"] == id_
    assert call("tasks.stop", task=id_)["fields"]["status_message"] == "stopping"
    eventually(lambda: call.task(id_)["status"] != "in_progress", "the abort")
    assert call.task(id_)["status"] == "stopped"
    eventually(lambda: "user aborted" in _console(call, id_), "the agent's last word")


def _console(call: Client, id_: str) -> str:
    events = call("events.get_task_log", task=id_, batch_size=1000)["events"]
    return "".join(event["msg"] for event in events).lower()
