from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clearml_hpo.errors import ApiError
from clearml_hpo.fleet import AgentSlot
from clearml_hpo.fleet.agent import Agent, Launch
from clearml_hpo.fleet.processes import end_session

SLOT = AgentSlot("cpu0", "trials")

DAEMON = """
import os, signal, subprocess, sys, time
def say(text): print(text, flush=True)
def idle(): say("No tasks in Queues, sleeping for 0.5 seconds")
def end(*_): say("terminated"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
{body}
"""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeClient:
    """A server of one queue, as far as the fleet asks it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.queue: dict[str, Any] = {"id": "q1", "name": "trials", "tags": ["mine"], "entries": []}
        self.tasks: dict[str, str] = {}
        self.workers: list[str] = []
        self.refuse: set[str] = set()

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        self.calls.append((endpoint, body))
        if endpoint in self.refuse:
            raise ApiError(endpoint, 400, 1, "refused")
        answer: dict[str, Any] = getattr(self, endpoint.replace(".", "_"), lambda **_: {})(**body)
        return answer

    def queues_get_all(self, **_: Any) -> dict[str, Any]:
        return {"queues": [self.queue]}

    def queues_get_by_id(self, **_: Any) -> dict[str, Any]:
        return {"queue": self.queue}

    def queues_update(self, tags: list[str], **_: Any) -> dict[str, Any]:
        self.queue["tags"] = tags
        return {}

    def tasks_get_all(self, id: list[str] | None = None, status: list[str] | None = None, **_: Any) -> dict[str, Any]:
        found = [
            {"id": task, "status": now, "execution": {"queue": "q1"}}
            for task, now in self.tasks.items()
            if (id is None or task in id) and (status is None or now in status)
        ]
        return {"tasks": found}

    def workers_get_all(self) -> dict[str, Any]:
        return {"workers": [{"id": worker} for worker in self.workers]}

    def named(self, endpoint: str) -> list[dict[str, Any]]:
        return [body for name, body in self.calls if name == endpoint]


def command(body: str) -> list[str]:
    """The command line of a fake daemon; ``-S`` makes it start in some milliseconds."""
    return [sys.executable, "-S", "-c", DAEMON.format(body=body)]


def eventually(happened: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


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
