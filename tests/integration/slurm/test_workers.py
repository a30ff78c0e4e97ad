"""Studies whose workers are jobs of a real Slurm, by the scripts that ``clearml-hpo deploy slurm`` writes."""

from __future__ import annotations

import re

import pytest

from clearml_hpo.testing.executor_contract import eventually
from tests import nvidia_smi

pytestmark = [pytest.mark.long, pytest.mark.embedded]

ENDS = {
    "scancel": ["scancel", "JOB"],
    "killed": ["scancel", "--full", "--signal=KILL", "JOB"],
    "preempted": ["sbatch", "--partition=urgent", "--exclusive", "--wrap=true", "--output=/dev/null"],
}


def attempts(trials):
    return [(trial["number"], trial["attempt"], trial["state"]) for trial in trials]


def test_an_array_of_workers_serves_a_study(site):
    site.deploy("--jobs", "2", "--idle-timeout", "15s")
    run = site.run()
    job = site.submit()
    site.until_begun(2)
    assert set(site.slurm.states(job).values()) == {"RUNNING"}
    site.release()
    trials = site.result(run)
    assert attempts(trials) == [(number, 1, "completed") for number in range(4)]
    assert {trial["task_id"] for trial in trials} == set(site.begun) and len(site.begun) == 4
    assert len({trial["worker"] for trial in trials}) == 2
    eventually(lambda: not site.slurm.left(), "all workers have left by themselves", site.state)
    assert set(site.slurm.states(job).values()) == {"COMPLETED"}
    assert len(re.findall(rf"clearml-hpo-worker-{job}_[01]\.log: ", site.logs())) == 2


def test_each_job_has_a_gpu_of_its_own(site):
    """As Slurm gives it out; that these GPUs are there only ``nvidia-smi`` says."""
    site.environ["PATH"] = nvidia_smi.put(site.folder / "bin", nvidia_smi.FOUR) + f":{site.environ['PATH']}"
    site.deploy("--jobs", "2", "--gpus", "1")
    run = site.run("budget.trials=2")
    site.submit()
    found = [site.environ_of(task) for task in site.until_begun(2)]
    assert {environ["CUDA_VISIBLE_DEVICES"] for environ in found} == {"0", "1"}
    # Libraries such as Lightning would take a trial for a part of the job.
    assert not {"SLURM_NTASKS", "SLURM_PROCID"} & {name for environ in found for name in environ}
    site.release()
    assert {trial["worker"].rpartition(":")[2] for trial in site.result(run)} == {"gpu0", "gpu1"}


@pytest.mark.parametrize("end", ENDS)
def test_what_a_job_ran_that_was_ended_runs_again(site, end):
    site.deploy("--jobs", "1")
    run = site.run("budget.trials=1")
    job = site.submit()
    (lost,) = site.until_begun(1)
    site.slurm.run(*[job if word == "JOB" else word for word in ENDS[end]])
    eventually(lambda: site.slurm.states(job) != {f"{job}_0": "RUNNING"}, "the job has ended", site.state)
    if end == "preempted":
        eventually(lambda: "PENDING" in site.slurm.states(job).values(), "the job waits again", site.state)
        site.slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # it would wait for two minutes
    else:
        site.submit()
    _, again = site.until_begun(2)
    assert again != lost and site.stage.status(lost) == "failed"
    assert site.stage.task(lost)["status_reason"].startswith("lost: ")
    site.release()
    ((number, attempt, state),) = attempts(site.result(run))
    assert (number, state) == (0, "completed") and attempt >= 2


def test_a_job_that_is_told_to_end_lets_its_trial_end(site):
    site.deploy("--jobs", "1")
    run = site.run("budget.trials=1")
    job = site.submit()
    site.until_begun(1)
    site.slurm.run("scancel", "--signal=TERM", "--batch", job)
    eventually(lambda: "waiting for running tasks" in site.logs(), "the worker is told to end", site.state)
    site.release()
    assert attempts(site.result(run)) == [(0, 1, "completed")]
    eventually(lambda: site.slurm.states(job) == {f"{job}_0": "COMPLETED"}, "the job has ended", site.state)


@pytest.mark.exhaustive
def test_at_the_end_of_its_time_a_job_lets_trials_end_as_long_as_it_can(site):
    site.deploy("--jobs", "1", "--cpu", "2", "--walltime", "60s", "--drain-timeout", "15s")
    run = site.run("budget.trials=3")
    job = site.submit()
    ends, lost = site.until_begun(2)
    eventually(lambda: "waiting for running tasks" in site.logs(), "the worker is told to end", site.state)
    site.release(ends)
    site.stage.until("completed", ends)
    site.stage.until("failed", lost)
    assert site.stage.task(lost)["status_reason"] == "lost: its worker was ended"
    eventually(lambda: site.slurm.states(job) == {f"{job}_0": "FAILED"}, "the job has ended", site.state)
    assert len(site.begun) == 2, "it takes no more trials"
    site.release()
    site.submit()
    trials = site.result(run)
    assert [trial["state"] for trial in trials] == ["completed"] * 3
    assert [trial["attempt"] for trial in trials if trial["task_id"] != ends].count(2) == 1


def test_a_study_goes_on_after_its_controller_was_killed(site):
    site.deploy("--jobs", "2")
    first = site.run()
    site.submit()
    begun = site.until_begun(2)
    first.kill()
    first.communicate()
    site.release(*begun)
    site.until_begun(4)
    run = site.run()
    site.release()
    assert attempts(site.result(run)) == [(number, 1, "completed") for number in range(4)]
    assert len(site.begun) == len(set(site.begun)) == 4
