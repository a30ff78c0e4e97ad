"""A server without sockets for unit tests, on a clock that moves only when told to."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from clearml_hpo.server.app import build
from clearml_hpo.server.credentials import Credentials
from clearml_hpo.server.dispatch import Request


class Refused(Exception):
    """The server refused a call: (status, subcode) and the message."""

    def __init__(self, status: int, meta: dict[str, Any]) -> None:
        super().__init__(meta["result_msg"])
        self.code = (status, meta["result_subcode"])


class Api:
    """Calls the dispatcher as a client would."""

    def __init__(self, data_dir: Path) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=timezone.utc)
        self.credentials = Credentials("ACCESS", "secret", "a key to sign tokens with, long enough for HS256")
        self.apps = build(data_dir, self.credentials, self.tick)
        self.dispatcher = self.apps.dispatcher
        self.store = self.apps.store
        self.basic = "Basic " + base64.b64encode(b"ACCESS:secret").decode()
        self.bearer = ""
        self.bearer = f"Bearer {self.send('auth.login', authorization=self.basic)['token']}"
        self._made = 0

    def tick(self) -> datetime:
        """Each look at the clock is a millisecond later, so that all times differ."""
        self.now += timedelta(milliseconds=1)
        return self.now

    def send(
        self,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        authorization: str | None = None,
    ) -> dict[str, Any]:
        """One request; its data. Raises :class:`Refused`."""
        header = self.bearer if authorization is None else authorization
        answer = self.dispatcher.answer(Request(path, body, content_type, header, client="127.0.0.1"))
        envelope = json.loads(answer.body)
        if answer.status != 200:
            raise Refused(answer.status, envelope["meta"])
        data: dict[str, Any] = envelope["data"]
        return data

    def file(self, path: str, **query: str) -> str:
        """What is downloaded by a GET. Raises :class:`Refused`."""
        answer = self.dispatcher.answer(Request(path, authorization=self.bearer, query=query))
        if answer.status != 200:
            raise Refused(answer.status, json.loads(answer.body)["meta"])
        return answer.body.decode()

    def call(self, endpoint: str, /, **data: Any) -> dict[str, Any]:
        """One call; its data. Raises :class:`Refused`."""
        return self.send(f"/v2.23/{endpoint}", json.dumps(data).encode())

    def report(
        self, task: str, *values: tuple[Any, Any], metric: str = "m", variant: str = "v", **also: Any
    ) -> dict[str, Any]:
        """Reports scalars as (iteration, value)."""
        return self.add(
            {"type": "training_stats_scalar", "task": task, "metric": metric, "variant": variant, **also}
            | {"iter": i, "value": y}
            for i, y in values
        )

    def add(self, events: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Sends a batch of events."""
        return self.send("/events.add_batch", "\n".join(map(json.dumps, events)).encode(), "application/json-lines")

    def _name(self, noun: str) -> str:
        self._made += 1
        return f"{noun} {self._made}"

    def task(self, **fields: Any) -> str:
        """A new task."""
        return str(self.call("tasks.create", **{"name": self._name("task"), "type": "training", **fields})["id"])

    def queue(self) -> str:
        """A new queue."""
        return str(self.call("queues.create", name=self._name("queue"))["id"])

    def project(self) -> str:
        """A new project."""
        return str(self.call("projects.create", name=self._name("project"))["id"])

    def model(self, **fields: Any) -> str:
        """A new model."""
        return str(self.call("models.create", **{"name": self._name("model"), "uri": "file:///x", **fields})["id"])

    def get(self, task: str) -> dict[str, Any]:
        """A task."""
        found: dict[str, Any] = self.call("tasks.get_by_id", task=task)["task"]
        return found

    def names(self, **request: Any) -> list[str]:
        """Names of the tasks that match, in order."""
        return [task["name"] for task in self.call("tasks.get_all", only_fields=["name"], **request)["tasks"]]
