"""A server, fleets that end with the test, and tasks for them; a fake server, and agents whose daemons are fake."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clearml_hpo import fleet
from clearml_hpo.backend.http import Client
from clearml_hpo.fleet.agent import Agent, Launch
from clearml_hpo.fleet.logtail import last_lines
from clearml_hpo.machine.background import is_running
from clearml_hpo.machine.processes import end_session, session_members
from clearml_hpo.machine.settings import ServerAddress
from tests.unit.fleet.fake_client import FakeClient

from .fake_daemons import SLOT, Clock, command

DEADLINE_S = 180.0


def eventually(
    happened: Callable[[], object], what: str = "what the test waits for", timeout_s: float = DEADLINE_S
) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"did not happen in {timeout_s:.0f} s: {what}"
        time.sleep(0.02)


class Tasks:
    """Makes and looks at tasks, as a person at the web page does."""

    def __init__(self, address: ServerAddress) -> None:
        self.client = Client(address)

    def make(self, script: str, name: str = "trial") -> str:
        body = {
            "name": name,
            "type": "training",
            "script": {"entry_point": "trial.py", "working_dir": ".", "diff": script, "binary": "python3"},
        }
        return str(self.client.call("tasks.create", **body)["id"])

    def enqueue(self, task: str, queue: str) -> None:
        self.client.call("tasks.enqueue", task=task, queue_name=queue)

    def look(self, task: str, *fields: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.call("tasks.get_by_id", task=task)["task"]
        return found

    def status(self, task: str) -> str:
        return str(self.look(task)["status"])

    def waiting(self, queue: str) -> list[str]:
        found = self.client.call("queues.get_all", name=f"^{queue}$")["queues"]
        return [entry["task"] for entry in found[0]["entries"]] if found else []

    def tags(self, queue: str) -> list[str]:
        return list(self.client.call("queues.get_all", name=f"^{queue}$")["queues"][0]["tags"])

    def workers(self) -> set[str]:
        return {worker["id"] for worker in self.client.call("workers.get_all")["workers"]}


@pytest.fixture
def address(server: Any) -> ServerAddress:
    found: ServerAddress = server.address
    return found


@pytest.fixture
def tasks(address: ServerAddress) -> Tasks:
    return Tasks(address)


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own."""
    return request.node.name.replace("_", "-")[:40]


@pytest.fixture
def home(tmp_path: Path, server_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where fleets live; all of them end with the test, and nothing of them may be left."""
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    home = tmp_path / "fleets"
    yield home
    for name in fleet.fleet_names(home):
        running = fleet.status(home, name=name)
        if running is not None:
            fleet.down(home, name=name, now=True, timeout_s=DEADLINE_S)
            print("\n".join(last_lines(running.agents[0].log, 60)))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A fleet's name of the test's own, so that worker ids do not meet."""
    return request.node.name.replace("[", "-").replace("]", "")[:40]


def assert_nothing_left(running: fleet.Fleet) -> None:
    assert not is_running(running.pid)
    for agent in running.agents:
        assert agent.pid is None or session_members(agent.pid) == []
    assert running.tmp is None or not running.tmp.exists()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def make_agent(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Agent]]:
    agents: list[Agent] = []

    def make(body: str, **options: Any) -> Agent:
        launch = Launch(SLOT, "host:cpu0", command(body), {}, tmp_path / "agent.log")
        agents.append(Agent(launch, clock=clock, **options))
        return agents[-1]

    yield make
    for agent in agents:
        process = agent.state.process
        if process is not None:
            end_session(process, grace_s=0)
        agent.ended()
