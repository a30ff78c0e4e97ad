"""When a connection is given an end, and when it is left alone; its clock is a list of what was scheduled."""

from __future__ import annotations

from typing import Any, ClassVar

import h11
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


def test_an_address_that_asks_nothing_on_many_connections_loses_the_oldest(loop: Loop) -> None:
    config = uvicorn.Config(app=lambda scope: None, lifespan="off", ws="none")  # type: ignore[arg-type, return-value]
    config.load()
    closed: list[str] = []

    class Few(PatientProtocol):
        most_idle = 2
        idle: ClassVar[dict[str, dict[PatientProtocol, None]]] = {}

    class Named(Transport):
        def __init__(self, name: str, address: str) -> None:
            self.name, self.address = name, address

        def get_extra_info(self, name: str) -> Any:
            return (self.address, 1234) if name == "peername" else None

        def is_closing(self) -> bool:
            return self.name in closed

        def abort(self) -> None:
            closed.append(self.name)

    def connect(name: str, address: str = "10.0.0.1") -> Few:
        made = Few(config=config, server_state=ServerState(), app_state={}, _loop=loop)  # type: ignore[arg-type]
        made.connection_made(Named(name, address))  # type: ignore[arg-type]
        return made

    busy, first = connect("busy"), connect("first")
    busy.data_received(REQUEST)
    connect("second")
    assert not closed, "one of the three is at work"
    connect("of another", "10.0.0.2")
    third = connect("third")
    assert closed == ["first"]
    first.connection_lost(None)
    third.connection_lost(OSError())
    busy.data_received(b"12")
    busy.conn.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
    busy.conn.send(h11.EndOfMessage())
    busy.on_response_complete()
    assert [*Few.idle["10.0.0.1"]][-1] is busy
    connect("fourth")
    assert closed == ["first", "second"], "in the order in which they became idle"
