"""What PBS and HTCondor would start, started by hand: there is neither in the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clearml_hpo.deployment import files, htcondor, pbs
from clearml_hpo.deployment.batch import Jobs
from clearml_hpo.testing.executor_contract import Stage
from tests import place

pytestmark = [pytest.mark.long, pytest.mark.embedded]

KINDS = {"pbs": pbs, "htcondor": htcondor}


@pytest.fixture
def stage(server_environ, tmp_path, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    from clearml_hpo.backend.api import Api

    stage = Stage(Api(), tmp_path, place.queue("jobs"), 1)
    stage.api.call("queues.create", name=stage.queue)
    return stage


@pytest.fixture
def start(stage, server_environ, tmp_path):
    """Starts the script of a kind, which has 30 s beside ``end_in`` until the batch system would end it."""
    started = []

    def start(kind, end_in):
        jobs = Jobs(stage.queue, gpus=0, cores=1, drain_s=60, walltime_s=60 + 30 + end_in)
        files.write(KINDS[kind].render_files(jobs), tmp_path)
        environ = {**server_environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        variables = {"PBS_O_WORKDIR": str(tmp_path), "CLEARML_HPO_HOME": str(tmp_path / "state")}
        command = [str(tmp_path / "worker.sh")]
        started.append(subprocess.Popen(command, env={**environ, **variables}, start_new_session=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def held(stage):
    task = stage.held("a")
    stage.api.call("tasks.enqueue", task=task, queue_name=stage.queue)
    return task


def ends_when_released(stage, process, task):
    for line in iter(process.stdout.readline, ""):
        if "waiting for running tasks" in line:
            break
    stage.release("a")
    assert process.wait(60) == 0
    assert stage.status(task) == "completed"


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_whose_time_is_nearly_over_lets_its_trial_end(stage, start, kind):
    task = held(stage)
    process = start(kind, end_in=15)
    stage.until_begun("a")
    ends_when_released(stage, process, task)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_to_the_job_lets_its_trial_end(stage, start, kind):
    task = held(stage)
    process = start(kind, end_in=3600)
    stage.until_begun("a")
    process.send_signal(signal.SIGTERM)
    ends_when_released(stage, process, task)
