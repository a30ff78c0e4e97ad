"""A small world on a fresh server, arranged so that a recorded request finds what it found when it was recorded."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from clearml_hpo.server.app import build
from clearml_hpo.server.auth import SYSTEM, Caller
from clearml_hpo.server.credentials import Credentials
from clearml_hpo.server.dispatch import Request

WORKER = "vm:a1"


class World:
    """A server without sockets, and what it takes to bring a task into a given state."""

    def __init__(self, data_dir: Path, credentials: Credentials | None = None) -> None:
        self._data_dir = data_dir
        self.credentials = credentials or Credentials.generate()
        self._apps = build(data_dir, self.credentials)
        self.basic = (
            "Basic "
            + base64.b64encode(f"{self.credentials.access_key}:{self.credentials.secret_key}".encode()).decode()
        )
        self.token = self.send("auth.login", None, authorization=self.basic)[1]["data"]["token"]
        self.project = self._ensure("projects", "smoke/sub")
        self.queue = self._ensure("queues", "the queue")

    def _ensure(self, noun: str, name: str) -> str:
        found = self.call(f"{noun}.get_all", name=f"^{name}$")[noun]
        return str((found[0] if found else self.call(f"{noun}.create", name=name))["id"])

    def close(self) -> None:
        self._apps.store.close()

    def send(
        self, path: str, body: bytes | None, *, content_type: str = "application/json", authorization: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """One request; the status and the envelope, which is empty where the answer is a file."""
        header = authorization if authorization is not None else f"Bearer {self.token}"
        answer = self._apps.dispatcher.answer(Request(path, body or b"", content_type, header, client="127.0.0.1"))
        return answer.status, {} if answer.file_name else json.loads(answer.body)

    def call(self, endpoint: str, **data: Any) -> dict[str, Any]:
        """A call that must succeed; its data."""
        status, envelope = self.send(f"/v2.23/{endpoint}", json.dumps(data).encode())
        assert status == 200, (endpoint, envelope["meta"])
        found: dict[str, Any] = envelope["data"]
        return found

    def log_in(self, given_name: str, family_name: str) -> str:
        """Makes a user, as a log-in by name does; the header of that user's calls."""
        name = f"{given_name} {family_name}"
        fields = {"name": name, "given_name": given_name, "family_name": family_name}
        made = self._apps.store.users.create(fields)
        return f"Bearer {self._apps.authority.issue(caller=Caller(user=made))}"

    def as_the_web_app(self) -> str:
        """The header of what the web app calls before anybody has logged in."""
        return f"Bearer {self._apps.authority.issue(caller=Caller(role=SYSTEM))}"

    def page(self, path: str) -> int:
        """Asks for a page; its status."""
        return self.http("web", "GET", path)[0]

    def http(self, application: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """A request to one of the three applications (api, files, web); status and body of the answer."""
        answer: list[Any] = []

        async def transmit(message: Any) -> None:
            answer.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        given = {"host": "127.0.0.1", "content-length": str(len(body)), **headers}
        scope = {
            **{"type": "http", "method": method, "path": path, "raw_path": b"", "query_string": b"", "scheme": "http"},
            **{"server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9)},
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in given.items()],
        }
        anyio.run(getattr(self._apps, application), scope, receive, transmit)
        return int(answer[0]["status"]), b"".join(message.get("body", b"") for message in answer[1:])

    def files_outside(self) -> set[Path]:
        """The files around the folder of uploads."""
        inside = self._data_dir / "files"
        return {path for path in self._data_dir.rglob("*") if not path.is_relative_to(inside)}

    def unused(self, name: str) -> bool:
        """Whether neither a project nor a queue has that name."""
        known = [self.call(f"{noun}.get_all", name=f"^{name}$")[noun] for noun in ("projects", "queues")]
        return not any(known)

    # --- tasks in a state ---------------------------------------------------------------------------------------------

    def task(self, state: str) -> str:
        """A task in one of the states below."""
        made: str = getattr(self, f"_{state}")()
        return made

    def _created(self) -> str:
        parent = self.call("tasks.create", name="parent", type="training")["id"]
        made = self.call(
            "tasks.create",
            name="smoke",
            type="training",
            comment="made for a test",
            project=self.project,
            parent=parent,
            system_tags=["development"],
            script={
                **{"entry_point": "a.py", "diff": "print(1)", "branch": "", "version_num": "", "working_dir": "."},
                "requirements": {"pip": "clearml", "conda": ""},
            },
            hyperparams={
                "General": {
                    "lr": {"section": "General", "name": "lr", "value": "1", "type": "float", "description": ""}
                },
                "Args2": {"x": {"section": "Args2", "name": "x", "value": "1", "type": "int", "description": ""}},
            },
        )["id"]
        self.call("tasks.edit", task=made, tags=["a"])
        return str(made)

    def _queued(self) -> str:
        made = self._created()
        self.call("tasks.enqueue", task=made, queue=self.queue)
        return made

    def _popped(self) -> str:
        made = self._queued()
        entry = self.call("queues.get_next_task", queue=self.queue)["entry"]
        assert entry["task"] == made
        return made

    def _running(self) -> str:
        """Run by an agent that is alive, with something of everything reported."""
        made = self._popped()
        self.call("workers.register", worker=WORKER, queues=[self.queue])
        self.call("tasks.started", task=made, force=True, status_message="pulled by agent")
        self.call("workers.status_report", worker=WORKER, timestamp=1, task=made, queue=self.queue, queues=[self.queue])
        self.call("tasks.edit", task=made, force=True, runtime={"hostname": "vm"})
        self._report(made)
        self._make_model(made)
        self.store_artifact(made)
        return made

    def _completed(self) -> str:
        made = self._running()
        self.call("workers.status_report", worker=WORKER, timestamp=1, queues=[self.queue])
        self.call("tasks.completed", task=made, status_reason="worker execution done", status_message="Changed")
        return made

    def _completed_and_reset(self) -> str:
        made = self._completed()
        self.call("tasks.reset", task=made)
        return made

    def _report(self, task: str) -> None:
        scalars = [
            {"type": "training_stats_scalar", "metric": metric, "variant": variant, "iter": i, "value": 1 / (i + 1)}
            for metric, variant in (("train", "loss"), ("train", "acc"), ("m", "v"), ("validation", "score"))
            for i in range(50)
        ]
        others: list[dict[str, Any]] = [
            {"type": "training_stats_scalar", "metric": "Summary", "variant": "final", "iter": -(2**31), "value": 3.25},
            {"type": "log", "msg": "hello", "level": "info", "worker": "vm"},
            {"type": "log", "msg": "again", "level": "info", "worker": "vm"},
            {"type": "plot", "metric": "h", "variant": "s", "iter": 0, "plot_str": "{}", "worker": "vm"},
            {
                "type": "training_debug_image",
                "metric": "img",
                "variant": "s",
                "iter": 0,
                "key": "img.jpeg",
                "url": "http://127.0.0.1:8081/img.jpeg",
                "worker": "vm",
            },
        ]
        self.report(task, scalars + others)

    def report(self, task: str, events: Sequence[dict[str, Any]]) -> None:
        """Reports events of a task."""
        lines = [{"timestamp": 1795232172872 + n, "task": task, **event} for n, event in enumerate(events)]
        body = "\n".join(map(json.dumps, lines)).encode()
        status, envelope = self.send("/events.add_batch", body, content_type="application/json-lines")
        assert status == 200 and envelope["data"]["added"] == len(lines), envelope

    def _make_model(self, task: str) -> None:
        self.model = self.call(
            "models.create",
            name="mmm",
            uri="http://127.0.0.1:8081/m.bin",
            project=self.project,
            task=task,
            ready=False,
            framework="custom",
            comment="made for a test",
            labels={},
            design={"design": ""},
        )["id"]

    def store_artifact(self, task: str) -> None:
        """Notes an artifact of a task."""
        artifact = {
            **{"key": "summary", "type": "dict", "mode": "output", "uri": "http://127.0.0.1:8081/summary.json"},
            **{"hash": "f126", "content_size": 2259, "timestamp": 1795233679},
            "type_data": {"preview": "{}", "content_type": "application/json"},
        }
        self.call("tasks.add_or_update_artifacts", task=task, artifacts=[artifact])
