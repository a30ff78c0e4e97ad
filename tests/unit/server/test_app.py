"""The API as an ASGI application: whose body is read, and how much of it."""

from __future__ import annotations

import contextlib
import json
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from clearml_hpo.server import sizes
from clearml_hpo.server.registry import endpoints
from clearml_hpo.server.sizes import BATCH, DOCUMENT, SMALL, largest_body

from .server_without_sockets import Api


def post(api: Api, path: str, body: bytes, *, times: int = 1, announced: bool = True, **headers: str) -> Any:
    """One request with a body that is repeated; its status, its envelope, and how often the body was read."""
    left, answer = times, []
    headers |= {"content-length": str(len(body) * times)} if announced else {"transfer-encoding": "chunked"}

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": body, "more_body": left > 0}

    async def send(message: Any) -> None:
        answer.append(message)

    scope = {
        **{"type": "http", "method": "POST", "path": path, "query_string": b"", "client": ("127.0.0.1", 9)},
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    anyio.run(api.apps.api, scope, receive, send)
    return answer[0]["status"], json.loads(answer[1]["body"]), times - left


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_of_a_stranger_is_not_kept(announced: bool, api: Api) -> None:
    for header in ({}, {"authorization": "Bearer wrong"}):
        tracemalloc.start()
        status, envelope, read = post(api, "/tasks.get_all", b"x" * 2**20, times=60, announced=announced, **header)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (status, envelope["meta"]["result_code"]) == (401, 401)
        assert envelope["meta"]["endpoint"]["name"] == "tasks.get_all"
        # It is read all the same, so that a client which sends it comes to see that it has to log in.
        assert read == 60 and peak < 10 * 2**20


def test_a_large_body_of_a_client_is_read(api: Api) -> None:
    body = json.dumps({"name": "long enough", "type": "training", "comment": "x" * 2**20}).encode()
    for announced in (True, False):
        status, envelope, _ = post(api, "/tasks.create", body, announced=announced, authorization=api.bearer)
        assert status == 200 and api.get(envelope["data"]["id"])["comment"] == "x" * 2**20


def test_a_small_body_needs_no_key_to_be_read(api: Api) -> None:
    assert post(api, "/debug.ping", b"{}")[0] == 200
    assert post(api, "/auth.login", b"{}", authorization=api.basic)[0] == 200


@pytest.mark.parametrize("header", [{}, {"authorization": "the client's"}])
def test_more_than_the_limit_is_not_read(header: dict[str, str], api: Api) -> None:
    api.apps.api._max_body = 2**17  # type: ignore[attr-defined]
    known = dict.fromkeys(header, api.bearer)
    status, envelope, read = post(api, "/tasks.create", b"x" * 2**14, times=1000, announced=False, **known)
    assert (status, envelope["meta"]["result_code"]) == ((413, 413) if header else (401, 401))
    assert read < 20
    assert post(api, "/tasks.create", b"x" * 2**18, **known)[0] == status  # in one piece


def test_an_unknown_endpoint_stays_unknown_however_large_the_body(api: Api) -> None:
    assert post(api, "/no.such", b"x" * 2**20)[0] == 404
    assert post(api, "/x/y/z", b"x" * 2**20)[0] == 400


@pytest.mark.parametrize(
    ("endpoint", "limit"),
    [("events.add_batch", BATCH), ("tasks.edit", DOCUMENT), ("tasks.get_all", SMALL), ("no.such_endpoint", SMALL)],
)
def test_a_body_has_a_size_by_its_endpoint(endpoint: str, limit: int, api: Api) -> None:
    kind = "application/json-lines" if endpoint == "events.add_batch" else "application/json"
    given = {"authorization": api.bearer, "content-type": kind}
    line = json.dumps({"task": "x" * 32, "no_such_field": "x" * (2**20 - 80)}).encode()
    fits = line if kind == "application/json" else b"\n".join([line] * (limit // len(line)))
    assert post(api, f"/v2.23/{endpoint}", fits, **given)[0] != 413
    status, envelope, read = post(api, f"/v2.23/{endpoint}", b"x" * 2**20, times=limit // 2**20 + 1, **given)
    assert (status, envelope["meta"]["result_code"]) == ((404, 404) if endpoint == "no.such_endpoint" else (413, 413))
    assert read == limit // 2**20 + 1, "it is read to its end, so that a client which sends it sees why"


def test_endpoints_with_larger_bodies_are_there() -> None:
    assert {name for name in endpoints() if largest_body(name) > SMALL} == set(sizes._LARGER)


def test_a_short_call_is_answered_on_the_loop_unless_somebody_writes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    answer = api.apps.dispatcher.answer
    monkeypatch.setattr(
        type(api.apps.dispatcher),
        "answer",
        lambda _, request: (threads.append(threading.get_ident()), answer(request))[1],
    )
    task, here = api.task(), threading.get_ident()
    body, caller = json.dumps({"task": task}).encode(), {"authorization": api.bearer}
    threads.clear()
    assert post(api, "/v2.23/tasks.get_by_id", body, **caller)[0] == 200
    assert post(api, "/tasks.get_all", b"{}", **caller)[0] == 200
    assert post(api, "/tasks.get_by_id", body + b" " * 2**14, **caller)[0] == 200
    with written_elsewhere(api):
        assert post(api, "/tasks.get_by_id", body, **caller)[0] == 200  # a reader waits for no writer
    on_loop = [each == here for each in threads]
    assert on_loop == [True, False, False, False]


@contextlib.contextmanager
def written_elsewhere(api: Api) -> Iterator[None]:
    """Another thread is in the midst of a transaction."""
    begun, ended = threading.Event(), threading.Event()

    def write() -> None:
        with api.apps.store.db.transaction():
            begun.set()
            ended.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        ended.set()
        thread.join()
