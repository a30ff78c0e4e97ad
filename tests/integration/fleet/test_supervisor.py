"""The supervisor's loop, in a thread, with fake daemons and a fake server."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clearml_hpo.core.errors import AgentError
from clearml_hpo.fleet import AgentSlot, daemon, restarts, supervisor
from clearml_hpo.fleet.state import AgentState, FleetFolder, Plan
from clearml_hpo.fleet.supervisor import Supervisor
from clearml_hpo.machine.background import is_running
from tests.unit.fleet.fake_client import FakeClient

from .conftest import eventually
from .fake_daemons import command

PLAN = Plan("default", (AgentSlot("cpu0", "trials"), AgentSlot("cpu1", "trials")))
Running = Callable[..., Supervisor]
IDLE = "while True: idle(); time.sleep(0.05)"
BUSY = """
say("task 11aa pulled from q1 by worker w"); say("Running task '11aa'")
subprocess.Popen(["sleep", "600"]).wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> FleetFolder:
    return FleetFolder(tmp_path, "default")


@pytest.fixture
def running(
    folder: FleetFolder, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Supervisor]]:
    threads = []

    def run(body: str, **options: Any) -> Supervisor:
        monkeypatch.setattr(daemon, "command", lambda slot: command(body))
        subject = Supervisor(folder, PLAN, client, **options)  # type: ignore[arg-type]
        thread = threading.Thread(target=subject.run)
        thread.start()
        threads.append((subject, thread))
        return subject

    yield run
    for subject, thread in threads:
        subject.stop(at_once=True)
        thread.join(30)
        assert not thread.is_alive()


def _agents(folder: FleetFolder) -> tuple[AgentState, ...]:
    fleet = folder.read_fleet()
    return fleet.agents if fleet else ()


def _all(folder: FleetFolder, phase: str) -> bool:
    agents = _agents(folder)
    return bool(agents) and all(agent.phase == phase for agent in agents)


def test_it_runs_and_ends_without_a_trace(running: Running, folder: FleetFolder, client: FakeClient) -> None:
    subject = running(IDLE)
    eventually(lambda: _all(folder, "idle"))
    fleet = folder.read_fleet()
    assert fleet is not None and fleet.pid == os.getpid()
    assert fleet.tmp is not None and fleet.tmp.is_dir()
    client.workers = [agent.worker_id for agent in fleet.agents]
    subject.stop(at_once=False)
    eventually(lambda: folder.read_fleet() is None)
    assert not any(is_running(agent.pid) for agent in fleet.agents if agent.pid)
    assert not fleet.tmp.exists()
    assert client.queue["tags"] == ["mine"]
    assert len(client.named("workers.unregister")) == 2


def test_a_killed_daemon_is_replaced_and_said_so(
    running: Running, folder: FleetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(IDLE)
    eventually(lambda: _all(folder, "idle"))
    victim = _agents(folder)[1].pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: _agents(folder)[1].restarts == 1 and _all(folder, "idle"))
    assert _agents(folder)[1].pid != victim
    assert _agents(folder)[0].restarts == 0
    assert "exit status -9" in _agents(folder)[1].note


def test_a_task_aborted_with_its_agent_is_not_left_running(
    running: Running, folder: FleetFolder, client: FakeClient
) -> None:
    subject = running(BUSY)
    eventually(lambda: _all(folder, "busy"))
    client.tasks = {"11aa": "in_progress"}
    subject.stop(at_once=True)
    eventually(lambda: folder.read_fleet() is None)
    assert {body["task"] for body in client.named("tasks.stopped")} == {"11aa"}


def test_what_has_not_ended_in_the_time_to_drain_is_lost(
    running: Running, folder: FleetFolder, client: FakeClient
) -> None:
    subject = running(BUSY, drain_s=0.5)
    eventually(lambda: _all(folder, "busy"))
    fleet = folder.read_fleet()
    assert fleet is not None
    client.tasks = {"11aa": "in_progress"}
    subject.terminate()
    eventually(lambda: folder.read_fleet() is None)
    said = {body["status_reason"] for body in client.named("tasks.failed")}
    assert said == {f"lost: agent {agent.worker_id} was ended" for agent in fleet.agents}
    assert client.named("tasks.stopped") == []
    assert client.queue["tags"] == ["mine"]
    assert not any(is_running(agent.pid) for agent in fleet.agents if agent.pid)


def test_idle_agents_need_no_time_to_drain(running: Running, folder: FleetFolder, client: FakeClient) -> None:
    subject = running(IDLE, drain_s=3600.0)
    eventually(lambda: _all(folder, "idle"))
    subject.terminate()
    eventually(lambda: folder.read_fleet() is None)


def test_a_second_termination_does_not_wait(running: Running, folder: FleetFolder, client: FakeClient) -> None:
    subject = running(BUSY, drain_s=3600.0)
    eventually(lambda: _all(folder, "busy"))
    client.tasks = {"11aa": "in_progress"}
    subject.terminate()
    eventually(lambda: _all(folder, "leaving"))
    subject.terminate()
    eventually(lambda: folder.read_fleet() is None)
    assert client.named("tasks.failed") == []
    assert {body["task"] for body in client.named("tasks.stopped")} == {"11aa"}


@pytest.mark.long
@pytest.mark.parametrize("gives_up", [True, False])
def test_agents_that_cannot_start(
    folder: FleetFolder, client: FakeClient, monkeypatch: pytest.MonkeyPatch, gives_up: bool
) -> None:
    monkeypatch.setattr(restarts, "FIRST_DELAY_S", 0.0)
    monkeypatch.setattr(daemon, "command", lambda slot: command("sys.exit(3)"))
    subject = Supervisor(folder, PLAN, client, gives_up=gives_up)  # type: ignore[arg-type]
    if gives_up:
        with pytest.raises(AgentError, match=r"cpu0: died after .* exit status 3; too many quick deaths"):
            subject.run()
        return
    thread = threading.Thread(target=subject.run)
    thread.start()
    eventually(lambda: _all(folder, "failed"))
    assert thread.is_alive()
    subject.stop(at_once=True)
    thread.join(30)


def test_it_ends_with_its_parent(running: Running, folder: FleetFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PARENT_CHECK_S", 0.0)
    running(IDLE, parent=os.getppid() + 1)
    eventually(lambda: folder.read_fleet() is not None)
    eventually(lambda: folder.read_fleet() is None)


def test_a_damaged_record_of_what_runs_is_written_anew(folder: FleetFolder, running: Running) -> None:
    running(IDLE)
    eventually(lambda: folder.read_fleet() is not None)
    before = folder.read_fleet()
    assert before is not None
    (folder.path / "fleet.json").write_bytes(b"damaged")
    eventually(lambda: folder.read_fleet() is not None)
    after = folder.read_fleet()
    assert after is not None and after.supervisor == before.supervisor
