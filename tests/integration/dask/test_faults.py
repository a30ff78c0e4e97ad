"""What happens to trials when a process of a Dask cluster dies, leaves, or comes late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from distributed import Client

from clearml_hpo.executors.dask import members, tickets, trials
from clearml_hpo.executors.dask.plan import Cluster
from clearml_hpo.testing.executor_contract import DEADLINE_S, eventually
from clearml_hpo.workers.slots import plan_slots
from tests.integration.dask.conftest import dask_worker_pids, kill, settle

pytestmark = [pytest.mark.long, pytest.mark.embedded]


def lost(stage, task):
    stage.until("failed", task)
    return stage.task(task)["status_reason"]


# --- workers ----------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_loses_its_trial_and_comes_back(stage, processes, open_study):
    processes.scheduler()
    worker = processes.worker()
    study = open_study()
    first, second = study.submit("a", "b")
    stage.until_begun("a")
    kill(dask_worker_pids(worker)[0])
    assert lost(stage, first).startswith("lost: worker ")
    stage.until_begun("b")
    stage.release("a", "b")
    stage.until("completed", second)
    assert stage.log == ["begins a", "begins b", "ends b"]
    study.until_said("left")


def test_a_command_that_is_killed_takes_its_workers_and_trials_along(stage, processes, open_study):
    processes.scheduler()
    worker = processes.worker()
    study = open_study()
    (task,) = study.submit("a")
    stage.until_begun("a")
    kill(worker.pid)
    study.until_workers(0)
    processes.worker()
    (other,) = study.submit("b")
    stage.until_begun("b")
    assert lost(stage, task).startswith("lost: worker ")
    stage.release("a", "b")
    stage.until("completed", other)
    assert "ends a" not in stage.log


@pytest.mark.parametrize(
    ("end", "number"),
    [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGINT)],
    ids=["SIGTERM", "SIGTERM to all, as batch systems do", "Ctrl-C"],
)
def test_a_signal_lets_trials_end_and_takes_no_more(stage, processes, open_study, end, number):
    processes.scheduler()
    worker = processes.worker()
    study = open_study()
    runs, waits = study.submit("a", "b")
    stage.until_begun("a")
    end(worker.pid, number)
    processes.until_said(worker, "waiting for running trials")
    stage.release("a", "b")
    assert worker.wait(DEADLINE_S) == 0
    assert (stage.status(runs), stage.status(waits)) == ("completed", "queued")
    processes.worker()
    stage.until("completed", waits)
    assert stage.log == ["begins a", "ends a", "begins b", "ends b"]


@pytest.mark.parametrize("words", [["--drain-timeout", "1s"], []])
def test_after_the_time_to_drain_or_a_second_signal_trials_are_lost(stage, processes, open_study, words):
    processes.scheduler()
    worker = processes.worker(*words)
    study = open_study()
    (task,) = study.submit("a")
    stage.until_begun("a")
    worker.send_signal(signal.SIGTERM)
    processes.until_said(worker, "waiting for running trials")
    if not words:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(DEADLINE_S) == 130, processes.said(worker)
    assert lost(stage, task) == "lost: its Dask worker was ended"


def test_a_worker_that_is_retired_runs_its_trial_to_the_end(stage, processes, open_study):
    processes.scheduler()
    processes.worker()
    study = open_study()
    (task,) = study.submit("a")
    stage.until_begun("a")
    with Client(processes.address) as client:
        (retired,) = client.scheduler_info()["workers"]
        client.retire_workers([retired])
    study.until_workers(0)
    successor = open_study()  # prepares each worker that it finds; this one goes on leaving
    (waits,) = successor.submit("b")
    stage.release("a")
    stage.until("completed", task)
    assert stage.log == ["begins a", "ends a"]
    assert stage.status(waits) == "queued"


def test_workers_leave_when_they_were_idle(processes):
    processes.scheduler()
    worker = processes.worker("--idle-timeout", "1s")
    assert worker.wait(DEADLINE_S) == 0
    assert "no trial for a while: leaving" in processes.said(worker)


def test_adaptive_workers_come_at_once_and_none_that_is_busy_is_closed(stage, open_study):
    slots = plan_slots(cpu=3, threads=1)
    study = open_study(cluster=Cluster("local", adapt={"minimum": 0, "maximum": 3}, slots=slots))
    tasks = study.submit("a", "b", "c", "d")
    stage.until_begun("a", "b", "c")
    stage.release("a", "b")
    stage.until_begun("d")
    settle(5)  # so often a cluster that adapts looks whether it has too many workers: every second, three times
    assert stage.status(tasks[2]) == stage.status(tasks[3]) == "in_progress"
    stage.release("c", "d")
    stage.until("completed", *tasks)
    assert sorted(stage.begun) == ["a", "b", "c", "d"]


def test_workers_that_are_there_count_from_the_first_question_on(processes, open_study):
    processes.scheduler()
    processes.worker("--cpu", "3")
    study = open_study()
    assert study.executor.workers() == {"dask": 3}


def test_threads_that_wait_for_trials_are_not_profiled(processes):
    processes.scheduler()
    processes.worker("--cpu", "2")
    with Client(processes.address) as client:
        (periodic,) = client.run(lambda dask_worker: set(dask_worker.periodic_callbacks)).values()
    assert "heartbeat" in periodic and "profile" not in periodic


def test_workers_of_a_large_cluster_ask_the_server_less_often(stage, processes, open_study, monkeypatch):
    monkeypatch.setattr(tickets, "_WORKERS_A_SECOND", 0.05)
    processes.scheduler()
    processes.worker()
    study = open_study()
    study.until_workers(1)
    (task,) = study.submit("a")
    stage.until_begun("a")
    with Client(processes.address) as client:
        seconds = client.run(lambda dask_worker: trials.TrialPlace.of(dask_worker)._workers._look_s)
    assert list(seconds.values()) == [20.0]
    stage.release("a")
    stage.until("completed", task)


# --- scheduler and controller -----------------------------------------------------------------------------------------


def test_a_scheduler_that_dies_and_comes_back(stage, processes, open_study):
    scheduler = processes.scheduler()
    worker = processes.worker()
    study = open_study()
    runs, waits = study.submit("a", "b")
    stage.until_begun("a")
    kill(scheduler.pid)
    study.until_said("does not answer")
    stage.release("a", "b")
    stage.until("completed", runs)
    processes.until_said(worker, "is gone")
    assert stage.status(waits) == "queued"
    processes.scheduler()
    study.until_said("answers again")
    stage.until("completed", waits)
    assert stage.log == ["begins a", "ends a", "begins b", "ends b"]


def test_what_waits_runs_without_its_controller(stage, processes, environ):
    processes.scheduler()
    processes.worker()
    tasks = [stage.held(name) for name in ("a", "b", "c")]
    code = """
        import sys, time
        from clearml_hpo.backend.api import Api
        from clearml_hpo.executors.dask.executor import DaskExecutor
        from clearml_hpo.executors.dask.plan import DaskPlan
        address, study, *tasks = sys.argv[1:]
        executor = DaskExecutor(Api(), DaskPlan(address=address), study_id=study, on_note=print)
        for task in tasks:
            executor.submit(task, "dask")
        time.sleep(600)
    """
    line = [sys.executable, "-c", textwrap.dedent(code), processes.address, stage.script("", name="study"), *tasks]
    with subprocess.Popen(line) as controller:
        stage.until_begun("a")
        with Client(processes.address) as client:
            sent = lambda: sum(map(len, client.processing().values()))  # noqa: E731
            eventually(lambda: sent() == len(tasks), "all tickets are sent", sent)
            kill(controller.pid)
    stage.release("a", "b", "c")
    stage.until("completed", *tasks)
    assert stage.begun == ["a", "b", "c"]


def test_a_scheduler_and_workers_that_come_later(stage, processes, open_study):
    study = open_study()
    (task,) = study.submit("a")
    study.until_said("does not answer")
    worker = processes.worker_soon()
    processes.until_said(worker, "no Dask scheduler answers")
    processes.scheduler()
    stage.until_begun("a")
    stage.release("a")
    stage.until("completed", task)


# --- workers that cannot ----------------------------------------------------------------------------------------------


def test_a_worker_of_another_version_gets_no_trial(stage, processes, open_study, monkeypatch):
    processes.scheduler()
    processes.worker()
    for module in (members, tickets, trials):
        monkeypatch.setattr(module, "RESOURCE", "clearml-hpo-9.9.9")
    study = open_study()
    (task,) = study.submit("a")
    study.until_said("the controller has clearml-hpo-9.9.9")
    assert study.executor.workers() == {"dask": 0}
    settle(2)
    assert stage.status(task) == "queued"


def test_a_worker_without_this_package_gets_no_trial(stage, processes, open_study, tmp_path):
    (tmp_path / "absent" / "clearml_hpo").mkdir(parents=True)
    (tmp_path / "absent" / "clearml_hpo" / "__init__.py").write_text("raise ImportError('not installed')\n")
    processes.scheduler()
    where = [processes.address, "--host", "127.0.0.1", "--nthreads", "1", "--name", "bare"]
    processes.start("bare", "distributed.cli.dask_worker", *where, PYTHONPATH=str(tmp_path / "absent"))
    study = open_study()
    (task,) = study.submit("a")
    study.until_said("no trial goes to Dask worker bare: it cannot run clearml-hpo")
    processes.worker()
    stage.until_begun("a")
    stage.release("a")
    stage.until("completed", task)


def test_a_worker_of_another_clearml_server_gets_no_trial(stage, processes, open_study):
    processes.scheduler()
    processes.worker("--name", "astray", CLEARML_API_HOST="http://127.0.0.1:9")
    study = open_study()
    (task,) = study.submit("a")
    study.until_said("no trial goes to Dask worker astray: no ClearML server answers at http://127.0.0.1:9")
    eventually(lambda: study.executor.workers() == {"dask": 0}, "it takes none")
    assert stage.status(task) == "queued"


def nobody_knows(patch):
    """Has workers look for a study that is not on their server."""
    made = members.Members.__init__
    patch.setattr(members.Members, "__init__", lambda self, _, on_note: made(self, "0" * 32, on_note))


def test_a_study_that_a_worker_does_not_know_leaves_it_to_those_that_it_knows(
    stage, processes, open_study, monkeypatch
):
    processes.scheduler()
    processes.worker("--name", "shared")
    study = open_study()
    study.until_workers(1)
    with monkeypatch.context() as patch:
        nobody_knows(patch)
        unknown = open_study()
    unknown.until_said("no trial goes to Dask worker shared: its ClearML server does not have this study")
    (task,) = study.submit("a")
    stage.release("a")
    stage.until("completed", task)


def test_a_worker_that_could_not_is_asked_again(stage, processes, open_study, monkeypatch):
    monkeypatch.setattr(members, "_ASK_AGAIN_S", 0.5)
    processes.scheduler()
    processes.worker("--name", "late")
    with monkeypatch.context() as patch:
        nobody_knows(patch)
        study = open_study()
    study.until_said("no trial goes to Dask worker late")
    study.executor._tickets.members._study_id = stage.script("", name="study")  # as if the server had it by now
    study.until_said("trials go to Dask worker late now")
    study.until_workers(1)


def test_a_plain_dask_worker_is_prepared_by_the_controller(stage, processes, open_study):
    processes.scheduler()
    where = [processes.address, "--host", "127.0.0.1", "--nthreads", "2", "--nworkers", "1", "--name", "plain"]
    processes.start("plain", "distributed.cli.dask_worker", *where)
    study = open_study()
    study.until_workers(2)
    tasks = study.submit("a", "b", "c")
    stage.until_begun("a", "b")
    stage.release("a", "b", "c")
    stage.until("completed", *tasks)
    assert {stage.task(task)["last_worker"].rpartition(":")[2] for task in tasks} <= {"plain-0", "plain-1"}


def test_tickets_that_fail_are_reported_once(stage, processes, open_study):
    processes.scheduler()
    processes.worker("--cpu", "2", "--resources", "GPU=2")
    study = open_study(places={"dask GPU=2": {"GPU": 2.0}})
    tasks = study.submit("a", "b", place="dask GPU=2")
    failed = study.executor._tickets._times
    eventually(lambda: all(failed[task] for task in tasks), "both have failed", lambda: "\n".join(study.notes))
    (said,) = [note for note in study.notes if "cannot run trials" in note]
    assert "2 GPUs for a trial: start Dask worker" in said
    assert {stage.status(task) for task in tasks} == {"queued"}


def test_trials_wait_for_a_resource_that_nobody_has(stage, processes, open_study):
    processes.scheduler()
    processes.worker()
    study = open_study(places={"dask": {}, "dask memory=64": {"memory": 64.0}})
    (needs,) = study.submit("a", place="dask memory=64")
    (other,) = study.submit("b")
    stage.until_begun("b")
    assert study.executor.workers() == {"dask": 1, "dask memory=64": 0}
    assert study.executor.how_to_serve("dask memory=64").endswith(f"{processes.address} --cpu 4 --resources memory=64")
    assert stage.status(needs) == "queued"
    processes.worker("--resources", "memory=64")
    stage.until_begun("a")
    stage.release("a", "b")
    stage.until("completed", needs, other)
