"""When a connection is given an end, and when it is left alone; its clock is a list of what was scheduled."""

from __future__ import annotations

from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from clearml_hpo.server.connections import PatientProtocol

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"


class Handle:
    is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """Remembers what is to be called later, and begins no tasks."""

    def __init__(self) -> None:
        self.limits: list[tuple[float, Any, Handle]] = []

    def call_later(self, seconds: float, act: Any) -> Handle:
        self.limits.append((seconds, act, Handle()))
        return self.limits[-1][2]

    def create_task(self, coroutine: Any, **_: Any) -> Any:
        coroutine.close()
        return Task()


class Task:
    def add_done_callback(self, act: Any) -> None:
        pass


class Transport:
    def get_extra_info(self, name: str) -> Any:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def connection(loop: Loop) -> PatientProtocol:
    config = uvicorn.Config(app=lambda scope: None, lifespan="off", ws="none")  # type: ignore[arg-type, return-value]
    config.load()
    made = PatientProtocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
    made.connection_made(Transport())  # type: ignore[arg-type]
    return made


def waiting(loop: Loop) -> list[float]:
    """The limits that are set."""
    return [seconds for seconds, _, handle in loop.limits if not handle.is_cancelled]


def test_headers_have_one_limit_from_the_connection_to_their_last_byte(connection: PatientProtocol, loop: Loop) -> None:
    for position in range(len(REQUEST) - 1):
        connection.data_received(REQUEST[position : position + 1])
        assert waiting(loop) == [connection.headers_s]
    assert len(loop.limits) == 1
    connection.data_received(REQUEST[-1:])
    assert waiting(loop) == []


def test_a_body_is_not_under_it(connection: PatientProtocol, loop: Loop) -> None:
    connection.data_received(REQUEST)
    connection.data_received(b"1")
    assert waiting(loop) == []


def test_who_does_not_read_has_a_limit_until_they_do(connection: PatientProtocol, loop: Loop) -> None:
    connection.data_received(REQUEST)
    connection.pause_writing()
    assert waiting(loop) == [connection.reading_s]
    connection.resume_writing()
    assert waiting(loop) == []


def test_nothing_is_left_of_a_connection_that_is_gone(connection: PatientProtocol, loop: Loop) -> None:
    connection.pause_writing()
    assert len(waiting(loop)) == 2
    connection.connection_lost(OSError())
    assert waiting(loop) == []
