"""A server that is killed under load keeps everything that it had answered."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from clearml_hpo import server as embedded
from clearml_hpo.server import RunningServer
from clearml_hpo.server.state import DataDir, Listening

from .http_client import Client

pytestmark = [pytest.mark.embedded, pytest.mark.long]

ROUNDS, PRODUCERS, AGENTS = 20, 3, 2
ANSWERS_PER_ROUND = range(5, 65, 3)  # each round is killed at another moment
DEADLINE_S = 120


@dataclass
class Answered:
    """What clients were told is done, over all rounds."""

    cloned: list[str] = field(default_factory=list)
    enqueued: list[str] = field(default_factory=list)
    popped: list[str] = field(default_factory=list)
    reported: list[tuple[str, int]] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    DataDir(tmp_path).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    yield tmp_path
    embedded.stop(tmp_path)


def test_nothing_that_was_answered_is_lost(data_dir: Path) -> None:
    server = embedded.start(data_dir, with_parent=True)
    client = Client(server)
    template = client.call("tasks.create", name="template", type="training")["id"]
    queue = client.call("queues.create", name="the queue")["id"]
    answered = Answered()
    for number in ANSWERS_PER_ROUND:
        _load_until_killed(server, template, queue, answered, number)
        _check_database(data_dir / "store.sqlite3")
        server = embedded.start(data_dir, with_parent=True, timeout_s=DEADLINE_S)
    assert len(ANSWERS_PER_ROUND) == ROUNDS
    _check(Client(server), queue, answered)


def _check_database(path: Path) -> None:
    """It is intact as the next server will find it, and so are the queues in it."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        waiting = "SELECT count(*) FROM queue_entries JOIN tasks ON tasks.id = task WHERE status != 'queued'"
        assert database.execute(waiting).fetchone() == (0,)


def _load_until_killed(server: RunningServer, template: str, queue: str, answered: Answered, number: int) -> None:
    """Clients call as fast as they can until the server dies in the middle of it, after so many more reports."""

    def produce(client: Client) -> None:
        task = client.call("tasks.clone", task=template, new_task_name="a clone")["id"]
        answered.cloned.append(task)
        client.call("tasks.enqueue", task=task, queue=queue)
        answered.enqueued.append(task)

    def consume(client: Client) -> None:
        entry = client.call("queues.get_next_task", queue=queue).get("entry")
        if entry is None:
            return
        task = entry["task"]
        answered.popped.append(task)
        for iteration in range(3):
            event = {"type": "training_stats_scalar", "task": task, "metric": "m", "variant": "v"}
            client.call("events.add", **event, iter=iteration, value=iteration)
            answered.reported.append((task, iteration))

    def until_killed(act: Callable[[Client], None]) -> None:
        client = Client(server)
        try:
            while True:
                act(client)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            pass  # it was killed, before or while it answered
        except requests.RequestException as error:
            answered.trouble.append(error)

    before = len(answered.reported)
    threads = [threading.Thread(target=until_killed, args=(act,)) for act in [produce] * PRODUCERS + [consume] * AGENTS]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DEADLINE_S
    while len(answered.reported) < before + number and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(server.pid, signal.SIGKILL)
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not answered.trouble
    assert len(answered.reported) >= before + number


def _check(client: Client, queue: str, answered: Answered) -> None:
    fields = ["id", "status", "execution.queue", "last_iteration"]
    tasks = {
        t["id"]: t for t in client.call("tasks.get_all", size=100_000, scroll_id=None, only_fields=fields)["tasks"]
    }
    queues = client.call("queues.get_all")["queues"]
    entries = [entry["task"] for each in queues for entry in each["entries"]]
    assert set(answered.cloned) <= tasks.keys()
    assert {tasks[id_]["status"] for id_ in answered.enqueued} == {"queued"}
    assert {tasks[id_]["execution"]["queue"] for id_ in answered.enqueued} == {queue}
    # A task is in one queue, once, or in the hands of one agent.
    assert len(entries) == len(set(entries))
    assert {tasks[id_]["status"] for id_ in entries} <= {"queued"}
    assert len(answered.popped) == len(set(answered.popped))
    assert not set(answered.popped) & set(entries)
    # Whoever was killed while it answered may have popped one task that no agent heard of.
    assert len(set(answered.enqueued) - set(answered.popped) - set(entries)) <= AGENTS * ROUNDS
    for task in set(answered.popped):
        told = {iteration for id_, iteration in answered.reported if id_ == task}
        points = client.call("events.scalar_metrics_iter_histogram", task=task)
        assert told <= set(points["m"]["v"]["x"] if points else []), task
        assert tasks[task]["last_iteration"] >= max(told, default=0)
