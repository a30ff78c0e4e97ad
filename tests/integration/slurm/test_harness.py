"""The Slurm that other tests use is a real one."""

from __future__ import annotations

import pytest

from clearml_hpo.testing.executor_contract import eventually

pytestmark = pytest.mark.long


def test_jobs_wait_run_and_end(slurm, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text('#!/bin/sh\necho "$CUDA_VISIBLE_DEVICES" > $SLURM_ARRAY_TASK_ID\n')
    job = slurm.sbatch("--array=0-2", "--ntasks=1", "--gpus-per-task=1", "--chdir", tmp_path, script)
    ended = {f"{job}_{number}": "COMPLETED" for number in range(3)}
    eventually(lambda: slurm.states(job) == ended, "all three have run", lambda: slurm.states(job))
    assert slurm.left() == []
    assert {(tmp_path / str(number)).read_text().strip() for number in range(3)} <= {"0", "1"}
