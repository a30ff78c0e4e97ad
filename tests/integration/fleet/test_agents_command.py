"""``clearml-hpo agents`` as a person types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.fleet.conftest import DEADLINE_S, Tasks, eventually

pytestmark = pytest.mark.agent
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environ(server_environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {**server_environ, "CLEARML_HPO_HOME": str(tmp_path / "state")}


@pytest.fixture
def agents(environ: dict[str, str], name: str) -> Iterator[Command]:
    def call(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "clearml_hpo", "agents", command, "--name", name, *arguments]
        return subprocess.run(line, env=environ, capture_output=True, text=True, timeout=DEADLINE_S)

    yield call
    call("down", "--now")


@pytest.mark.long
def test_up_status_logs_down(agents: Command, name: str, queue: str) -> None:
    done = agents("up", "--queue", queue, "--cpu", "2")
    assert done.returncode == 0, done.stderr
    assert f"{name}-cpu1" in done.stdout

    fleet = json.loads(agents("status", "--json").stdout)
    assert [agent["phase"] for agent in fleet["agents"]] == ["idle", "idle"]
    assert {agent["slot"]["queue"] for agent in fleet["agents"]} == {queue}

    assert "Listening to queues" in agents("logs", "cpu0", "-n", "500").stdout
    assert "started, pid" in agents("logs").stdout
    unknown = agents("logs", "gpu7")
    assert unknown.returncode == 2
    assert "there are: cpu0, cpu1, supervisor" in unknown.stderr

    assert agents("down").stdout == f"fleet {name} has ended\n"
    assert agents("down").stdout == f"no agents were running (fleet {name})\n"
    assert agents("status").returncode == 1


@pytest.mark.long
def test_run_ends_with_ctrl_c(environ: dict[str, str], tasks: Tasks, agents: Command, name: str, queue: str) -> None:
    line = [sys.executable, "-m", "clearml_hpo", "agents", "run", "--name", name, "--queue", queue, "--cpu", "1"]
    with subprocess.Popen(line, env=environ, stderr=subprocess.PIPE, text=True) as foreground:
        eventually(lambda: any(name in worker for worker in tasks.workers()), "the agent is registered")
        foreground.send_signal(signal.SIGINT)
        _, said = foreground.communicate(timeout=DEADLINE_S)
    assert "agents leave at once" in said
    assert f"fleet {name} has ended" in said
    assert not any(name in worker for worker in tasks.workers())


@pytest.mark.long
@pytest.mark.parametrize(
    ("drain", "status", "reason"),
    [("600s", "completed", ""), ("1s", "failed", "lost: agent ")],
    ids=["ends in time", "does not"],
)
def test_terminated_it_waits_for_its_task(
    environ: dict[str, str], tasks: Tasks, name: str, queue: str, tmp_path: Path, drain: str, status: str, reason: str
) -> None:
    line = [sys.executable, "-m", "clearml_hpo", "agents", "run", "--name", name, "--queue", queue, "--cpu", "1"]
    go = tmp_path / "go"
    begun = tmp_path / "begun"
    task = tasks.make(
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.05)\n"
    )
    with subprocess.Popen([*line, "--drain-timeout", drain], env=environ, stderr=subprocess.PIPE, text=True) as unit:
        eventually(lambda: any(name in worker for worker in tasks.workers()), "the agent is registered")
        tasks.enqueue(task, queue)
        eventually(begun.exists, "its task runs")
        unit.send_signal(signal.SIGTERM)
        if status == "completed":
            assert unit.stderr
            eventually(lambda: "after their current tasks" in unit.stderr.readline(), "it leaves")
            go.touch()
        _, said = unit.communicate(timeout=DEADLINE_S)
    assert unit.returncode == 0, said
    assert tasks.status(task) == status, said
    assert tasks.look(task)["status_reason"].startswith(reason)
    assert not any(name in worker for worker in tasks.workers())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--queue", "ab", "--cpu", "1"], "three characters"),
        (["--queue", "trials", "--gpus", ","], "no agents to plan"),
        (["--cpu", "1"], "--queue"),
    ],
)
def test_bad_input_is_exit_code_2(agents: Command, arguments: list[str], complaint: str) -> None:
    done = agents("up", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
