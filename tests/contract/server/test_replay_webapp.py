"""Recorded exchanges of ClearML's own web app with a real server, replayed: the same status, subcode and shape.

``exchanges_webapp.jsonl`` is never edited. Each exchange gets a fresh world with the cast of the recorded one: a
project with an optimizer's task, three of its trials and two drafts, and a project and a queue made for a test.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .replay import faults, load, title, until_now
from .world import WORKER, World

pytestmark = pytest.mark.embedded

EXCHANGES = load("exchanges_webapp.jsonl")

PROJECT = "8cb75d459b50445fbf3bc4103560b62e"
CONTROLLER = "c867af5e3ff445cda3c742e2e70d9dc4"
TRIALS = ("29e3c4bbed454dbcb8bf49035ddfe292", "75d230cfaa2f41a98e59142b8e05bd44", "a5ad540f899e40e4b5638ddff4b049d7")
DRAFT = "1978992843c74b9e966c70762b1dbc74"
SECOND_DRAFT = "bb08d4c8390e47668cfe36a0056e5d77"
EMPTY_PROJECT = "33f760d303b844f6921621c725753a0e"
QUEUE = "a4114364993a4c3a84a830fa8ddba5c4"
DEFAULT_QUEUE = "5ed12f25df9d4b3a83320e5a4ebeb2c1"

# What happened before an exchange, in recorded identifiers.
BEFORE: dict[int, list[tuple[str, dict[str, Any]]]] = {
    19: [("projects.delete", {"project": EMPTY_PROJECT})],
    38: [("queues.delete", {"queue": QUEUE})],
    42: [("tasks.enqueue", {"task": DRAFT, "queue": QUEUE})],
    76: [("tasks.reset", {"task": DRAFT})],
    79: [("tasks.stopped", {"task": DRAFT, "force": True})],
    80: [("tasks.enqueue", {"task": DRAFT, "queue": QUEUE})],
    81: [("tasks.archive_many", {"ids": [DRAFT]})],
}
# Exchanges of a person who logged in by name; the others were made with the server's own key.
BY_NAME = frozenset((57, 84))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("number", range(len(EXCHANGES)), ids=lambda n: f"{n}-{title(EXCHANGES[n])}")
def test_exchange(number: int, world: World) -> None:
    exchange, cast = EXCHANGES[number], cast_of(world)
    for endpoint, data in BEFORE.get(number, []):
        world.call(endpoint, **renamed(data, cast))
    status, envelope = world.send(
        exchange["path"],
        None if exchange["request"] is None else json.dumps(until_now(renamed(exchange["request"], cast))).encode(),
        authorization=authorization(number, world),
    )
    assert envelope["meta"]["endpoint"]["requested_version"] == "999.0"
    assert faults(exchange, status, envelope) == []


def test_every_reason_is_of_an_exchange() -> None:
    assert {*BEFORE, *BY_NAME} <= set(range(len(EXCHANGES)))


def authorization(number: int, world: World) -> str | None:
    """The header of whoever made the call; None: the bearer of the server's key."""
    if title(EXCHANGES[number]) == "auth.login":
        return world.basic
    if title(EXCHANGES[number]) == "auth.create_user":
        return world.as_the_web_app()
    return world.log_in("Tess", "Tester") if number in BY_NAME else None


def renamed(request: Any, cast: dict[str, str]) -> Any:
    """A recorded request with the identifiers of this world."""
    text = json.dumps(request)
    for recorded, ours in cast.items():
        text = text.replace(recorded, ours)
    return json.loads(text)


def cast_of(world: World) -> dict[str, str]:
    """The recorded world made again: its identifiers, and ours."""
    empty = world.call("projects.create", name="web project", description="")["id"]
    project = world.call("projects.create", name="held out", description="")["id"]
    queue = world.call("queues.create", name="web queue")["id"]
    world.task("completed")  # something of every kind of event, in another project
    controller = _controller(world, project)
    cast = {
        PROJECT: project,
        CONTROLLER: controller,
        **{recorded: _trial(world, project, controller) for recorded in TRIALS},
        DRAFT: _draft(world, project, controller),
        SECOND_DRAFT: _draft(world, project, controller),
        EMPTY_PROJECT: empty,
        QUEUE: queue,
        DEFAULT_QUEUE: world.call("queues.get_default")["id"],
    }
    time.sleep(0.002)  # times are in milliseconds, and orders by them want it to be the latest
    latest = world.call("tasks.create", name="props trial", type="training", project=project, parent=controller)["id"]
    world.call("tasks.edit", task=latest, runtime={"progress": "0"}, tags=["s1"])
    world.call("tasks.started", task=latest)
    return cast


def _controller(world: World, project: str) -> str:
    """An optimizer's task that has ended: plots, artifacts, and numbers of tasks and workers as scalars."""
    parent = world.call("tasks.create", name="abc", type="training")["id"]
    made = world.call("tasks.create", name="controller", type="optimizer", project=project, parent=parent)["id"]
    world.call("tasks.edit", task=made, runtime={"progress": "100"})
    world.call("tasks.started", task=made)
    plot = {"type": "plot", "metric": "summary", "variant": "job", "iter": 0, "plot_str": "{}", "worker": "vm"}
    names = ("queue workers", "running tasks", "pending tasks")
    lines = [plot, *(_scalar("resources", name, iteration, 2.0) for name in names for iteration in range(1, 5))]
    world.report(made, lines)
    world.store_artifact(made)
    world.call("tasks.completed", task=made)
    return str(made)


def _trial(world: World, project: str, parent: str) -> str:
    """A task that an agent ran to its end."""
    made = world.call(
        "tasks.create",
        **{"name": "template: General/kind=b", "type": "training", "project": project, "parent": parent},
        **{"comment": "General/kind=b", "tags": ["optimization"], "hyperparams": _sections("General", "kind", "b")},
        script={"binary": "python3.11", "repository": "", "branch": "", "version_num": "", "working_dir": "."}
        | {"entry_point": "a.py", "diff": "print(1)", "requirements": {"pip": "clearml", "conda": ""}},
    )["id"]
    world.call("tasks.enqueue", task=made)
    world.call("queues.get_next_task", queue=world.call("queues.get_default")["id"])
    world.call("workers.status_report", worker=WORKER, timestamp=1, task=made)
    world.call("tasks.started", task=made, force=True)
    world.call("tasks.edit", task=made, force=True, runtime={"progress": "0"})
    log = {"type": "log", "level": "DEBUG", "worker": WORKER, "msg": "Process completed successfully"}
    world.report(made, [log, *(_scalar("held", "loss", iteration, 2 / iteration) for iteration in (1, 2, 3))])
    world.call("tasks.completed", task=made, status_reason="worker execution done", status_message="Changed")
    world.call("workers.unregister", worker=WORKER)
    return str(made)


def _draft(world: World, project: str, parent: str) -> str:
    """A clone that a person has edited."""
    items = [{"name": name, "value": "a: 1", "type": "yaml", "description": "d"} for name in ("General", "study")]
    made = world.call(
        "tasks.create",
        **{"name": "Clone of controller", "type": "optimizer", "project": project, "parent": parent},
        **{"hyperparams": _sections("opt", "total", "5"), "configuration": {each["name"]: each for each in items}},
        script={"binary": "python3.11", "repository": "", "entry_point": "a.py", "diff": "print(1)"},
    )["id"]
    return str(made)


def _sections(section: str, name: str, value: str) -> dict[str, Any]:
    item = {"section": section, "name": name, "value": value, "type": "str", "description": ""}
    return {section: {name: item}}


def _scalar(metric: str, variant: str, iteration: int, value: float) -> dict[str, Any]:
    return {
        **{"type": "training_stats_scalar", "metric": metric, "variant": variant},
        **{"iter": iteration, "value": value, "worker": "vm"},
    }
