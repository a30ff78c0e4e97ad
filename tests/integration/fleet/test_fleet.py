"""Real daemons against a real (embedded) server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clearml_hpo import fleet
from clearml_hpo.core.errors import AgentError
from clearml_hpo.machine.processes import is_alive
from clearml_hpo.machine.settings import ServerAddress
from tests.integration.fleet.conftest import DEADLINE_S, Tasks, assert_nothing_left, eventually

pytestmark = pytest.mark.agent

QUICK = "print('seen', 1)\n"
LOGGING = """
import os
from clearml import Task
task = Task.init(project_name="fleet", task_name="trial", auto_connect_frameworks=False)
for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS"):
    task.set_user_properties(**{name: os.environ.get(name, "unset")})
for i in range(5):
    task.get_logger().report_scalar("validation", "loss", value=1.0 / (i + 1), iteration=i)
"""
LONG = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"


def _until_file(path: Path) -> str:
    """A script that runs until a file is there."""
    return f"import pathlib, time\nwhile not pathlib.Path({str(path)!r}).exists(): time.sleep(0.05)\n"


def _up(home: Path, address: ServerAddress, slots: tuple[fleet.AgentSlot, ...], name: str) -> fleet.Fleet:
    return fleet.up(home, address, slots, name=name, timeout_s=DEADLINE_S)


def test_a_clone_completes_and_the_fleet_says_so(
    home: Path, address: ServerAddress, tasks: Tasks, queue: str, name: str
) -> None:
    slots = fleet.plan_slots(queue=queue, cpu=1)
    running = _up(home, address, slots, name)
    assert [agent.phase for agent in running.agents] == ["idle"]
    assert {agent.worker_id for agent in running.agents} <= tasks.workers()
    assert _up(home, address, slots, name).pid == running.pid  # once more: nothing changes
    with pytest.raises(AgentError, match="runs already"):
        _up(home, address, fleet.plan_slots(queue=queue, cpu=2), name)

    template = tasks.make(LOGGING)
    clone = tasks.client.call("tasks.clone", task=template, new_task_name="clone")["id"]
    tasks.enqueue(clone, queue)
    eventually(lambda: tasks.status(clone) in ("completed", "failed"), "the clone ends")
    done = tasks.look(clone)
    assert done["status"] == "completed"
    [metric] = done["last_metrics"].values()
    [variant] = metric.values()
    assert (variant["metric"], variant["variant"], variant["count"]) == ("validation", "loss", 5)
    seen = {key: value["value"] for key, value in done["hyperparams"]["properties"].items()}
    assert seen["CUDA_VISIBLE_DEVICES"] == seen["NVIDIA_VISIBLE_DEVICES"] == "none"
    assert int(seen["OMP_NUM_THREADS"]) >= 1

    assert fleet.down(home, name=name, timeout_s=DEADLINE_S)
    assert_nothing_left(running)
    assert fleet.status(home, name=name) is None
    assert not fleet.down(home, name=name)
    assert not {agent.worker_id for agent in running.agents} & tasks.workers()


@pytest.mark.long
def test_a_task_sees_the_gpu_of_its_slot(
    home: Path, address: ServerAddress, tasks: Tasks, queue: str, name: str
) -> None:
    _up(home, address, fleet.plan_slots(queue=queue, gpus=["0"]), name)
    task = tasks.make(LOGGING)
    tasks.enqueue(task, queue)
    eventually(lambda: tasks.status(task) in ("completed", "failed"), "the task ends")
    seen = {key: value["value"] for key, value in tasks.look(task)["hyperparams"]["properties"].items()}
    assert seen["CUDA_VISIBLE_DEVICES"] == seen["NVIDIA_VISIBLE_DEVICES"] == "0"


@pytest.mark.long
def test_draining_ends_the_running_task_and_leaves_the_waiting_ones(
    home: Path, address: ServerAddress, tasks: Tasks, queue: str, name: str, tmp_path: Path
) -> None:
    running = _up(home, address, fleet.plan_slots(queue=queue, cpu=2), name)
    let_go = tmp_path / "let go"
    first, second = tasks.make(_until_file(let_go)), tasks.make(_until_file(let_go))
    waiting = [tasks.make(QUICK) for _ in range(3)]
    for task in (first, second, *waiting):
        tasks.enqueue(task, queue)
    eventually(lambda: tasks.waiting(queue) == waiting, "two tasks are taken")
    eventually(lambda: [tasks.status(task) for task in (first, second)] == ["in_progress"] * 2, "both run")

    with pytest.raises(AgentError, match="have not ended their tasks"):
        fleet.down(home, name=name, timeout_s=3)
    assert [tasks.status(task) for task in (first, second)] == ["in_progress"] * 2
    assert tasks.tags(queue) == []  # other agents may go on
    let_go.touch()
    eventually(lambda: not is_alive(running.supervisor), "the fleet ends")

    assert [tasks.status(task) for task in (first, second)] == ["completed"] * 2
    assert tasks.waiting(queue) == waiting
    assert [tasks.status(task) for task in waiting] == ["queued"] * 3
    assert tasks.tags(queue) == []
    assert_nothing_left(running)


@pytest.mark.long
def test_down_now_aborts_the_running_task(
    home: Path, address: ServerAddress, tasks: Tasks, queue: str, name: str
) -> None:
    running = _up(home, address, fleet.plan_slots(queue=queue, cpu=1), name)
    task, waiting = tasks.make(LONG), tasks.make(QUICK)
    tasks.enqueue(task, queue)
    tasks.enqueue(waiting, queue)
    eventually(lambda: tasks.waiting(queue) == [waiting], "the task is taken")
    assert fleet.down(home, name=name, now=True, timeout_s=DEADLINE_S)
    eventually(lambda: tasks.status(task) == "stopped", "the task is aborted")
    assert tasks.waiting(queue) == [waiting]
    assert_nothing_left(running)


@pytest.mark.long
def test_a_killed_daemon_is_replaced_and_its_task_is_lost(
    home: Path, address: ServerAddress, tasks: Tasks, queue: str, name: str
) -> None:
    running = _up(home, address, fleet.plan_slots(queue=queue, cpu=1), name)
    task, waiting = tasks.make(LONG), tasks.make(QUICK)
    tasks.enqueue(task, queue)
    tasks.enqueue(waiting, queue)
    eventually(lambda: (_status(home, name).task) == task, "the task runs")
    assert running.agents[0].pid is not None
    os.kill(running.agents[0].pid, signal.SIGKILL)

    eventually(lambda: tasks.status(waiting) == "completed", "the new daemon does the waiting task")
    lost = tasks.look(task)
    assert lost["status"] == "failed"
    assert lost["status_reason"].startswith("lost: agent ")
    replaced = _status(home, name)
    assert (replaced.restarts, replaced.pid != running.agents[0].pid) == (1, True)
    assert "exit status -9" in replaced.note


@pytest.mark.long
def test_a_killed_supervisors_agents_are_cleaned_up(
    home: Path, address: ServerAddress, tasks: Tasks, queue: str, name: str
) -> None:
    running = _up(home, address, fleet.plan_slots(queue=queue, cpu=1), name)
    task = tasks.make(LONG)
    tasks.enqueue(task, queue)
    eventually(lambda: _status(home, name).task == task, "the task runs")
    os.kill(running.pid, signal.SIGKILL)
    eventually(lambda: not is_alive(running.supervisor), "the supervisor is dead")
    assert is_alive(running.agents[0].process)
    assert fleet.status(home, name=name) is None
    assert_nothing_left(running)
    assert tasks.status(task) == "failed"
    assert not {agent.worker_id for agent in running.agents} & tasks.workers()


@pytest.mark.long
def test_a_fleet_with_parent_ends_with_it(
    home: Path, address: ServerAddress, tasks: Tasks, queue: str, name: str
) -> None:
    script = (
        "import sys, time; from pathlib import Path; from clearml_hpo import fleet\n"
        "fleet.up(Path(sys.argv[1]), None, fleet.plan_slots(queue=sys.argv[2], cpu=1),"
        f" name=sys.argv[3], with_parent=True, timeout_s={DEADLINE_S})\n"
        "print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(home), queue, name], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == "up\n"
        running = fleet.status(home, name=name)
        assert running is not None
        parent.kill()
    eventually(lambda: not is_alive(running.supervisor), "the fleet ends")
    assert_nothing_left(running)
    assert fleet.status(home, name=name) is None


def test_agents_that_cannot_work_are_an_error_with_the_end_of_their_log(
    home: Path, address: ServerAddress, queue: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ServerAddress(address.api, address.web, address.files, address.access_key, "wrong")
    with pytest.raises(AgentError, match=r"the supervisor did not start; the end of .*supervisor.log"):
        _up(home, broken, fleet.plan_slots(queue=queue, cpu=1), name)
    assert fleet.status(home, name=name) is None


def _status(home: Path, name: str) -> fleet.AgentState:
    running = fleet.status(home, name=name)
    assert running is not None
    return running.agents[0]
