"""The few calls that a contract test makes itself, and scripts that it runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clearml_hpo.server import RunningServer

SCRIPTS = Path(__file__).parent / "scripts"
Script = Callable[..., dict[str, Any]]
_LIMIT_S = 600


class Client:
    """Calls the API over HTTP."""

    def __init__(self, running: RunningServer) -> None:
        self._api = running.address.api
        password = urllib.request.HTTPPasswordMgrWithPriorAuth()
        password.add_password(
            None, self._api, running.address.access_key, running.address.secret_key, is_authenticated=True
        )
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(password)
        )

    def __call__(self, endpoint: str, **data: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._api}/v2.23/{endpoint}", json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        with self._opener.open(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
            return found

    def task(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = self("tasks.get_by_id", task=id_)["task"]
        return found


class Queue(NamedTuple):
    """A queue on the server."""

    id: str
    name: str


@dataclass(frozen=True)
class Agent:
    """A running daemon.

    Attributes:
        worker: its worker id.
        queue: the queue that it serves.
        log_file: what it has said.
    """

    worker: str
    queue: Queue
    log_file: Path

    def log(self) -> str:
        """The last of what it has said."""
        return self.log_file.read_text(errors="replace")[-3000:]


def run_script(name: str, *arguments: str, environ: dict[str, str], cwd: Path) -> dict[str, Any]:
    """Runs one of the scripts; what it printed last on its standard error, which is JSON."""
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / name), *arguments],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return last_json(done.stderr)


def last_json(stderr: str) -> dict[str, Any]:
    """The last JSON object that a script has printed; threads of the SDK may say something after it."""
    line = next(line for line in reversed(stderr.splitlines()) if line.startswith("{"))
    found: dict[str, Any] = json.JSONDecoder().raw_decode(line)[0]
    return found


class Trainer:
    """Takes the tasks of a queue by the agents' calls, and reports two scores for each instead of running anything."""

    def __init__(self, call: Client, queue: Queue) -> None:
        self._call = call
        self._queue = queue
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Trainer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._ends.wait(0.05):
            while entry := self._call("queues.get_next_task", queue=self._queue.id).get("entry"):
                self._train(entry["task"])

    def _train(self, task: str) -> None:
        self._call("tasks.started", task=task, force=True)
        parameters = self._call.task(task)["hyperparams"]["General"]
        for iteration in range(2):
            score = {"metric": "validation", "variant": "score", "value": float(parameters["lr"]["value"])}
            self._call("events.add", type="training_stats_scalar", task=task, iter=iteration, **score)
        self._call("tasks.completed", task=task)
