"""A backup that is made while clients write has all that was answered before it began, and is one state."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from clearml_hpo import server as embedded
from clearml_hpo.server import RunningServer, backup
from clearml_hpo.server.state import DataDir, Listening

from .http_client import Client

pytestmark = pytest.mark.embedded

ROUNDS, WRITERS = 5, 3
DEADLINE_S = 120


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningServer]:
    data = tmp_path / "data"
    data.mkdir()
    DataDir(data).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    yield embedded.start(data)
    embedded.stop(data)
    embedded.stop(tmp_path / "restored")


class Load:
    """Clients that write for as long as the block lasts; ``answered`` is what they were told is done."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._ended = threading.Event()
        self.answered: list[str] = []
        self.trouble: list[Exception] = []
        self._threads = [threading.Thread(target=self._write) for _ in range(WRITERS)]

    def _write(self) -> None:
        client = Client(self._server)
        try:
            while not self._ended.is_set():
                task = client.call("tasks.create", name="a task", type="training")["id"]
                client.call("tasks.enqueue", task=task)
                self.answered.append(task)
        except requests.RequestException as error:
            self.trouble.append(error)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)


@pytest.mark.long
def test_a_backup_under_load(running: RunningServer, tmp_path: Path) -> None:
    whole, restored = tmp_path / "b.tar", tmp_path / "restored"
    address = running.address
    put = Client(running).session.put(f"{address.files}/x/y.bin", b"data", timeout=DEADLINE_S)
    assert put.status_code == 200
    known = [0]
    with Load(running) as load:
        for _ in range(ROUNDS):
            while len(load.answered) < known[-1] + 20 and not load.trouble:
                threading.Event().wait(0.01)
            known.append(len(load.answered))
            backup.write(running.data_dir, whole, files=True, force=True)
    assert not load.trouble
    embedded.stop(running.data_dir)
    backup.restore(whole, restored)
    again = embedded.start(restored)
    assert again.address == running.address  # so keys and links stay valid
    client = Client(again)
    tasks = {
        t["id"]: t
        for t in client.call("tasks.get_all", size=100_000, scroll_id=None, only_fields=["id", "status"])["tasks"]
    }
    assert set(load.answered[: known[-1]]) <= tasks.keys()
    # Status and queue are of one moment.
    entries = [entry["task"] for queue in client.call("queues.get_all")["queues"] for entry in queue["entries"]]
    assert {id_ for id_, task in tasks.items() if task["status"] == "queued"} == set(entries)
    got = client.session.get(f"{again.address.files}/x/y.bin", timeout=DEADLINE_S)
    assert (got.status_code, got.content) == (200, b"data")
