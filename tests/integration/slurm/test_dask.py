"""Studies on Dask clusters whose workers are jobs of a real Slurm."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from clearml_hpo.testing import executor_contract
from clearml_hpo.testing.executor_contract import eventually
from tests.integration.dask.test_devices_and_tls import tls
from tests.integration.slurm.test_workers import attempts

__all__ = ["tls"]

pytestmark = [pytest.mark.long, pytest.mark.embedded]

DOCS = (Path(__file__).parents[3] / "docs/slurm.md").read_text().replace("\n", " ")
SIZES = {"scale": "scale: 2", "adapt": "adapt: {minimum: 0, maximum: 2}"}
OPTIONS = {
    "cores": 1,
    "memory": "200MB",
    "scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
    "worker_extra_args": ["--host", "127.0.0.1"],
    "death_timeout": 60,
}


def on_own_cluster(site, size, **options):
    """The study starts Dask workers as jobs, two at most."""
    asked = json.dumps({"class": "slurm", "options": {**OPTIONS, **options}})
    site.write_study(f"executor: dask, dask: {{cluster: {asked}, {size}}}")


def until_no_job_is_left(site):
    eventually(lambda: not site.slurm.left(), "no job is left", site.state)


@pytest.mark.parametrize("size", SIZES)
def test_a_study_starts_its_workers_and_ends_them(site, size):
    on_own_cluster(site, SIZES[size])
    run = site.run()
    site.until_begun(2)
    assert len(site.slurm.left()) == 2
    site.release()
    assert attempts(site.result(run)) == [(number, 1, "completed") for number in range(4)]
    assert len(site.begun) == len(set(site.begun)) == 4
    until_no_job_is_left(site)


@pytest.mark.exhaustive
def test_what_a_job_ran_that_was_ended_runs_again(site):
    on_own_cluster(site, SIZES["scale"])
    run = site.run("budget.trials=2", "failures.lost_after=30s")
    begun = site.until_begun(2)
    job = site.slurm.left()[0].split()[0]
    site.slurm.run("scancel", job)
    eventually(lambda: site.slurm.states(job) != {job: "RUNNING"}, "the job has ended", site.state)
    site.release(*begun)
    site.until_begun(3)
    assert len(site.slurm.left()) == 1, "the job is not replaced"
    site.release()
    trials = site.result(run)
    assert [trial["state"] for trial in trials] == ["completed"] * 2
    assert sorted(trial["attempt"] for trial in trials) == [1, 2]
    until_no_job_is_left(site)


@pytest.mark.exhaustive
def test_a_job_whose_time_is_over_is_replaced_by_a_cluster_that_adapts(site, monkeypatch):
    on_own_cluster(site, "adapt: {minimum: 1, maximum: 1}", walltime="00:01:00")
    run = site.run("budget.trials=1", "failures.lost_after=30s")
    (lost,) = site.until_begun(1)
    job = site.slurm.left()[0].split()[0]
    monkeypatch.setattr(executor_contract, "DEADLINE_S", 240)  # Slurm ends it within two minutes
    eventually(lambda: site.slurm.states(job) == {job: "TIMEOUT"}, "the time of the job is over", site.state)
    _, again = site.until_begun(2)
    assert again != lost and site.stage.status(lost) in ("failed", "stopped")
    site.release()
    ((number, attempt, state),) = attempts(site.result(run))
    assert (number, state) == (0, "completed") and attempt >= 2
    until_no_job_is_left(site)


def test_a_study_goes_on_after_its_controller_was_killed(site):
    on_own_cluster(site, SIZES["scale"])
    first = site.run()
    begun = site.until_begun(2)
    first.kill()
    first.communicate()
    eventually(lambda: site.logs().count("scheduler-connection-broken") >= 2, "both workers see it", site.state)
    assert len(site.slurm.left()) == 2
    site.release(*begun)
    site.stage.until("completed", *begun)
    until_no_job_is_left(site)
    site.release()
    assert attempts(site.result(site.run())) == [(number, 1, "completed") for number in range(4)]
    assert len(site.begun) == len(set(site.begun)) == 4
    until_no_job_is_left(site)


def submit_cluster(site, *options, of_scheduler=(), of_workers=(), more=""):
    """Jobs of the scheduler and of its workers."""
    site.deploy(*options)
    site.write_study(f"executor: dask, dask: {{scheduler_file: dask-scheduler.json{more}}}")
    scheduler = site.submit("dask-scheduler.sh", "--host", "127.0.0.1", *of_scheduler)
    eventually((site.folder / "dask-scheduler.json").exists, "the scheduler says where it is", site.state)
    return scheduler, site.submit("dask-worker.sh", *of_workers)


def test_scheduler_and_workers_are_jobs(site):
    scheduler, workers = submit_cluster(site, "--jobs", "2", "--idle-timeout", "15s")
    run = site.run()
    site.until_begun(2)
    site.release()
    assert attempts(site.result(run)) == [(number, 1, "completed") for number in range(4)]
    done = {f"{workers}_{number}": "COMPLETED" for number in (0, 1)}
    eventually(lambda: site.slurm.states(workers) == done, "all workers have left by themselves", site.state)
    assert site.slurm.states(scheduler) == {scheduler: "RUNNING"}


def test_a_job_that_is_told_to_end_lets_its_trial_end(site):
    _, worker = submit_cluster(site, "--jobs", "1")
    run = site.run("budget.trials=1")
    site.until_begun(1)
    site.slurm.run("scancel", "--signal=TERM", "--batch", worker)
    eventually(lambda: "waiting for running trials" in site.logs(), "the worker is told to end", site.state)
    site.release()
    assert attempts(site.result(run)) == [(0, 1, "completed")]
    eventually(lambda: site.slurm.states(worker) == {f"{worker}_0": "COMPLETED"}, "the job has ended", site.state)


def test_jobs_that_encrypt(site, tls):
    """With certificates in the folder, and the words of docs/slurm.md."""
    words = {name: shlex.split(found) for name, found in re.findall(r"`sbatch (dask-\w+\.sh) (--[^`]+)`", DOCS)}
    given = {"of_scheduler": words["dask-scheduler.sh"], "of_workers": words["dask-worker.sh"]}
    files = ", tls: {ca: ca.pem, cert: cert.pem, key: key.pem}"
    submit_cluster(site, "--jobs", "1", **given, more=files)
    address = json.loads((site.folder / "dask-scheduler.json").read_text())["address"]
    assert address.startswith("tls://")
    site.release()
    assert attempts(site.result(site.run("budget.trials=2"))) == [(0, 1, "completed"), (1, 1, "completed")]
