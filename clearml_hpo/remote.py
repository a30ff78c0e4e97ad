"""Trials of a study over HTTP: one file, the standard library alone, Python 3.8 and newer.

    from clearml_hpo import RemoteStudy  # or: curl -O https://hpo.example.org/client.py; from client import ...

    study_file = {                        # as docs/study_file.md says; only the first worker makes the study by it
        "search_space": {"lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}, "epochs": 20},
        "objective": {"metric": "validation/auc", "direction": "maximize"},
        "budget": {"trials": 50},
    }
    # The token is in $CLEARML_HPO_TOKEN, or in the file that $CLEARML_HPO_TOKEN_FILE names.
    study = RemoteStudy("https://hpo.example.org", "boosting", study_file)
    for trial in study.trials():
        with trial:
            for epoch in range(trial.constants["epochs"]):
                auc = train(trial.params["lr"], epoch)
                if trial.report(epoch, auc=auc):
                    break
            else:
                trial.complete(auc=auc)
    print(study.best())

While the gateway is away, requests are sent again for ten minutes. What it refuses is a RemoteError.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import socket
import stat
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

TOKEN = "CLEARML_HPO_TOKEN"
"""The variable that holds the token."""
TOKEN_FILE = "CLEARML_HPO_TOKEN_FILE"
"""The variable that names a file with the token, which only its owner may read."""
_PROJECT = "clearml-hpo-outside"
_TIMEOUT_S = 90.0
"""Longest wait for one answer; the gateway waits 60 s at most for a trial."""
_PATIENCE_S = 600.0
"""How long a request is sent again while the gateway is away."""
_LONGEST_PAUSE_S = 30.0
"""Longest pause between two tries."""
_ASK_S = 30.0
"""Longest wait for a trial in one request; it is asked again."""
_AT_ONCE = 100  # trials that are added in one request
_AGAIN = (429, 502, 503, 504)
_log = logging.getLogger("clearml_hpo.remote")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class RemoteError(Exception):
    """The gateway refuses a request, or does not answer; ``status`` is that of HTTP, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class RemoteStudy:
    """A study of a gateway: hands trials out.

    Args:
        address: of the gateway; ``https``, or ``http`` on this machine.
        name: of the study, in the token's project.
        study_file: a study file's keys and values (search space, objective, ...), by which the study is made if there
            is none.
        project: name or id of the token's project.
        token: default: what :data:`TOKEN` holds, or the file that :data:`TOKEN_FILE` names.
        worker: what this worker calls itself; a worker that starts again under the same name gets its trials back.

    Raises:
        RemoteError: the gateway refuses the token or the study, or does not answer for ten minutes.
        ValueError: there is no token, or it would travel in the open.
    """

    def __init__(
        self,
        address: str,
        name: str,
        study_file: Mapping[str, Any] | None = None,
        *,
        project: str = _PROJECT,
        token: str = "",
        worker: str = "",
    ) -> None:
        self._http = _Http(address, token)
        self.name = name
        self._worker = {"id": worker, "host": socket.gethostname()}
        path = "/projects/{}/studies".format(urllib.parse.quote(project, safe=""))
        if study_file is not None:
            found = self._http.post(path, {"name": name, "study_file": dict(study_file)})
        else:
            found = next((one for one in self._http.get(path) if one["name"] == name), None)
            if found is None:
                raise RemoteError(f"there is no study {name!r} in project {project!r}; give its study_file")
        self.id = str(found["id"])

    def trials(self, count: int | None = None) -> Iterator[RemoteTrial]:
        """Trials, one after the other, until the study gives no more, or there were ``count``.

        One that this worker had when it died comes first.
        """
        number = 0
        while count is None or number < count:
            trial = self.ask(resume=number == 0)
            if trial is None:
                return
            number += 1
            yield trial

    def ask(self, *, resume: bool = False) -> RemoteTrial | None:
        """The next trial; None once the study gives no more. Waits until there is one. Raises RemoteError."""
        body = {"worker": self._worker, "wait_s": _ASK_S, "resume": resume and bool(self._worker["id"])}
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                found = self._http.post(f"/studies/{self.id}/trials:ask", body)
            except RemoteError as error:
                if error.status == 409:
                    return None
                if error.status != 503 or time.monotonic() > until:
                    raise
                continue
            return RemoteTrial(self._http, found[0])

    def best(self) -> dict[str, Any] | None:
        """The best completed trial: number, values, params; None if there is none. Raises RemoteError."""
        try:
            found: dict[str, Any] = self._http.get(f"/studies/{self.id}/best")
        except RemoteError as error:
            if error.status != 404:
                raise
            return None
        return found

    def add(self, trials: Sequence[Mapping[str, Any]]) -> list[int]:
        """Adds trials that have ended elsewhere, all or none of each hundred; returns their numbers.

        Each has ``params``, a whole point, and ``values``; perhaps ``state`` (``completed``, ``pruned`` or ``failed``),
        ``step`` and ``reason``. They count in the study's budget of trials. Raises RemoteError.
        """
        numbers: list[int] = []
        for first in range(0, len(trials), _AT_ONCE):
            body = {"trials": [dict(trial) for trial in trials[first : first + _AT_ONCE]]}
            numbers += self._http.post(f"/studies/{self.id}/trials", body)["numbers"]
        return numbers

    def importances(self) -> list[dict[str, float]]:
        """Of each objective, the parameters' shares; empty while too few trials have ended. Raises RemoteError."""
        found: list[dict[str, float]] = self._http.get(f"/studies/{self.id}/importances")
        return found

    def csv(self) -> str:
        """All trials as CSV, safe to open in a spreadsheet. Raises RemoteError."""
        return self._http.text(f"/studies/{self.id}/trials.csv")

    def changes(self, after: str = "") -> Iterator[RemoteChange]:
        """All trials, then each that changes, as it happens, until the study ends; goes on after a cut connection.

        Args:
            after: the id of the last change that is known: what has changed since comes first.

        Raises:
            RemoteError: the token does not count any more, or the gateway does not answer for ten minutes.
        """
        while True:
            for change in self._http.events(f"/studies/{self.id}/events", after):
                after = change.id or after
                yield change
                if change.kind == "ended":
                    return
            time.sleep(random.random())  # it was cut


class RemoteChange:
    """A change of a study.

    Attributes:
        id: names it, for ``changes(after=id)``; empty for the end of the study.
        kind: ``trial``, ``withdrawn`` (its number is free again) or ``ended``.
        data: the trial as it is now: number, state, values, params, ...; for the others number, or reason.
    """

    def __init__(self, id: str, kind: str, data: Mapping[str, Any]) -> None:
        self.id = id
        self.kind = kind
        self.data = dict(data)


class RemoteTokens:
    """The tokens of the user whose token this is, in its project, and who did what there.

    Args:
        address, token: as those of :class:`RemoteStudy`; the token needs ``tokens:self``.

    Raises:
        ValueError: there is no token, or it would travel in the open.
    """

    def __init__(self, address: str, token: str = "") -> None:
        self._http = _Http(address, token)

    def make(
        self, name: str, scopes: Sequence[str] = ("worker",), *, kind: str = "api", valid_s: float | None = None
    ) -> dict[str, Any]:
        """A new token; its text, ``token``, is in this answer alone. None may do more or live longer than this one.

        Args:
            name: what it is for.
            kind: ``api``, or ``hopaas`` for clients of Hopaas.
            valid_s: in seconds; default: 30 days, or as long as this one.

        Raises:
            RemoteError: this one may not make it; or the answer was lost (409), and its text with it: the message has
                the id, by which it is revoked.
        """
        body = {"name": name, "kind": kind, "scopes": list(scopes), "valid_s": valid_s}
        found: dict[str, Any] = self._http.post("/tokens", body)
        return found

    def listed(self, *, of: str = "owner") -> list[dict[str, Any]]:
        """The tokens without their texts, the newest first; ``project``: all of that. Raises RemoteError."""
        return self._paged(f"/tokens?of={of}", "tokens", "after")

    def get(self, token: str = "self") -> dict[str, Any]:
        """A token by its id; ``self`` is this one. Raises RemoteError."""
        found: dict[str, Any] = self._http.get(f"/tokens/{_quoted(token)}")
        return found

    def rotate(self, token: str = "self", overlap_s: float = 86_400.0) -> dict[str, Any]:
        """A new token in place of one, which counts for ``overlap_s`` seconds more. Raises as :meth:`make`."""
        found: dict[str, Any] = self._http.post(f"/tokens/{_quoted(token)}:rotate", {"overlap_s": overlap_s})
        return found

    def revoke(self, token: str) -> dict[str, Any]:
        """Has a token, by its id, refused within 5 s; again is no error. Raises RemoteError."""
        found: dict[str, Any] = self._http.delete(f"/tokens/{_quoted(token)}")
        return found

    def audit(self) -> list[dict[str, Any]]:
        """Who did what in the project, the newest first; needs ``project:admin``. Raises RemoteError."""
        return self._paged("/audit?limit=1000", "acts", "before")

    def _paged(self, path: str, what: str, mark: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page = self._http.get(path)
        while True:
            found += page[what]
            if page["next"] is None:
                return found
            page = self._http.get(f"{path}&{mark}={page['next']}")


class RemoteTrial:
    """One trial. As a context it shows signs of life from a thread, and fails if an exception leaves it.

    Attributes:
        number: of the trial in its study.
        params: hyperparameters by name.
        constants: what all trials are given.
        is_stopped: whether the gateway has said that it is to end.
        reason: why.
    """

    def __init__(self, http: _Http, given: Mapping[str, Any]) -> None:
        self._http = http
        self._id, self._lease = str(given["trial"]), str(given["lease"])
        self.number = int(given["number"])
        self.params: dict[str, Any] = dict(given["params"])
        self.constants: dict[str, Any] = dict(given["constants"])
        self.is_stopped = False
        self.reason = ""
        self._is_ended = False
        self._period_s = max(5.0, (float(given["expires_at"]) - time.time()) / 4)
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RemoteTrial:
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._is_ended or self.is_stopped:
            return
        if error is not None:
            self.fail(f"{type(error).__name__}: {error}")
        else:
            self.fail("its worker left it without a value")

    def report(self, step: int, **values: float) -> bool:
        """Sends scalars of a step; whether the trial is to end. ``auc=0.9`` is the scalar ``.../auc`` of the study."""
        return self.report_values(step, values)

    def report_values(self, step: int, values: Mapping[str, float]) -> bool:
        """As :meth:`report`, by names that may have a title: ``{"validation/auc": 0.9}``. Raises RemoteError."""
        return self._heard(self._say("/reports", reports=[{"step": step, "values": dict(values)}]))

    def complete(self, values: Mapping[str, float] | None = None, **more: float) -> None:
        """Ends the trial with its values; one that has ended stays as it is. Raises RemoteError."""
        self._say(":complete", values={**(values or {}), **more})
        self._is_ended = True

    def fail(self, reason: str) -> None:
        """Ends the trial as failed. Raises RemoteError."""
        self._say(":fail", reason=reason[:4000])
        self._is_ended = True

    def _say(self, what: str, **body: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._http.post(f"/trials/{self._id}{what}", {"lease": self._lease, **body})
        return found

    def _heard(self, verdict: Mapping[str, Any]) -> bool:
        if verdict["prune"] or verdict["stop"]:
            self.is_stopped, self.reason = True, str(verdict["reason"])
        return self.is_stopped

    def _beat(self) -> None:
        while not self._done.wait(self._period_s):
            try:
                if self._heard(self._say(":heartbeat")):
                    return
            except RemoteError:
                pass  # the next report says what is wrong


def _text(answer: Any) -> str:
    return str(answer.read().decode())


def _json(answer: Any) -> Any:
    return json.loads(_text(answer))


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


class _Http:
    """Requests that are sent again, with the same key, until there is an answer."""

    def __init__(self, address: str, token: str) -> None:
        parsed = urllib.parse.urlsplit(address)
        if parsed.scheme != "https" and not (parsed.scheme == "http" and parsed.hostname in _LOOPBACK):
            raise ValueError(f"{address}: only https, or http on this machine: the token would travel in the open")
        self._base = address.rstrip("/") + "/api/v1"
        self._headers = {"Authorization": "Bearer " + (token or _token()), "Content-Type": "application/json"}
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if parsed.hostname in _LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str) -> Any:
        """The answer's JSON. Raises RemoteError."""
        return self._send(urllib.request.Request(self._base + path, headers=self._headers))

    def text(self, path: str) -> str:
        """The answer as it is. Raises RemoteError."""
        return str(self._send(urllib.request.Request(self._base + path, headers=self._headers), _text))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer's JSON. Raises RemoteError."""
        headers = {**self._headers, "Idempotency-Key": uuid.uuid4().hex}
        return self._send(urllib.request.Request(self._base + path, json.dumps(body).encode(), headers))

    def delete(self, path: str) -> Any:
        """The answer's JSON. Raises RemoteError."""
        return self._send(urllib.request.Request(self._base + path, headers=self._headers, method="DELETE"))

    def events(self, path: str, after: str) -> Iterator[RemoteChange]:
        """Of one connection, until it ends. Raises RemoteError: there is none for ten minutes."""
        headers = {**self._headers, **({"Last-Event-ID": after} if after else {})}
        stream = self._send(urllib.request.Request(self._base + path, headers=headers), None)
        with stream:
            said: dict[str, str] = {}
            try:
                for line in stream:
                    name, _, value = line.decode().rstrip("\r\n").partition(": ")
                    if name:
                        said[name] = value
                    elif "data" in said:
                        yield RemoteChange(said.get("id", ""), said.get("event", ""), json.loads(said["data"]))
                        said = {}
            except (OSError, ValueError, http.client.HTTPException):
                return  # it was cut

    def _send(self, request: urllib.request.Request, read: Callable[[Any], Any] | None = _json) -> Any:
        """What ``read`` makes of the answer; the open answer without it."""
        until, pause_s, is_said = time.monotonic() + _PATIENCE_S, 0.5, False
        while True:
            try:
                answer = self._opener.open(request, timeout=_TIMEOUT_S)
                if read is None:
                    return answer
                with answer:
                    return read(answer)
            except urllib.error.HTTPError as error:
                said = _detail(error)
                if error.code not in _AGAIN or time.monotonic() > until:
                    raise RemoteError(said, error.code) from None
                why = said
                wait_s = float(error.headers.get("Retry-After") or pause_s)
            except (OSError, ValueError, http.client.HTTPException) as error:  # no answer, or half of one
                if time.monotonic() > until:
                    raise RemoteError(f"the gateway does not answer: {error}") from None
                why, wait_s = f"no answer ({error})", pause_s
            if not is_said:
                _log.warning("%s: %s; trying again for %d min", self._base, why, _PATIENCE_S // 60)
                is_said = True
            time.sleep(min(wait_s, _LONGEST_PAUSE_S) * (0.5 + random.random() / 2))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would show the token to another server."""

    def redirect_request(self, *args: Any, **named: Any) -> None:
        """None: it counts as an error."""


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read().decode())["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"


def _token() -> str:
    text = os.environ.get(TOKEN, "").strip()
    if text:
        return text
    name = os.environ.get(TOKEN_FILE, "")
    if not name:
        raise ValueError(f"there is no token: set {TOKEN}, or {TOKEN_FILE} to a file that only you may read")
    file = Path(name)
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{file}: other users can read it; run: chmod 600 {file}")
    return file.read_text().strip()
