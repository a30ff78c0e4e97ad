"""What ``run --local`` starts beside another one, on the server that both use."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from clearml_hpo import fleet
from clearml_hpo.driving.local import local_agents
from clearml_hpo.machine.settings import ServerAddress, Settings
from tests.integration.fleet.conftest import Tasks, eventually

pytestmark = pytest.mark.agent

_NO_PID = 4194304  # above the largest
LONG = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
OTHER = """
import json, sys
from pathlib import Path
from clearml_hpo.driving.local import local_agents
from clearml_hpo.machine.settings import ServerAddress, Settings
settings = Settings(Path(sys.argv[1]))
with local_agents(settings, ServerAddress(**json.loads(sys.argv[2])), sys.argv[3], 1, lambda text: None) as queue:
    print(queue, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home)


def _names(tasks: Tasks) -> set[str]:
    return {queue["name"] for queue in tasks.client.call("queues.get_all", only_fields=["name"])["queues"]}


@pytest.mark.long
def test_each_run_has_a_queue_of_its_own_until_its_end(
    settings: Settings, address: ServerAddress, tasks: Tasks, queue: str
) -> None:
    said: list[str] = []
    with local_agents(settings, address, queue, 1, said.append) as own:
        assert own == f"{queue}-local-{os.getpid()}"
        running = fleet.status(settings.home, name=f"run-{os.getpid()}")
        assert running is not None and {slot.queue for slot in running.slots} == {own}
        task, waiting = tasks.make(LONG), tasks.make(LONG)
        tasks.enqueue(task, own)
        tasks.enqueue(waiting, own)
        eventually(lambda: tasks.status(task) == "in_progress", "the first task runs")
    assert said == [f"starting 1 agent for queue {own!r}"]
    assert own not in _names(tasks)
    assert (tasks.status(task), tasks.status(waiting)) == ("stopped", "created")


@pytest.mark.long
def test_the_end_of_one_run_leaves_the_trials_of_another_alone(
    settings: Settings, address: ServerAddress, tasks: Tasks, queue: str
) -> None:
    line = [sys.executable, "-c", OTHER, str(settings.home), json.dumps(asdict(address)), queue]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(line, text=True, **pipes) as other:
        assert other.stdout is not None
        others = other.stdout.readline().strip()
        task = tasks.make(LONG)
        tasks.enqueue(task, others)
        eventually(lambda: tasks.status(task) == "in_progress", "the other run's task runs")
        with local_agents(settings, address, queue, 1, lambda text: None) as own:
            assert own != others
        assert tasks.status(task) == "in_progress"
        assert others in _names(tasks)
        _, warnings = other.communicate(timeout=60)
    assert (other.returncode, warnings) == (0, "")
    assert tasks.status(task) == "stopped"
    assert others not in _names(tasks)


def test_what_a_killed_run_left_in_its_queue_is_not_run(
    settings: Settings, address: ServerAddress, tasks: Tasks, queue: str
) -> None:
    left = f"{queue}-local-{os.getpid()}"  # a pid comes round again
    tasks.client.call("queues.create", name=left)
    task = tasks.make(LONG)
    tasks.enqueue(task, left)
    with local_agents(settings, address, queue, 1, lambda text: None) as own:
        assert own == left
        assert tasks.status(task) == "created"


def test_tasks_of_agents_that_were_killed_with_their_server_are_lost(address: ServerAddress, tasks: Tasks) -> None:
    host = socket.gethostname()
    zombie = subprocess.Popen(["true"])  # in a container whose first process looks after none, they stay
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    gone = [f"{host}:run-{pid}-cpu0" for pid in (_NO_PID, zombie.pid)]
    others = [f"{host}:run-{os.getpid()}-cpu0", f"elsewhere:run-{_NO_PID}-cpu0", f"{host}:cpu0"]
    made = {worker: tasks.make(LONG) for worker in gone + others}
    for worker, task in made.items():
        tasks.client.call("tasks.started", task=task, force=True)
        tasks.client.call("workers.status_report", worker=worker, timestamp=1, task=task, queues=[])
    fleet.lose_tasks_of_killed_runs(address)
    assert [tasks.look(made[each])["status_reason"] for each in gone] == [f"lost: agent {each} died" for each in gone]
    assert {tasks.status(made[each]) for each in others} == {"in_progress"}
