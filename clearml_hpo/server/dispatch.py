"""From an HTTP request to a service's function, and back into ClearML's envelope."""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from clearml_hpo.core.errors import ServerError
from clearml_hpo.server import fields, identity
from clearml_hpo.server.auth import NOBODY, Authority, Caller
from clearml_hpo.server.call_log import CallLog
from clearml_hpo.server.endpoint import Call, Data, Endpoint, Text
from clearml_hpo.server.errors import ApiRefusal, Refusal, invalid_path, unknown_endpoint
from clearml_hpo.server.sizes import largest_body
from clearml_hpo.server.store import Store

_log = logging.getLogger(__name__)
_PATH = re.compile(r"^/*(?:api/)?(?:v(?P<version>\d+\.\d+)/)?(?P<name>[A-Za-z_]+\.[A-Za-z_0-9]+)/*$")
_DIGITS = re.compile(r"^[0-9]{1,100}$")
# A whole number of 19 digits or more, once digits are 0, and what may come before a number is a blank.
_LONG_NUMBER = b" " + b"0" * 19
_NUMBERS = bytes.maketrans(b"0123456789:[,-\t\n\r", b"0000000000       ")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# As deep as documents may be. Beyond some hundreds, Python and SQLite could no longer write and read them.
_DEEPEST = 100
_LARGEST_OPEN = 2**16
_UNKNOWN_NAMES = 1000
_PART = 2**20


@dataclass(frozen=True)
class Request:
    """What the dispatcher needs of an HTTP request."""

    path: str
    body: bytes = b""
    content_type: str = ""
    authorization: str | None = None
    query: Mapping[str, str] | None = None
    client: str = ""
    worker: str = ""
    agent: str = ""


@dataclass(frozen=True)
class Answer:
    """An HTTP status and the envelope, or a text to be saved as a file of that name."""

    status: int
    body: bytes
    file_name: str | None = None


class Dispatcher:
    """Answers requests; knows endpoints only as a table."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        store: Store,
        authority: Authority,
        call_log: CallLog | None = None,
    ) -> None:
        self._call_log = call_log
        self._endpoints = endpoints
        self._store = store
        self._authority = authority
        self.calls: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()

    def answer(self, request: Request) -> Answer:
        """The answer to a request; never raises."""
        name, version, endpoint = "", identity.API_VERSION, None
        try:
            name, version = _parse(request.path)
            endpoint = self._find(name, version)
            data = self._run(endpoint, version, request)
            if isinstance(data, Text):
                return Answer(200, data.body.encode(errors="replace"), data.file_name)
            return _envelope(name, version, endpoint, data=data)
        except ApiRefusal as refusal:
            return _envelope(name, version, endpoint, refusal=refusal)
        except ServerError as error:
            _log.error("%s failed: %s", name, error)
            return _envelope(name, version, endpoint, refusal=ApiRefusal(Refusal.INTERNAL, str(error)))
        except Exception:
            # The client learns nothing of the inside; the log has the whole story.
            _log.exception("%s failed", name)
            return _envelope(name, version, endpoint, refusal=ApiRefusal(Refusal.INTERNAL))

    def unless_writing(self) -> contextlib.AbstractContextManager[bool]:
        """Within it, if True, nobody writes to the store and an answer waits for nothing."""
        return self._store.db.unless_writing()

    def largest_body(self, path: str) -> int:
        """Bytes that a request of this path may have."""
        found = _PATH.match(path)
        return largest_body(found["name"] if found else "")

    def refuse(self, path: str, refusal: ApiRefusal) -> Answer:
        """The answer to a request that is refused whatever its body says."""
        name, version, endpoint = "", identity.API_VERSION, None
        try:
            name, version = _parse(path)
            endpoint = self._find(name, version)
        except ApiRefusal as unknown:
            refusal = unknown
        return _envelope(name, version, endpoint, refusal=refusal)

    def _find(self, name: str, version: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            if name in self.unknown or len(self.unknown) < _UNKNOWN_NAMES:
                self.unknown[name] += 1
            raise unknown_endpoint(name, version)
        if _numbers(version) < _numbers(endpoint.version):
            raise unknown_endpoint(name, version)
        self.calls[name] += 1
        return endpoint

    def _run(self, endpoint: Endpoint, version: str, request: Request) -> Data | Text:
        if endpoint.open and len(request.body) > _LARGEST_OPEN:  # the sender is not known yet
            raise ApiRefusal(Refusal.TOO_LARGE)
        if endpoint.name == "auth.login":
            # The one call whose credentials are not a token.
            data = fields.check(endpoint.fields, _data(request))
            return {"token": self._authority.login(request.authorization, expiration_s=data.get("expiration_sec"))}
        caller = self._caller(endpoint, request)
        is_batch = request.content_type.partition(";")[0].strip() == "application/json-lines"
        data, batch = ({}, _lines(request.body)) if is_batch else (_data(request), [])
        with self._noting(endpoint, request, data, batch):
            data = fields.check(endpoint.fields, data)
            if endpoint.last and _numbers(version) > _numbers(endpoint.last):
                raise ApiRefusal(Refusal.NO_LONGER_SUPPORTED, endpoint.instead)
            call = Call(self._store, self._authority, data, batch, request.client, caller, request.worker)
            with identity.acting_for(caller.user or identity.USER_ID), self._store.db.snapshot():
                return endpoint.handler(call)

    def _noting(
        self, endpoint: Endpoint, request: Request, data: Data, batch: list[Any]
    ) -> contextlib.AbstractContextManager[None]:
        if self._call_log is None:
            return contextlib.nullcontext()
        return self._call_log.noting(endpoint.name, request.agent, data, batch)

    def _caller(self, endpoint: Endpoint, request: Request) -> Caller:
        """The caller; :data:`NOBODY` only where a token is not needed and no valid one was sent."""
        try:
            return self._authority.check_header(request.authorization)
        except ApiRefusal:
            if endpoint.open:
                return NOBODY
            raise


def _parse(path: str) -> tuple[str, str]:
    found = _PATH.match(path)
    if found is None:
        raise invalid_path(path)
    return found["name"], found["version"] or identity.API_VERSION


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def _data(request: Request) -> Data:
    """The fields of a request: those of the body, and others of the query; an empty list or null has none."""
    # In a query as in JSON, digits alone are a number.
    asked = {name: int(text) if _DIGITS.match(text) else text for name, text in (request.query or {}).items()}
    if not request.body.strip():
        return asked
    data = _load(request.body)
    if data not in (None, []) and not isinstance(data, dict):
        raise ApiRefusal(Refusal.BAD_REQUEST, "the body must be a JSON object")
    return {**asked, **(data or {})}


def _lines(body: bytes) -> list[Any]:
    lines = body.removeprefix(codecs.BOM_UTF8).splitlines()
    if not all(map(bytes.strip, lines)):
        raise ApiRefusal(Refusal.BAD_REQUEST, "a line of the body is blank")
    return _read(lines) if len(body) <= _PART else [found for part in _parts(lines) for found in _read(part)]


def _parts(lines: list[bytes]) -> Iterator[list[bytes]]:
    """Lines by the mebibyte: while JSON is read no other thread runs."""
    part, size = list[bytes](), 0
    for line in lines:
        if part and size + len(line) > _PART:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield part


def _read(lines: list[bytes]) -> list[Any]:
    # As one array: much faster than each line by itself, which is left for those that are wrong.
    with contextlib.suppress(ApiRefusal):
        data = _load(b"[%s]" % b",".join(lines), _DEEPEST + 1, beside=len(lines) - 1)
        if len(data) == len(lines):
            return _objects(data)
    return _objects([_load(line) for line in lines])


def _objects(lines: list[Any]) -> list[Any]:
    for line in lines:
        if not isinstance(line, dict):
            raise ApiRefusal(Refusal.BAD_REQUEST, f"lines must be JSON objects, found: {type(line).__name__}")
    return lines


def _load(body: bytes, deepest: int = _DEEPEST, beside: int = 0) -> Any:
    """What the body says; ``beside`` so many of its containers none is within another."""
    try:
        data = _loaded(body)
    except (ValueError, RecursionError) as error:
        raise ApiRefusal(Refusal.BAD_REQUEST, f"the body is not JSON: {error}") from None
    if body.count(b"[") + body.count(b"{") > deepest + beside and _is_deeper(data, deepest):
        raise ApiRefusal(Refusal.BAD_REQUEST, f"the body is nested more than {_DEEPEST} deep")
    return data


def _loaded(body: bytes) -> Any:
    """JSON as Python's own module reads it, sooner: orjson makes floats of whole numbers that do not fit 64 bits."""
    if _LONG_NUMBER not in body.translate(_NUMBERS):
        with contextlib.suppress(orjson.JSONDecodeError):  # NaN, half a surrogate pair, or what is no JSON
            return orjson.loads(body)
    text = body.decode("utf-8-sig")
    data = json.loads(text)
    if _SURROGATE.search(text):  # half a surrogate pair is valid JSON, but no text that can be stored
        data = json.loads(json.dumps(data, ensure_ascii=False).encode(errors="replace"))
    return data


def _is_deeper(data: Any, depth: int) -> bool:
    """Whether ``data`` has containers in more than so many containers."""
    level = [data]
    for _ in range(depth + 1):
        level = [
            item
            for each in level
            if isinstance(each, (dict, list))
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def _envelope(
    name: str,
    version: str,
    endpoint: Endpoint | None,
    *,
    data: Data | None = None,
    refusal: ApiRefusal | None = None,
) -> Answer:
    id_ = uuid.uuid4().hex
    code = refusal.code if refusal else 200
    meta = {
        "id": id_,
        "trx": id_,
        "endpoint": {
            "name": name,
            "requested_version": version,
            "actual_version": endpoint.version if endpoint else None,
        },
        "result_code": code,
        "result_subcode": refusal.subcode if refusal else 0,
        "result_msg": str(refusal) if refusal else "OK",
        "error_stack": None,
        "error_data": {},
    }
    return Answer(code, b'{"meta":%s,"data":%s}' % (_written(meta), _written(data or {})))


def _written(value: Mapping[str, Any]) -> bytes:
    """JSON as Python's own module writes it, sooner: orjson makes null of infinity, and has no larger integers."""
    with contextlib.suppress(TypeError):
        written = orjson.dumps(value)
        if written.rfind(b"null") < 0:  # thrice as fast as `in`
            return written
    return json.dumps(value, separators=(",", ":")).encode()
