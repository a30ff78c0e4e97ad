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
from hypothesis import given, note, settings
from hypothesis import strategies as st

from clearml_hpo.server.registry import endpoints

from .odd_requests import Requests
from .sdk_schemas import request_schemas
from .world import World

pytestmark = [pytest.mark.embedded, pytest.mark.long]

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
    if not envelope:
        assert name == "events.download_task_log"
        return
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


# --- below the endpoints: paths, headers, bodies ----------------------------------------------------------------------

_BITS = st.sampled_from(
    ["a", "..", ".", "", "%2e", "\\", "\0", "ü", "\ud800", "x" * 300, "v2.23", "tasks.get_all", " "]
)
# A server gives its applications text: what is none has been replaced.
PATHS = st.lists(_BITS | st.text(max_size=5), max_size=5).map(
    lambda bits: "/" + "/".join(bits).encode(errors="replace").decode()
)
ODD = st.sampled_from(
    ["", "x", "-1", "bytes=0-1", "bytes=-5", "bytes=9-", "bytes=0-0,1-1", "0", "1e9", "9" * 30, "gzip"]
)
TYPES = st.sampled_from(
    [
        *("application/json", "application/json-lines", "application/json; charset=x", "text/plain", "", ";", "a/b/c"),
        *("multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary="),
        *(f"multipart/form-data; boundary={'b' * 500}", 'multipart/form-data; boundary="'),
    ]
)
PARTS = st.sampled_from(
    [
        *(b"--b\r\n", b"--b--", b"--b--\r\n", b"\r\n", b"\r\n\r\n", b"data", b"\0", b"\xff", b"{", b"[]", b"{}"),
        *(b'Content-Disposition: form-data; name="a/b"', b'Content-Disposition: form-data; name="../x"', b"x: y"),
        *(b'Content-Disposition: form-data; filename="\xff"', b"Content-Disposition: ;;;"),
    ]
)
BODIES = st.lists(PARTS, max_size=8).map(b"".join)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        **{"content-type": TYPES, "range": ODD, "content-length": ODD, "if-range": ODD, "cookie": ODD},
        **{"authorization": st.sampled_from(["Basic", "Basic !", "Basic YTpi", "Bearer", "Bearer x.y.z", "x", "\xff"])},
    },
)


@pytest.mark.parametrize("application", ["api", "files", "web"])
def test_any_http_request(application: str) -> None:
    methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "X"])

    @settings(max_examples=5 * settings().max_examples)
    @given(
        method=methods, path=PATHS, body=st.lists(PARTS, max_size=8).map(b"".join), headers=HEADERS, known=st.booleans()
    )
    def any_request(method: str, path: str, body: bytes, headers: dict[str, str], known: bool) -> None:
        given_headers = headers | ({"authorization": f"Bearer {world.token}"} if known else {})
        status, _ = world.http(application, method, path, body, **given_headers)
        assert status < 500

    with populated().copy() as world:
        before = world.files_outside()
        any_request()
        assert world.files_outside() == before


def test_every_endpoint_of_the_sdk_is_known_by_its_schema() -> None:
    with_schema = request_schemas().keys() & ENDPOINTS.keys()
    assert len(with_schema) > 100
