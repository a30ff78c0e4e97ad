"""Calls to the ClearML server that is configured, each made once, counted."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import Any

import requests

from clearml_hpo.backend.backoff import with_backoff
from clearml_hpo.backend.configured import HOW_TO, configured_server
from clearml_hpo.backend.file_server import FileServer
from clearml_hpo.backend.http import JSON, LINES, Client, http_session
from clearml_hpo.core.errors import ApiError, InputError, ServerError, UnreachableError, is_trouble

CONSOLE = "log"
PLOTS = "metrics/plots"
"""Views of a task's results in ClearML's web app."""

_TIMEOUT_S = (5.0, 60.0)
"""Longest waits for a connection to the server, and for its answer."""
_FIRST_ANSWER_S = 10
"""Longest wait for the first answer of a server."""
_AT_ONCE = 4  # calls: a server answers them one after the other, and is busy while the answers travel


class Api:
    """One connection to the ClearML server that is configured.

    Attributes:
        calls: how often each endpoint was called, the login included.
        file_server: where tasks store files, if not in buckets.
        server_ahead_s: seconds by which the server's clock is ahead of this machine's, to half a second; 0 below one.
    """

    def __init__(self) -> None:
        """Logs in.

        Raises:
            InputError: no server is configured.
            UnreachableError: no server answers at the configured address, or it is in trouble.
            ServerError: the credentials are refused.
        """
        self._asks_again: tuple[Callable[[str], None], Event] | None = None
        self.calls: Counter[str] = Counter()
        self._counting = Lock()
        self._threads: ThreadPoolExecutor | None = None
        server = configured_server()
        if server is None:
            raise InputError(f"no ClearML server is configured: {HOW_TO}")
        self._server = server
        self._client = Client(server.address, token=server.token, verify=server.verify, timeout_s=_TIMEOUT_S)
        self.file_server = FileServer(server.address.files, server.verify, lambda: self._client.token)
        host = server.address.api
        try:
            answer = http_session(host, server.verify).get(f"{host}/debug.ping", timeout=_FIRST_ANSWER_S)
        except requests.RequestException as error:
            raise _unreachable(host, type(error).__name__) from None
        self.server_ahead_s = _ahead(answer.headers.get("Date"))
        if not server.has_login:
            raise ServerError(f"there are no keys for the ClearML server at {host}: {HOW_TO}")
        try:
            self._client.log_in()
        except ApiError as error:
            if is_trouble(error):  # it has gone since it was looked at
                raise _unreachable(host, str(error)) from None
            raise ServerError(f"the ClearML server at {host} refused the login: {error}") from None
        self.calls.update({"debug.ping": 1, "auth.login": 1})

    @contextmanager
    def asking_again(self, on_note: Callable[[str], None], stopped: Event) -> Iterator[None]:
        """Within the block a call is made again and again while the server is in trouble, see ``with_backoff``.

        For what consists of many calls, such as opening a study. One whose answer was lost is done twice then: what
        creates something is to bear that.
        """
        before, self._asks_again = self._asks_again, (on_note, stopped)
        try:
            yield
        finally:
            self._asks_again = before

    @property
    def web(self) -> str:
        """Address of the web pages."""
        return self._server.address.web

    @property
    def files(self) -> str:
        """Address of the file server, or of a bucket in its place."""
        return self.file_server.url

    def task_url(self, project_id: str, task_id: str, view: str = CONSOLE) -> str:
        """The page of a task: its console, as the SDK prints it, or another ``view``."""
        return f"{self.web}/projects/{project_id}/tasks/{task_id}/output/{view}"

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """Calls ``service.action`` and returns the answer's ``data``.

        Raises:
            ApiError: the server refused the call; 503 also if no answer comes within a minute, 502 if it is not a
                ClearML server's.
        """
        return self._send(endpoint, json.dumps(body, allow_nan=False).encode(), JSON)

    def call_each(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any] | ApiError]:
        """Makes calls that do not depend on each other, a few at once: what each answered, or why it was refused.

        The answers are in the order of the calls; the server may get the calls in another one.
        """
        if len(calls) <= 1:
            return [self._try(*call) for call in calls]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="calls at once")
        return [*self._threads.map(self._try, *zip(*calls, strict=True))]

    def send_events(self, events: Iterable[Mapping[str, Any]]) -> int:
        """Sends scalars, plots and log lines in one ``events.add_batch`` (JSON lines).

        A scalar that is NaN or infinite is left out: a server refuses the whole batch that it is in.

        Returns:
            How many were left out.
        """
        events = list(events)
        sound = [event for event in events if _is_sound(event.get("value"))]
        lines = "\n".join(json.dumps(event) for event in sound)
        if lines:
            self._send("events.add_batch", lines.encode(), LINES)
        return len(events) - len(sound)

    def _try(self, endpoint: str, body: Mapping[str, Any]) -> dict[str, Any] | ApiError:
        try:
            return self.call(endpoint, **body)
        except ApiError as error:
            return error

    def _send(self, endpoint: str, body: bytes, kind: str) -> dict[str, Any]:
        if self._asks_again is None:
            return self._send_once(endpoint, body, kind)
        return with_backoff(lambda: self._send_once(endpoint, body, kind), *self._asks_again)

    def _send_once(self, endpoint: str, body: bytes, kind: str) -> dict[str, Any]:
        with self._counting:
            self.calls[endpoint] += 1
        return self._client.send(endpoint, body, kind)


def _unreachable(host: str, why: str) -> UnreachableError:
    return UnreachableError(
        f"no ClearML server answers at {host} ({why}); "
        "check CLEARML_API_HOST or clearml.conf, or add --local to use an embedded server"
    )


def _is_sound(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _ahead(date: str | None) -> float:
    """The header has whole seconds, so that clocks which differ by less than one count as the same."""
    ahead_s = parsedate_to_datetime(date).timestamp() + 0.5 - time.time() if date else 0.0
    return ahead_s if abs(ahead_s) > 1.0 else 0.0
