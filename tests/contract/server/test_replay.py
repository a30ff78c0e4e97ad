"""Recorded exchanges with a real server, replayed: the same status, subcode and shape.

``exchanges.jsonl`` is never edited. Each exchange gets a fresh world in which its request makes sense: identifiers
in it are replaced by those of tasks, queues, projects and models in the state that the answer implies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .replay import faults, load, subcode, title, until_now
from .world import World

pytestmark = pytest.mark.embedded

EXCHANGES = load("exchanges.jsonl")

# (endpoint, subcode): the state of the task before the request.
STATES = {
    ("tasks.completed", 0): "running",
    ("tasks.delete", 0): "queued",
    ("tasks.delete", 123): "queued",
    ("tasks.dequeue", 0): "queued",
    ("tasks.edit", 110): "queued",
    ("tasks.edit_hyper_params", 0): "created",
    ("tasks.edit_hyper_params", 110): "queued",
    ("tasks.enqueue", 0): "created",
    ("tasks.enqueue", 706): "queued",
    ("tasks.failed", 110): "completed",
    ("tasks.get_hyper_params", 0): "created",
    ("tasks.reset", 0): "completed",
    ("tasks.started", 0): "popped",
    ("tasks.stopped", 110): "completed",
    ("queues.move_task_backward", 0): "queued",
    ("queues.move_task_to_front", 0): "queued",
    ("queues.get_next_task", 0): "queued",
    ("queues.get_by_id", 0): "queued",
    ("queues.get_all", 0): "queued",
}

# Exchanges that cannot be replayed, and why.
CUT_REQUESTS = {82: "the recorded request is cut off, so it cannot be sent"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("number", range(len(EXCHANGES)), ids=lambda n: f"{n}-{title(EXCHANGES[n])}")
def test_exchange(number: int, world: World) -> None:
    if number in CUT_REQUESTS:
        pytest.skip(CUT_REQUESTS[number])
    exchange = EXCHANGES[number]
    body = (
        json.dumps(arranged(exchange, world)).encode()
        if isinstance(exchange["request"], dict)
        else lines(exchange, world)
    )
    status, envelope = world.send(
        exchange["path"],
        body,
        content_type=exchange["content_type"] or "",
        authorization=authorization(exchange, world),
    )
    assert faults(exchange, status, envelope) == []


def test_every_reason_is_of_an_exchange() -> None:
    assert CUT_REQUESTS.keys() <= set(range(len(EXCHANGES)))


def authorization(exchange: dict[str, Any], world: World) -> str | None:
    refused = exchange["status"] == 401
    if exchange["path"].endswith("auth.login"):
        return "Basic d3Jvbmc6cGFpcg==" if refused else world.basic
    if exchange["path"].endswith("auth.validate_token") and not refused:
        return world.as_the_web_app()  # no user may call it
    return "Bearer wrong" if refused else None


def lines(exchange: dict[str, Any], world: World) -> bytes | None:
    """A JSON-lines body; a recorded one that is cut off is sent up to the last whole line."""
    if exchange["request"] is None:
        return None
    task = world.task("running")
    whole = exchange["request"].splitlines()[:-1]
    return "\n".join(json.dumps(json.loads(line) | {"task": task}) for line in whole).encode()


def arranged(exchange: dict[str, Any], world: World) -> dict[str, Any]:
    """The recorded request with identifiers of this world."""
    name = title(exchange)
    request = until_now(exchange["request"])
    answer = exchange["response"]["data"] if isinstance(exchange["response"], dict) else {}
    if exchange["status"] == 404 or subcode(exchange) in (12, 101, 131, 701):
        return request
    if "token" in request:
        request["token"] = world.token
    _names(name, subcode(exchange), request, world)
    state = STATES.get((name, subcode(exchange)), "completed" if "get_all" in name else "running")
    if request.get("new_status") == "in_progress" or request.get("status_reason") == "worker starting task execution":
        state = "running"
    if name == "tasks.stop" and answer["fields"]["status"] == "stopped":
        state = "queued"
    if "task" in name or "task" in request or "tasks" in request or name.startswith(("models", "events", "workers")):
        _tasks(name, request, world, world.task(state), answer)
    if (name.startswith("projects.get_") and "name" not in request) or "section" in request:
        world.task("completed")
    if (
        name in ("queues.get_by_id", "queues.get_queue_metrics")
        or (name == "queues.get_all" and "id" in request)
        or name == "queues.get_next_task"
    ):
        world.task("queued")
    _replace(request, ("project", "new_task_project"), world.project)
    _replace(request, ("queue",), world.queue)
    if "queues" in request and name.startswith("workers"):
        request["queues"] = [world.queue]
    if name == "queues.get_all" and "id" in request:
        request["id"] = [world.queue]
    return request


def _names(endpoint: str, code: int, request: dict[str, Any], world: World) -> None:
    """Makes sure that a project or queue which was found by its name, or was in the way, is there."""
    noun, action = endpoint.split(".")
    if (
        noun in ("projects", "queues")
        and action in ("create", "get_all", "get_all_ex")
        and "name" in request
        and (action != "create" or code)
    ):
        name = request["name"].strip("^$")
        if world.unused(name):
            world.call(f"{noun}.create", name=name)
        if action == "get_all_ex":
            world.task("completed")


def _tasks(endpoint: str, request: dict[str, Any], world: World, task: str, answer: Any) -> None:
    if isinstance(request.get("task"), list):
        request["task"] = [task]
    _replace(request, ("task",), task)
    _replace(request, ("new_task_parent",), task)
    _replace(request, ("model",), getattr(world, "model", ""))
    if "tasks" in request:
        request["tasks"] = [task]
    if "metrics" in request:
        request["metrics"] = [{"task": task}]
    if "type" in request and endpoint.startswith("events") and "task" in request:
        request["task"] = task
    if endpoint.startswith("tasks.get_all") and answer.get("tasks"):
        if "id" in request:
            request["id"] = [task]
        if "parent" in request:
            request["parent"] = world.call("tasks.get_by_id", task=task)["task"]["parent"]
        if "status" in request and request["status"] == ["in_progress"]:
            world.task("running")
        if "status" in request and request["status"] == ["created"]:
            world.task("created")


def _replace(request: dict[str, Any], names: tuple[str, ...], value: str) -> None:
    for name in names:
        if isinstance(request.get(name), list):
            request[name] = [value]
        elif isinstance(request.get(name), str):
            request[name] = value
