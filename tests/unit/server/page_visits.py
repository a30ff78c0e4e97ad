"""Requests to the pages without a browser."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import anyio

from clearml_hpo.server.pages.gate import COOKIE

from .server_without_sockets import Api

OWN = {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8080"}


class Answer:
    """What came back."""

    def __init__(self, messages: list[Any]) -> None:
        self.status: int = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.text = b"".join(message.get("body", b"") for message in messages[1:]).decode()

    @property
    def location(self) -> str:
        """Where it sends the browser."""
        return self.headers["location"]


def visit(
    api: Api,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    at: str = "127.0.0.1",
    logged_in: bool = True,
    client: tuple[str, int] | None = None,
) -> Answer:
    """One request to the pages."""
    messages: list[Any] = []
    given = {"host": f"{at}:8080", **(headers or {})}
    if logged_in:
        given["cookie"] = f"{COOKIE}={api.bearer.removeprefix('Bearer ')}"

    bodies = [body]

    async def receive() -> dict[str, Any]:
        if not bodies:  # whoever streams an answer waits here for the client to go away
            await anyio.sleep_forever()
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    name, _, query = path.partition("?")
    scope = {
        **{"type": "http", "method": method, "path": name, "query_string": query.encode(), "scheme": "http"},
        **{"server": (at, 8080), "client": client, "headers": [(n.encode(), v.encode()) for n, v in given.items()]},
    }
    anyio.run(api.apps.web, scope, receive, send)
    return Answer(messages)


def get(api: Api, path: str, **options: Any) -> Answer:
    """A page."""
    return visit(api, path, **options)


def post(api: Api, path: str, form: list[tuple[str, str]], *, headers: dict[str, str] = OWN, **options: Any) -> Answer:
    """A form that is sent from a page of this server, unless the headers say otherwise."""
    return visit(api, path, method="POST", headers=headers, body=urlencode(form).encode(), **options)
