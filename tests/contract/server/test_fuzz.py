"""Whatever is sent to whatever endpoint: an answer in ClearML's envelope, never an error of the server's own.

``make fuzz`` tries many more requests than a run of the tests.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from clearml_hpo.server.registry import endpoints

from .odd_requests import Requests
from .sdk_schemas import request_schemas
from .world import World

ENDPOINTS = endpoints()
READS = sorted(name for name in ENDPOINTS if ".get_" in name)
STATES = ("completed", "created", "running", "queued")


class Populated:
    """A server with something of everything; each example has a copy of it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name)
        (self._path / "origin").mkdir()
        world = World(self._path / "origin")
        tasks = [world.task(state) for state in STATES]
        self._credentials = world.credentials
        self.ids = [*tasks, world.project, world.queue, world.model, "vm:a1", "w", "smoke/sub", "the queue", "default"]
        world.close()

    @contextmanager
    def copy(self) -> Iterator[World]:
        with tempfile.TemporaryDirectory(dir=self._path) as folder:
            shutil.copytree(self._path / "origin", folder, dirs_exist_ok=True)
            world = World(Path(folder), self._credentials)
            try:
                yield world
            finally:
                world.close()


@cache
def populated() -> Populated:
    return Populated()


@cache
def requests() -> Requests:
    return Requests(populated().ids)


def send(world: World, name: str, body: Any) -> None:
    """One call; what comes back must be ClearML's envelope and no error of the server's own."""
    note(f"{name} {body!r}")
    lines = isinstance(body, list)
    text = "\n".join(map(json.dumps, body)) if lines else json.dumps(body)
    kind = "application/json-lines" if lines else "application/json"
    status, envelope = world.send(f"/v2.23/{name}", text.encode(), content_type=kind)
    assert status < 500, (name, body)
    assert (envelope["meta"]["result_code"], envelope["meta"]["endpoint"]["name"]) == (status, name)
    assert isinstance(envelope["data"], dict)


def calls(names: list[str]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), bodies(name)))


def bodies(name: str) -> st.SearchStrategy[Any]:
    body = requests().of(ENDPOINTS[name])
    return body | requests().events() if name == "events.add_batch" else body


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
def test_any_request_to_an_endpoint(name: str) -> None:
    @given(body=bodies(name))
    def any_request(body: Any) -> None:
        send(world, name, body)

    with populated().copy() as world:
        any_request()


@given(sequence=st.deferred(lambda: st.lists(calls(sorted(ENDPOINTS)), min_size=2, max_size=8)))
def test_what_was_accepted_does_no_harm_later(sequence: list[tuple[str, Any]]) -> None:
    with populated().copy() as world:
        for name, body in sequence:
            send(world, name, body)
        for name in READS:
            send(world, name, plain_read(name, world))
        for path in ("/", "/projects", *(f"/projects/x/tasks/{id_}/output/log" for id_ in populated().ids[:4])):
            assert world.page(path) < 500, path


def plain_read(name: str, world: World) -> dict[str, Any]:
    """A read as a client would make it of what there is."""
    task, queue, project = populated().ids[2], world.queue, populated().ids[4]
    return {
        **{"task": task, "tasks": populated().ids[:4], "queue": queue, "project": project, "projects": [project]},
        **{"model": populated().ids[6], "metrics": [{"task": task}], "event_type": "plot", "section": "General"},
        **{"name": ".*", "from_date": 0, "to_date": 2e9, "interval": 1e6, "order_by": ["-last_metrics.a.b.value"]},
    }


def test_every_endpoint_of_the_sdk_is_known_by_its_schema() -> None:
    with_schema = request_schemas().keys() & ENDPOINTS.keys()
    assert len(with_schema) > 100
