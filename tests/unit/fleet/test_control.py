from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from clearml_hpo import fleet
from clearml_hpo.backend.codes import QUEUE_CLOSED
from clearml_hpo.core.errors import AgentError
from clearml_hpo.fleet import control
from clearml_hpo.fleet.state import FleetFolder
from clearml_hpo.machine.processes import ProcessId, identify

from .fake_client import FakeClient

SLOTS = fleet.plan_slots(queue="trials", cpu=1)


def _running(home: Path, supervisor: ProcessId, phase: str = "idle") -> fleet.Fleet:
    agent = fleet.AgentState(SLOTS[0], "host:cpu0", phase, None, 0, None, home / "cpu0.log")
    recorded = fleet.Fleet("default", supervisor, (agent,))
    FleetFolder(home, "default").write_fleet(recorded)
    return recorded


def test_no_fleet(tmp_path: Path) -> None:
    assert fleet.status(tmp_path) is None
    assert not fleet.down(tmp_path)
    assert fleet.fleet_names(tmp_path / "none") == ()


def test_a_fleet_that_runs_already_is_left_as_it_is(tmp_path: Path) -> None:
    recorded = _running(tmp_path, identify(os.getpid()))
    assert fleet.status(tmp_path) == recorded
    assert fleet.up(tmp_path, None, SLOTS) == recorded


def test_a_fleet_that_runs_already_with_other_slots_is_an_error(tmp_path: Path) -> None:
    _running(tmp_path, identify(os.getpid()))
    with pytest.raises(
        AgentError, match=r"runs already, with cpu0 on queue trials; give these agents a name of their own \(--name\)"
    ):
        fleet.up(tmp_path, None, fleet.plan_slots(queue="trials", cpu=2))


def test_a_running_fleet_whose_agent_was_given_up_is_said_and_left(tmp_path: Path) -> None:
    _running(tmp_path, identify(os.getpid()), phase="failed")
    (tmp_path / "cpu0.log").write_text("first\nthe reason\n")
    with pytest.raises(AgentError, match=r"(?s)host:cpu0 cannot be started.*the reason"):
        fleet.up(tmp_path, None, SLOTS)
    assert fleet.status(tmp_path) is not None


def test_a_recycled_pid_is_not_a_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_tell_server", lambda fleet, client: None)
    monkeypatch.setattr(control, "configured_server", lambda: None)
    monkeypatch.setattr(control, "Client", lambda address: None)
    _running(tmp_path, ProcessId(os.getpid(), 1.0))
    assert fleet.status(tmp_path) is None
    assert FleetFolder(tmp_path, "default").read_fleet() is None


def test_what_a_killed_supervisor_left_on_the_server_is_put_right(
    tmp_path: Path, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "configured_server", lambda: None)
    monkeypatch.setattr(control, "Client", lambda address: client)
    agent = fleet.AgentState(SLOTS[0], "host:cpu0", "busy", None, 0, "t", tmp_path / "cpu0.log")
    folder = FleetFolder(tmp_path, "default")
    folder.write_fleet(fleet.Fleet("default", ProcessId(os.getpid(), 1.0), (agent,), gates=("q1",)))
    client.queue["tags"] = ["mine", QUEUE_CLOSED]
    client.tasks = {"t": "in_progress"}
    client.workers = ["host:cpu0", "other:cpu0"]
    assert fleet.status(tmp_path) is None
    assert client.queue["tags"] == ["mine"]
    assert [body["task"] for body in client.named("tasks.failed")] == ["t"]
    assert client.named("workers.unregister") == [{"worker": "host:cpu0"}]


def test_old_logs_of_passing_fleets_are_forgotten(tmp_path: Path) -> None:
    _running(tmp_path, identify(os.getpid()))
    for name, age_s in (("old", control.KEEP_LOGS_S + 60), ("new", 60)):
        folder = FleetFolder(tmp_path, name).path
        folder.mkdir()
        os.utime(folder, (time.time() - age_s,) * 2)
    fleet.up(tmp_path, None, SLOTS)
    assert fleet.fleet_names(tmp_path) == ("default", "new")
