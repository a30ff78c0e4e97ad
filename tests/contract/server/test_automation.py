"""ClearML's own automation, unmodified, on the embedded server: schedulers, triggers, pipelines and the optimizer."""

from __future__ import annotations

import pytest

from .client import Agent, Client, Queue, Script, Trainer

pytestmark = pytest.mark.long


def test_the_scheduler_fires(script: Script, template: str, idle_queue: Queue) -> None:
    assert script("scheduler.py", template, idle_queue.id) == {"jobs": 1, "lr": "0.25", "queue": idle_queue.id}


def test_triggers_fire(script: Script, template: str, idle_queue: Queue) -> None:
    assert script("trigger.py", template, idle_queue.name) == dict.fromkeys(("tag", "metric", "dataset", "model"), True)


def test_a_pipeline_of_decorated_functions(script: Script) -> None:
    found = script("decorated_pipeline.py")
    assert found["total"] == 6
    assert found["steps"] == [["load", "completed"], ["add", "completed"]]
    assert found["status"] == "completed"


@pytest.mark.agent
def test_a_pipeline_of_three_steps_run_by_agents(script: Script, call: Client, template: str, agent: Agent) -> None:
    found = script("pipeline.py", template, agent.queue.name)
    assert found["statuses"] == {"train": "completed", "double": "completed", "sum": "completed"}, agent.log()
    assert found["workers"] == [agent.worker]
    assert found["parents"]
    assert (found["result"], found["single"]) == (1.5, 1.5)
    assert found["monitored"]["validation"]["score"]["last"] == 1.0
    assert "pipeline" in found["tags"]
    controller = call.task(found["id"])
    assert controller["type"] == "controller" and controller["status"] == "completed"


def test_the_optimizer_searches_at_random(script: Script, call: Client, template: str, idle_queue: Queue) -> None:
    with Trainer(call, idle_queue):
        found = script("optimizer.py", template, idle_queue.name, "RandomSearch")
    assert found["statuses"] == ["completed"] * 2
    assert found["values"] == sorted(lr for lr, _ in found["points"])


def test_the_optimizer_searches_a_grid(script: Script, call: Client, template: str, idle_queue: Queue) -> None:
    with Trainer(call, idle_queue):
        found = script("optimizer.py", template, idle_queue.name, "GridSearch")
    assert found["statuses"] == ["completed"] * 4
    assert found["points"] == [[0.25, 2], [0.25, 3], [1.0, 2], [1.0, 3]]
    assert found["values"] == [0.25, 0.25]


@pytest.mark.agent
def test_the_optimizer_with_optuna_and_an_agent(script: Script, template: str, agent: Agent) -> None:
    found = script("optimizer.py", template, agent.queue.name, "OptimizerOptuna")
    assert found["statuses"] == ["completed"] * 2, agent.log()
    # A score of the template is its learning rate times the number of iterations.
    assert found["values"] == pytest.approx(sorted(lr * iterations for lr, iterations in found["points"]))
