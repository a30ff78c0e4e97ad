"""The example on Dask: on a cluster of its own, and on one whose processes are killed one after the other."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from clearml_hpo.machine.background import is_running

pytestmark = [pytest.mark.embedded, pytest.mark.long]

STUDY = "examples/08_dask/study.yaml"
_STEP_S = 0.2
_WAIT_S = 120


def test_on_a_cluster_of_its_own(machine, tmp_path):
    out = tmp_path / "out.json"
    words = ["run", STUDY, "--local", "--dask-cluster", "local", "--set", "budget.trials=6", "--output", str(out)]
    code, output = machine.run(*words)
    assert code == 0, output
    result = json.loads(out.read_text())
    assert result["status"] == "completed" and len(result["trials"]) == 6
    assert re.search(r"Dask at tcp://127\.0\.0\.1:\d+: .*dashboard http", output)
    machine.wait_until_nothing_runs()


SCRIPT = """
from clearml_hpo import Study

study = Study.create(
    "from-python", "train.py", {"x": {"type": "float", "low": 0, "high": 1}}, "validation/loss",
    direction="minimize", trials=3,
    execution={"executor": "dask", "dask": {"cluster": "local"}, "local": {"cpu": 2}},
)
"""
TRAIN = """
from clearml import Task
task = Task.init("tests", "dask")
values = task.connect({"x": 0.5})
task.get_logger().report_scalar("validation", "loss", values["x"], 0)
"""


def test_a_script_of_python_starts_a_cluster_below_its_guard(machine, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "bare.py").write_text(f"{SCRIPT}\nprint(study.run(local=True).best.value)\n")
    (tmp_path / "guarded.py").write_text(
        f"{SCRIPT}\nif __name__ == '__main__':\n    print('best is', study.run(local=True).best.value)\n"
    )
    line = ["sh", "-c", 'cd "$1" && exec "$2" "$3"', "sh", str(tmp_path), sys.executable]
    code, output = machine.run("bare.py", command=line)
    assert code == 1 and 'below `if __name__ == "__main__":` in' in output, output
    code, output = machine.run("guarded.py", command=line)
    assert code == 0 and "best is 0." in output, output


def test_a_study_whose_cluster_cannot_be_started_has_failed_and_is_held_by_nobody(machine, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.yaml").write_text(
        """
study: bad-cluster
template: {script: train.py}
search_space: {x: {type: float, low: 0, high: 1}}
objective: {metric: validation/loss, direction: minimize}
budget: {trials: 2}
execution: {executor: dask, dask: {cluster: {class: slurm, options: {cores: 1, memory: 1GB, bogus: 1}}, scale: 1}}
"""
    )
    assert machine.run("server", "start")[0] == 0
    try:
        for words in (["run", str(tmp_path / "study.yaml")], ["resume", "bad-cluster"]):
            code, output = machine.run(*words)
            assert code == 2 and "execution.dask.cluster: slurm cannot be started" in output, output
            assert "held by" not in output and "waiting" not in output
            code, output = machine.run("study", "list", "--format", "json")
            studies = json.loads(output[output.index("[") :])
            assert [each["status"] for each in studies if each["name"] == "bad-cluster"] == ["failed"], studies
    finally:
        machine.run("server", "stop")


@pytest.fixture
def scheduler():
    """Where one will be."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def test_each_process_is_killed_in_turn(machine, tmp_path, scheduler):
    """No trial is lost, and none counts twice."""
    assert machine.run("server", "start")[0] == 0
    started = []

    def start(name, *words):
        log = (tmp_path / f"{name}-{len(started)}.log").open("w+")
        environ = {**machine.environ, "PYTHONUNBUFFERED": "1"}
        line = [sys.executable, "-m", *words]
        process = subprocess.Popen(line, env=environ, stdout=log, stderr=log, start_new_session=True)
        started.append((process, log))
        return process

    def start_scheduler():
        where = ["--host", "127.0.0.1", "--port", scheduler.rpartition(":")[2], "--dashboard-address", "127.0.0.1:0"]
        return start("scheduler", "distributed.cli.dask_scheduler", *where)

    def start_worker():
        return start("worker", "clearml_hpo", "dask", "worker", scheduler, "--cpu", "2")

    def ended():
        """How many trials of the study have ended."""
        code, output = machine.run("study", "trials", "digits-on-dask", "--format", "json")
        live = ("queued", "running")
        return sum(trial["state"] not in live for trial in json.loads(output[output.index("[") :])) if code == 0 else 0

    def until(count):
        deadline = time.monotonic() + _WAIT_S
        while ended() < count:
            assert time.monotonic() < deadline, shown()
            time.sleep(_STEP_S)

    def shown():
        for _, log in started:
            log.seek(0)
        return "\n".join(f"--- {log.name}\n{log.read()}" for _, log in started)

    def kill(process):
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    try:
        first, worker = start_scheduler(), start_worker()
        words = ["clearml_hpo", "run", STUDY, "--dask", scheduler, "--set", "budget.trials=16", "--set", "pruner=none"]
        controller = start("run", *words)
        until(3)
        os.kill(next(below(worker)), signal.SIGKILL)  # a Dask worker
        until(5)
        kill(worker)  # the command, with its workers
        start_worker()
        until(7)
        kill(first)
        start_scheduler()
        until(9)
        kill(controller)
        out = tmp_path / "out.json"
        code, output = machine.run("resume", "digits-on-dask", "--output", str(out))
        assert code == 0, output + shown()
        result = json.loads(out.read_text())
        assert result["status"] == "completed"
        assert [trial["number"] for trial in result["trials"]] == list(range(16))
        assert {trial["state"] for trial in result["trials"]} == {"completed"}, output + shown()
        points = [json.dumps(trial["params"], sort_keys=True) for trial in result["trials"]]
        assert len(set(points)) == 16
    finally:
        for process, log in started:
            for each in [*below(process), process.pid]:
                if is_running(each):
                    os.kill(each, signal.SIGKILL)
            process.wait()
            log.close()
        machine.run("server", "stop")
    machine.wait_until_nothing_runs()


def below(process):
    """The Dask workers that a command has started."""
    if process.poll() is not None:
        return
    for child in psutil.Process(process.pid).children(recursive=True):
        if any("spawn_main" in word for word in child.cmdline()):
            yield child.pid
