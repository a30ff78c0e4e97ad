"""Where a test run works: on which server, in which project there, with which queues.

All that the contract and e2e tests make on their server is in the project :data:`ROOT`, or is a queue whose name begins
so. Hence they can run on a ClearML server that others use (``make test-server``), and leave nothing there.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, count
from typing import Any

import requests

from clearml_hpo.core.errors import ApiError, ClearmlHpoError
from clearml_hpo.machine.settings import ServerAddress, is_local

WANTED = "CLEARML_HPO_TEST_SERVER"
"""Says that the tests are to run on the server that the environment names."""

# Processes of pytest-xdist have that of their first one. Whatever else stood there is not ours to delete.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["TEST_PROJECT"] = f"clearml-hpo-tests-{uuid.uuid4().hex[:8]}"
ROOT = os.environ["TEST_PROJECT"]
"""The project; scripts that tests run find it in ``TEST_PROJECT``."""

_LASTING: set[str] = set()
_ANSWER_S = 600  # the deletion of hundreds of tasks takes its time
_VARIABLES = tuple(ServerAddress(*(field.name for field in fields(ServerAddress))).environ())


def project(*path: str) -> str:
    """The name of a project within the run's own."""
    return "/".join((ROOT, *path))


def queue(name: str, *, lasts: bool = False) -> str:
    """A name for a queue that no other test has; it ``lasts`` if tests of several modules share it."""
    made = f"{ROOT}-{name}-{uuid.uuid4().hex[:8]}"
    if lasts:
        _LASTING.add(made)
    return made


def delete_empty_queues(address: ServerAddress) -> None:
    """Deletes the queues that tests have made by :func:`queue` and left empty, but those that last."""
    call = Calls(address)
    found = call("queues.get_all", name=f"^{ROOT}-", only_fields=["id", "name", "entries"])["queues"]
    for each in found:
        if not each.get("entries") and each["name"] not in _LASTING:
            call("queues.delete", queue=each["id"])


@dataclass(frozen=True)
class NamedServer:
    """A server of which nothing but the address is known; an embedded one has a process and a directory besides."""

    address: ServerAddress


def named_server(environ: Mapping[str, str]) -> NamedServer | None:
    """The server that the environment names, if the run wants that, and that answers.

    Raises:
        ClearmlHpoError: it names none, or that one does not answer.
    """
    if not environ.get(WANTED):
        return None
    missing = [name for name in _VARIABLES if not environ.get(name)]
    if missing:
        raise ClearmlHpoError(f"which ClearML server? set {', '.join(missing)} (docs/testing.md)")
    given = (environ[name].rstrip("/") if name.endswith("_HOST") else environ[name] for name in _VARIABLES)
    server = NamedServer(ServerAddress(*given))
    try:
        Calls(server.address)("users.get_current_user")
    except requests.RequestException as error:
        raise ClearmlHpoError(f"no ClearML server answers at {server.address.api}: {type(error).__name__}") from None
    except ApiError as error:
        raise ClearmlHpoError(f"the ClearML server at {server.address.api} refuses the key pair: {error}") from None
    return server


class Calls:
    """Calls of an administrator, who needs no SDK."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.auth = (address.access_key, address.secret_key)
        self._session.trust_env = not is_local(address.api)  # no proxy knows a server on this machine

    def __call__(self, endpoint: str, **body: object) -> dict[str, Any]:
        answer = self._session.post(f"{self._address.api}/{endpoint}", json=body, timeout=(10, _ANSWER_S))
        said = answer.json()
        if not answer.ok:
            meta = said["meta"]
            raise ApiError(endpoint, answer.status_code, meta["result_subcode"], meta["result_msg"])
        return said["data"]

    def delete_file(self, url: str) -> None:
        """Deletes a file if it is on this server; one that is gone is no error."""
        if url.startswith(f"{self._address.files}/"):
            token = self("auth.login")["token"]
            self._session.delete(url, headers={"Authorization": f"Bearer {token}"}, auth=_Nobody(), timeout=_ANSWER_S)


class _Nobody(requests.auth.AuthBase):
    """Leaves the headers as they are: the file server takes tokens, no key pairs."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def clean(address: ServerAddress) -> list[str]:
    """Deletes all that the run has made on a server; what could not be deleted, a line each."""
    call, left = Calls(address), list[str]()

    def delete(endpoint: str, **body: object) -> dict[str, Any]:
        try:
            return call(endpoint, **body)
        except (ApiError, requests.RequestException) as error:
            left.append(f"{body}: {error}")
            return {}

    projects = call("projects.get_all", name=f"^{ROOT}(/|$)", search_hidden=True)["projects"]
    tasks = set(_tasks_of(call, [each["id"] for each in projects]))
    queues = _queues_of(call, tasks)
    for worker in _workers_of(call, tasks, queues):
        delete("workers.unregister", worker=worker)
    for queue_id in queues:
        delete("queues.delete", queue=queue_id, force=True)
    for each in projects:
        if each["name"] == ROOT:
            gone = delete("projects.delete", project=each["id"], force=True, delete_contents=True)
            for url in chain.from_iterable((gone.get("urls") or {}).values()):
                call.delete_file(url)
    found = call("projects.get_all", name=f"^{ROOT}(/|$)", search_hidden=True)["projects"]
    left += [f"project {each['name']}" for each in found]
    return left + [f"queue {name}" for name in _queues_of(call, tasks).values()]


def _tasks_of(call: Calls, projects: Sequence[str]) -> Iterator[str]:
    asked = {"project": projects, "only_fields": ["id"], "search_hidden": True, "page_size": 500}
    for page in count() if projects else ():
        found = call("tasks.get_all", page=page, **asked)["tasks"]
        yield from (each["id"] for each in found)
        if not found:
            return


def _queues_of(call: Calls, tasks: Collection[str]) -> dict[str, str]:
    """The names of queues by id: those of the tests, and those that the product has made for a study of theirs."""
    found = call("queues.get_all", only_fields=["id", "name"])["queues"]
    of_study = re.compile(r"-([0-9a-f]{32})$")
    return {
        each["id"]: each["name"]
        for each in found
        if each["name"].startswith(ROOT) or ((named := of_study.search(each["name"])) and named[1] in tasks)
    }


def _workers_of(call: Calls, tasks: Collection[str], queues: Collection[str]) -> Iterator[str]:
    """Workers that have died with a task or a queue of the tests, and the other slots of the same processes."""
    workers = call("workers.get_all", last_seen=0)["workers"]
    ours = {
        _process_of(worker["id"])
        for worker in workers
        if (worker.get("task") or {}).get("id") in tasks
        or any(served.get("id") in queues for served in worker.get("queues") or ())
    }
    return (worker["id"] for worker in workers if _process_of(worker["id"]) in ours)


def _process_of(worker: str) -> str:
    """``host:process:slot`` without the slot; agents of one host, ``host:slot``, have nothing in common."""
    process = worker.rpartition(":")[0]
    return process if ":" in process else worker
