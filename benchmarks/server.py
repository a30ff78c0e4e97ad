"""What the embedded server can do: calls per second and how long they take, start-up, memory, and what grows.

    make bench-server
    python -m benchmarks.server --seconds 2 --tasks 1000 --only get_by_id

``actions``: each by 1, 8 and 32 clients with a connection each, beside a bare app of the same web framework that reads
and answers as many bytes. ``few`` and ``many``: the same by one client with 100 tasks and with 10,000 tasks of 100
scalars. Clients are threads of this process, so that they take a share of the cores too.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import Act, Connection, measured
from benchmarks.place import Place, say, surroundings, temporary_place
from clearml_hpo.server import process as server_process

HERE = Path(__file__).parent
FEW = 100
IDS, BATCH = 200, 500
METRICS = [(f"metric {number}", "value") for number in range(5)]
FIELDS = ["id", "status", "status_reason", "status_message", "last_iteration", "last_update", "last_metrics"]


class Server:
    """The server under test, and the tasks in it."""

    def __init__(self, running: server_process.RunningServer) -> None:
        self.pid, address = running.pid, running.address
        self.address = address
        pair = base64.b64encode(f"{address.access_key}:{address.secret_key}".encode()).decode()
        login = Connection(address.api, f"Basic {pair}")
        self._token = json.loads(login.post("/auth.login", b""))["data"]["token"]
        login.close()
        self._own = self.connect()
        self.tasks: list[str] = []
        self.project = self.call("projects.create", name="benchmark")["id"]
        self.queue = self.call("queues.create", name="benchmark")["id"]
        parameters = {
            str(n): {"section": "General", "name": str(n), "value": "0.5", "type": "float"} for n in range(10)
        }
        made = {"name": "template", "type": "training", "project": self.project}
        self.template = self.call("tasks.create", **made, hyperparams={"General": parameters})["id"]

    def connect(self) -> Connection:
        """Another connection."""
        return Connection(self.address.api, f"Bearer {self._token}")

    def call(self, endpoint: str, /, **data: Any) -> Any:
        """One call; its data."""
        return _call(self._own, endpoint, data)

    def fill(self, tasks: int, scalars: int) -> float:
        """Makes tasks until there are so many, each with ``scalars`` scalars; returns the scalars a second."""
        reported, took = 0, 0.0
        while len(self.tasks) < tasks:
            made = [self._clone() for _ in range(min(50, tasks - len(self.tasks)))]
            began = time.perf_counter()
            for task in made:
                self._own.post("/events.add_batch", _lines(task, 0, scalars), "application/json-lines")
            took += time.perf_counter() - began
            reported += scalars * len(made)
            self.tasks += made
        return round(reported / took)

    def _clone(self) -> str:
        return str(self.call("tasks.clone", task=self.template, new_task_name="a task")["id"])


def _call(connection: Connection, endpoint: str, data: Mapping[str, Any]) -> Any:
    return json.loads(connection.post(f"/v2.23/{endpoint}", json.dumps(data).encode()))["data"]


def _lines(task: str, first: int, number: int) -> bytes:
    """Scalars of some metrics in turn."""
    events = (
        {
            **{"type": "training_stats_scalar", "task": task, "metric": metric, "variant": variant},
            **{"iter": (first + n) // len(METRICS), "value": n / 7, "timestamp": 1_767_225_600_000 + n},
        }
        for n, (metric, variant) in zip(range(number), itertools.cycle(METRICS), strict=False)
    )
    return "\n".join(map(json.dumps, events)).encode()


# --- what is done -----------------------------------------------------------------------------------------------------


def _get_by_id(server: Server) -> Act:
    return lambda connection: _call(connection, "tasks.get_by_id", {"task": random.choice(server.tasks)})


def _get_all(server: Server) -> Act:
    ids = random.sample(server.tasks, min(IDS, len(server.tasks)))
    body = json.dumps({"id": ids, "only_fields": FIELDS, "page_size": IDS}).encode()
    return lambda connection: connection.post("/v2.23/tasks.get_all", body)


def _newest(server: Server) -> Act:
    asked = {"project": [server.project], "order_by": ["-last_update"], "page": 0, "page_size": 50}
    body = json.dumps({**asked, "only_fields": [*FIELDS, "name", "project.name"]}).encode()
    return lambda connection: connection.post("/v2.23/tasks.get_all_ex", body)


def _add_batch(server: Server) -> Act:
    batches = [_lines(server.template, n * BATCH, BATCH) for n in range(20)]
    turn = itertools.count()
    return lambda connection: connection.post(
        "/v2.13/events.add_batch", batches[next(turn) % len(batches)], "application/json-lines"
    )


def _cycle(server: Server) -> Act:
    def act(connection: Connection) -> None:
        made = _call(connection, "tasks.clone", {"task": server.template, "new_task_name": "a clone"})
        _call(connection, "tasks.enqueue", {"task": made["id"], "queue": server.queue})
        _call(connection, "queues.get_next_task", {"queue": server.queue})

    return act


ACTIONS: dict[str, Callable[[Server], Act]] = {
    "get_by_id": _get_by_id,
    "get_all_200": _get_all,
    "newest_50": _newest,
    "add_batch_500": _add_batch,
    "clone_enqueue_pop": _cycle,
}


def by_clients(server: Server, name: str, clients: list[int], seconds: float) -> dict[str, Any]:
    """One action by some numbers of clients; of batches also the scalars a second."""
    found = {}
    for number in clients:
        figures = dict(measured(server.connect, ACTIONS[name](server), number, seconds, server.pid))
        if name == "add_batch_500":
            figures["scalars_per_s"] = round(figures["per_s"] * BATCH)
        found[str(number)] = figures
        say(f"{name}, {number} clients: {figures}")
    return found


# --- the bare app -----------------------------------------------------------------------------------------------------


@contextmanager
def bare_app(size: int) -> Iterator[tuple[str, int]]:
    """Its URL and its process."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "bare_app.py"), str(size)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
    finally:
        process.terminate()
        process.wait()


def bare(server: Server, clients: list[int], seconds: float) -> dict[str, Any]:
    """What is possible: reads and answers as many bytes as ``get_by_id`` does."""
    body = json.dumps({"task": server.template}).encode()
    size = len(server.connect().post("/v2.23/tasks.get_by_id", body))
    with bare_app(size) as (url, pid):
        found = {
            str(n): dict(measured(partial(Connection, url), lambda c: c.post("/", body), n, seconds, pid))
            for n in clients
        }
    say(f"bare app: {found}")
    return {"answer_bytes": size, **found}


# --- start-up and memory ----------------------------------------------------------------------------------------------


def start_s(place: Place, times: int) -> float:
    """Seconds from the command to a server that answers, with all its data, median."""
    data, found = place.folder / "server", []
    for _ in range(times):
        server_process.stop(data)
        began = time.perf_counter()
        server_process.start(data, with_parent=True)
        found.append(time.perf_counter() - began)
    return round(statistics.median(found), 2)


def memory_mb(server: Server) -> float:
    """Resident memory of the server's process."""
    return round(psutil.Process(server.pid).memory_info().rss / 1e6, 1)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """All that was asked for, as one JSON object."""
    names = given.only or list(ACTIONS)
    result = {"benchmark": "server", "settings": vars(given), **surroundings()}
    with temporary_place() as place:
        result["start_s"] = {"empty": start_s(place, given.starts)}
        server = Server(server_process.start(place.folder / "server", with_parent=True))
        server.fill(FEW, given.scalars)
        result["memory_mb"] = {"few": memory_mb(server)}
        result["few"] = {name: by_clients(server, name, [1], given.seconds)["1"] for name in names}
        say(f"making {given.tasks} tasks of {given.scalars} scalars")
        result["filled_scalars_per_s"] = server.fill(given.tasks, given.scalars)
        result["bare"] = bare(server, given.clients, given.seconds)
        result["actions"] = {name: by_clients(server, name, given.clients, given.seconds) for name in names}
        result["many"] = {name: result["actions"][name][str(given.clients[0])] for name in names}
        result["memory_mb"]["many"] = memory_mb(server)
        result["start_s"]["many"] = start_s(place, given.starts)
    return result


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=list(ACTIONS), help="one action; may be given again")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32], help="at once; the first also in `many`")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--scalars", type=int, default=100, help="of each task")
    parser.add_argument("--starts", type=int, default=5)
    print(json.dumps(run(parser.parse_args()), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
