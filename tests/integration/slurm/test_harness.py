"""The Slurm that other tests use is a real one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from clearml_hpo.testing.executor_contract import eventually

pytestmark = pytest.mark.long

FILES = sorted((Path(__file__).parents[3] / "deploy/slurm").iterdir())


def test_jobs_wait_run_and_end(slurm, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text('#!/bin/sh\necho "$CUDA_VISIBLE_DEVICES" > $SLURM_ARRAY_TASK_ID\n')
    job = slurm.sbatch("--array=0-2", "--ntasks=1", "--gpus-per-task=1", "--chdir", tmp_path, script)
    ended = {f"{job}_{number}": "COMPLETED" for number in range(3)}
    eventually(lambda: slurm.states(job) == ended, "all three have run", lambda: slurm.states(job))
    assert slurm.left() == []
    assert {(tmp_path / str(number)).read_text().strip() for number in range(3)} <= {"0", "1"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_accepts_the_files_of_the_repository(slurm, path, tmp_path):
    slurm.run("sbatch", "--test-only", path)
    broken = tmp_path / path.name
    broken.write_text(path.read_text().replace("#SBATCH --mem=", "#SBATCH --memory="))
    command = ["sbatch", "--test-only", str(broken)]
    assert subprocess.run(command, env={**os.environ, **slurm.environ}, capture_output=True).returncode != 0
