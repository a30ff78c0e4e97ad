"""One request as a page sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.datastructures import QueryParams

from clearml_hpo.server.auth import Authority
from clearml_hpo.server.dispatch import Dispatcher, Request
from clearml_hpo.server.endpoint import Data
from clearml_hpo.server.files import FileServer
from clearml_hpo.server.store import Store

_TOKEN_LIFE_S = 60
"""Life of the token with which a page calls the API."""


class Mistake(Exception):
    """A page cannot be shown, or an order not be carried out; the message is for users.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Parts:
    """What the pages are made from.

    Attributes:
        local_data: the data directory, if all visitors are on this machine; else None.
    """

    store: Store
    dispatcher: Dispatcher
    authority: Authority
    files: FileServer
    local_data: Path | None = None


@dataclass(frozen=True)
class Visit:
    """One request.

    Attributes:
        parts: what the pages are made from.
        path: the path that was asked for.
        names: what the path says, such as the id of a task.
        query: the rest of the URL.
        form: what was sent.
        is_encrypted: it came by https.
    """

    parts: Parts
    path: str
    names: Mapping[str, str] = field(default_factory=dict)
    query: QueryParams = field(default_factory=QueryParams)
    form: QueryParams = field(default_factory=QueryParams)
    is_encrypted: bool = False

    @property
    def store(self) -> Store:
        """What the server remembers."""
        return self.parts.store

    def call(self, endpoint: str, /, **data: Any) -> Data:
        """Calls an endpoint of this server, whose rules hold for users as for programs.

        Raises:
            Mistake: if the call is refused.
        """
        token = self.parts.authority.issue(_TOKEN_LIFE_S)
        request = Request(f"/{endpoint}", json.dumps(data).encode(), "application/json", f"Bearer {token}")
        answer = self.parts.dispatcher.answer(request)
        envelope = json.loads(answer.body)
        if answer.status != 200:
            raise Mistake(envelope["meta"]["result_msg"], answer.status)
        found: Data = envelope["data"]
        return found

    def number(self, name: str, default: int, *, least: int = 0, most: int = 10_000) -> int:
        """A whole number of the query within bounds."""
        text = self.query.get(name, "").strip()
        if not text:
            return default
        if not text.lstrip("-").isdecimal() or not least <= int(text[:20]) <= most:
            raise Mistake(f"{name}={text!r:.60}: a whole number from {least} to {most}")
        return int(text)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the values allowed; the first where the query does not say."""
        value = self.query.get(name) or allowed[0]
        if value not in allowed:
            raise Mistake(f"{name}={value!r:.60}: one of {', '.join(allowed)}")
        return value
