"""What a connection is given to send, as uvicorn answers a request."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from starlette.responses import Response, StreamingResponse
from uvicorn.server import ServerState

from clearml_hpo.machine.one_write import OneWriteProtocol


class Transport:
    """A connection that remembers."""

    def __init__(self):
        self.calls = []

    def get_extra_info(self, name):
        return None

    def is_closing(self):
        return ("close",) in self.calls

    def write(self, data):
        self.calls.append(("write", data))

    def close(self):
        self.calls.append(("close",))


async def sent(answer, headers=b""):
    """What was called on the connection by the answer to one request."""
    config = uvicorn.Config(app=answer, lifespan="off", ws="none", interface="asgi3")
    config.load()
    transport, state = Transport(), ServerState()
    protocol = OneWriteProtocol(config=config, server_state=state, app_state={})
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
    await asyncio.gather(*state.tasks)
    await asyncio.sleep(0)
    return transport.calls


@pytest.mark.parametrize("headers", [b"", b"Connection: close\r\n"], ids=["goes on", "closed"])
def test_head_and_body_leave_in_one_piece(headers):
    written, *closed = asyncio.run(sent(Response("the body"), headers))
    assert written[1].startswith(b"HTTP/1.1 200 OK\r\n") and written[1].endswith(b"\r\n\r\nthe body")
    assert closed == ([("close",)] if headers else [])


def test_what_comes_later_is_sent_then():
    async def parts():
        yield b"first"
        await asyncio.sleep(0.01)
        yield b"second"

    (_, first), (_, second), *_ = asyncio.run(sent(StreamingResponse(parts())))
    assert b"first" in first and b"second" not in first and b"second" in second
