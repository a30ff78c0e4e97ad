"""``clearml-hpo worker`` as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid

import psutil
import pytest

from clearml_hpo.testing.executor_contract import Stage, eventually
from tests.conftest import unconfigured

WORKER = [sys.executable, "-m", "clearml_hpo", "worker"]


@pytest.fixture
def stage(api, tmp_path):
    return Stage(api, tmp_path, f"worker-{uuid.uuid4().hex[:8]}", 2)


@pytest.fixture
def start(stage):
    """Starts a worker with two slots."""
    started = []

    def start(*arguments, queue=None):
        command = [*WORKER, "--queue", queue or stage.queue, "--cpu", "2", "--threads", "1", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, start_new_session=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _enqueue(stage, *tasks, queue=None):
    for task in tasks:
        stage.api.call("tasks.enqueue", task=task, queue_name=queue or stage.queue)


def says(worker, words):
    """Reads what the worker prints up to the line with these words; False if there is none."""
    return any(words in line for line in iter(worker.stdout.readline, ""))


def _make(stage, *names):
    return [stage.api.call("queues.create", name=name)["id"] for name in names]


def test_it_runs_what_waits_and_leaves(stage, start):
    _make(stage, stage.queue)
    tasks = [stage.held(name) for name in "abc"]
    stage.release(*"abc")
    _enqueue(stage, *tasks)
    output, _ = (worker := start("--once")).communicate(timeout=120)
    assert worker.returncode == 0, output
    assert f"2 slot(s) serve {stage.queue}" in output
    assert {stage.status(task) for task in tasks} == {"completed"}


@pytest.mark.long
def test_the_first_queue_comes_first(stage, start):
    first, second = f"{stage.queue}-first", f"{stage.queue}-second"
    _make(stage, first, second)
    late, early = [stage.held(f"late{i}") for i in range(3)], [stage.held(f"early{i}") for i in range(3)]
    _enqueue(stage, *late, queue=second)
    _enqueue(stage, *early, queue=first)
    worker = start("--queue", second, "--idle-timeout", "1s", queue=first)
    stage.until_begun("early0", "early1")
    stage.release("early0")
    stage.until_begun("early2")
    assert not any(name.startswith("late") for name in stage.begun)
    stage.release("early1", "early2", "late0", "late1", "late2")
    stage.until("completed", *early, *late)
    assert worker.wait(120) == 0


@pytest.mark.long
def test_it_is_among_the_workers_with_what_it_runs(stage, start):
    (queue,) = _make(stage, stage.queue)
    worker = start()
    task = stage.held("a")
    _enqueue(stage, task)
    stage.until_begun("a")

    def mine():
        workers = stage.api.call("workers.get_all")["workers"]
        return [each for each in workers if f":worker-{worker.pid}." in each["id"]]

    eventually(lambda: [each["task"]["id"] for each in mine() if each.get("task")] == [task], "it says what it runs")
    assert [each["queues"][0]["id"] for each in mine()] == [queue, queue]
    stage.release("a")
    worker.terminate()
    assert worker.wait(120) == 0
    eventually(lambda: not mine(), "it is off the list")


@pytest.mark.long
def test_one_signal_lets_what_runs_end(stage, start):
    worker = start()
    runs, waits = stage.held("runs"), stage.held("waits")
    eventually(lambda: stage.api.call("queues.get_all", name=f"^{stage.queue}$")["queues"], "it makes the queue")
    _enqueue(stage, runs)
    stage.until_begun("runs")
    worker.send_signal(signal.SIGINT)
    assert says(worker, "waiting for running tasks; Ctrl-C or SIGTERM again ends them\n")
    _enqueue(stage, waits)
    stage.release("runs", "waits")
    assert worker.wait(120) == 0
    assert (stage.status(runs), stage.status(waits)) == ("completed", "queued")


@pytest.mark.long
def test_what_has_not_ended_in_the_time_to_drain_is_lost(stage, start):
    _make(stage, stage.queue)
    runs = stage.held("runs")
    _enqueue(stage, runs)
    worker = start("--drain-timeout", "0.5s")
    stage.until_begun("runs")
    worker.terminate()
    assert worker.wait(120) == 130
    assert (stage.status(runs), stage.task(runs)["status_reason"]) == ("failed", "lost: its worker was ended")


@pytest.mark.long
def test_two_signals_end_it_and_what_runs_is_lost(stage, start):
    _make(stage, stage.queue)
    runs = stage.held("runs")
    _enqueue(stage, runs)
    worker = start()
    stage.until_begun("runs")
    worker.terminate()
    assert says(worker, "slot(s) serve") and says(worker, "again ends them")
    worker.terminate()
    assert worker.wait(120) == 130
    assert (stage.status(runs), stage.task(runs)["status_reason"]) == ("failed", "lost: its worker was ended")


@pytest.mark.long
def test_killed_it_leaves_nothing_and_the_next_one_says_what_is_lost(stage, start):
    _make(stage, stage.queue)
    runs = stage.held("runs")
    _enqueue(stage, runs)
    worker = start()
    stage.until_begun("runs")
    family = psutil.Process(worker.pid).children(recursive=True)
    assert len(family) == 3  # watchdog, parent, task
    worker.kill()
    eventually(lambda: not any(each.is_running() for each in family), "all are gone")
    assert stage.status(runs) == "in_progress"
    assert start("--once").wait(120) == 0
    assert stage.status(runs) == "failed"
    assert stage.task(runs)["status_reason"].startswith("lost: worker ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "77"], "gpus: no GPU '77' on this machine"),
        (["--cpu", "0"], "'--cpu': 0 is not in the range"),
        (["--cpu", "1", "--idle-timeout", "soon"], "'soon' is no duration; write seconds, or 90s, 10m"),
        ([], "which queue is to be served? give --queue"),
        (["--cpu", "1", "--queue", "q2"], "queue 'q2': a ClearML queue's name has three characters or more"),
        (["--as-task", "default", "--queue", "q2"], "queue 'q2': a ClearML queue's name has three characters or more"),
        (["--as-task", "no-such-queue"], "--as-task: no queue 'no-such-queue' on the server"),
        (["--as-task", "default", "--gpus", "0"], "--gpus does not go with --as-task"),
    ],
)
def test_bad_input(command, arguments, said):
    queue = ["--queue", "abc"] if arguments else []
    code, output = command("worker", *queue, *arguments)
    assert code == 2 and said in output


def test_gpus_that_are_given_and_not_there_are_no_cores(command, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "77")
    code, output = command("worker", "--queue", "abc")
    assert code == 2 and "CUDA_VISIBLE_DEVICES is '77', and nvidia-smi shows no such GPU" in output


def test_without_a_server_it_says_so(tmp_path):
    environ = {**unconfigured(), "HOME": str(tmp_path), "CLEARML_HPO_HOME": str(tmp_path / "state")}
    done = subprocess.run([*WORKER, "--queue", "abc", "--cpu", "1"], capture_output=True, text=True, env=environ)
    assert done.returncode == 2 and "no ClearML server is configured" in done.stderr


@pytest.mark.long
def test_it_leaves_when_its_queue_is_deleted(stage, start):
    (queue,) = _make(stage, stage.queue)
    worker = start()
    assert says(worker, "slot(s) serve")
    stage.api.call("queues.delete", queue=queue)
    assert worker.wait(120) == 0


def test_a_worker_as_a_task_waits_for_agents(stage, command):
    (queue,) = _make(stage, f"{stage.queue}-agents")
    options = ["--idle-timeout", "10m", "--cpu", "2", "--count", "2"]
    code, output = command("worker", "--queue", stage.queue, "--as-task", f"{stage.queue}-agents", *options)
    assert code == 0 and f"clearml-hpo agents up --queue {stage.queue}-agents" in output
    entries = [entry["task"] for entry in stage.api.call("queues.get_by_id", queue=queue)["queue"]["entries"]]
    assert len(entries) == 2 and all(f"{task} waits in queue {stage.queue}-agents" in output for task in entries)
    task = stage.api.call("tasks.get_by_id", task=entries[0])["task"]
    given = {name: entry["value"] for name, entry in task["hyperparams"]["worker"].items()}
    assert given == {"queue": stage.queue, "idle-timeout": "600.0", "cpu": "2"}


def test_a_task_without_orders(stage, command, monkeypatch):
    monkeypatch.setenv("CLEARML_TASK_ID", task := stage.held("a"))
    code, output = command("worker")
    assert code == 2 and f"worker/queue: task {task} does not say which queue its worker is to serve" in output


@pytest.mark.long
@pytest.mark.agent
def test_a_task_that_asks_for_other_packages_is_run_by_an_agent(stage, start, monkeypatch):
    monkeypatch.setenv("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1")  # pip would want a network
    _make(stage, stage.queue)
    scripts = {
        "completed": "import os, sys\nprint('task', os.environ['CLEARML_TASK_ID'])\n",
        "failed": "raise ValueError('no such depth')\n",
    }
    asked = {"binary": "python3", "entry_point": "a.py", "requirements": {"pip": "there-is-no-such-package == 1.0"}}
    tasks = {status: stage.script("", script={**asked, "diff": text}) for status, text in scripts.items()}
    _enqueue(stage, *tasks.values())
    worker = start("--once")
    for status, task in tasks.items():
        stage.until(status, task)
    output, _ = worker.communicate(timeout=120)
    assert output.count("run by clearml-agent, in a virtual environment: tasks that ask for there-is-no-such") == 1
    assert f"task {tasks['completed']}" in stage.console(tasks["completed"])
    assert "Executing task id" in stage.console(tasks["completed"])
    assert "ValueError: no such depth" in stage.task(tasks["failed"])["status_reason"]


@pytest.mark.long
def test_or_in_this_python_if_that_is_wanted(stage, start):
    _make(stage, stage.queue)
    requirements = {"pip": "there-is-no-such-package == 1.0"}
    script = {"binary": "python3", "entry_point": "a.py", "diff": "print(1)\n", "requirements": requirements}
    task = stage.script("", script=script)
    _enqueue(stage, task)
    assert start("--once", "--no-venv").wait(120) == 0
    assert (stage.status(task), stage.console(task)) == ("completed", "1\n")
