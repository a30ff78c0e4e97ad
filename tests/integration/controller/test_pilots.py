"""A study whose trials run in pilots, which real agents start."""

from __future__ import annotations

import threading
import uuid

import pytest

from clearml_hpo import fleet
from clearml_hpo.backend.pilots import pilots_of
from clearml_hpo.backend.removal import plan_removal
from clearml_hpo.core.trial import TrialState
from clearml_hpo.testing.executor_contract import eventually
from tests.integration.controller.driving import Listener, resume, run

pytestmark = [pytest.mark.agent, pytest.mark.long]
SCRIPT = """\
import pathlib, time
from clearml import Task
task = Task.init("tests", "train", auto_connect_frameworks=False)
params = task.connect({{"x": 0.9}})
held = pathlib.Path({folder!r}) / "held"
while params["x"] == 0.5 and held.exists():
    time.sleep(0.05)
task.get_logger().report_scalar("validation", "loss", (params["x"] - 0.3) ** 2, 1)
"""
STUDY = """\
study: piloted
project: tests/{project}
template: {{script: train.py}}
search_space: {{x: {{type: float, low: 0.0, high: 1.0}}}}
objective: {{metric: validation/loss, direction: minimize}}
enqueue: [{{x: 0.5}}]
budget: {{trials: 6}}
execution: {{queue: {queue}, poll_interval: 0.2, pilots: {{count: 2, threads: 1, idle_timeout: 60s}}}}
"""


@pytest.fixture
def piloted(api, server, server_environ, tmp_path, monkeypatch):
    """A study file, on the queue of two agents."""
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    queue = f"agents-{uuid.uuid4().hex[:8]}"
    (tmp_path / "train.py").write_text(SCRIPT.format(folder=str(tmp_path)))
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(project=uuid.uuid4().hex[:8], queue=queue))
    home = tmp_path / "fleets"
    fleet.up(home, server.address, fleet.plan_slots(queue=queue, cpu=2), name=queue, with_parent=True)
    yield path
    fleet.down(home, name=queue, now=True, timeout_s=60)


def study_of(outcome):
    return outcome.result["study_id"]


def test_its_trials_run_in_pilots(piloted, api):
    outcome = run(piloted, api)
    assert outcome.status == "completed" and len(outcome.trials) == 6
    assert all(":pilot-" in trial.worker and trial.queue == "pilots" for trial in outcome.trials)
    study = study_of(outcome)
    assert len(pilots_of(api, study)) == 2
    again = resume(study, api, overrides=["budget.trials=7"])
    assert len(again.trials) == 7


def test_a_pilot_that_a_person_stops(piloted, api, tmp_path):
    (tmp_path / "held").touch()
    view, stopped, outcomes = Listener(), threading.Event(), []
    thread = threading.Thread(target=lambda: outcomes.append(run(piloted, api, view=view, stopped=stopped)))
    thread.start()
    try:
        eventually(lambda: [t for t in view.trials if t.number == 1 and t.state is TrialState.RUNNING], "it runs")
        running = next(t for t in view.trials if t.number == 1 and t.state is TrialState.RUNNING)

        def task():
            (found,) = api.call("tasks.get_all", id=[running.task_id], only_fields=["parent", "last_worker"])["tasks"]
            return found

        eventually(lambda: task().get("last_worker"), "its worker has named itself")
        worker = task()["last_worker"]
        (pilot,) = (p for p in pilots_of(api, task()["parent"]) if holds(api, p.task_id, worker))
        api.call("tasks.stop", task=pilot.task_id)
        eventually(lambda: [t for t in view.trials if (t.number, t.attempt) == (1, 2)], "another pilot runs it")
        (tmp_path / "held").unlink()
        thread.join(120)
    finally:
        stopped.set()
        thread.join(120)
    (outcome,) = outcomes
    assert outcome.status == "completed" and len(outcome.trials) == 6
    assert outcome.trials[1].attempt == 2 and outcome.trials[1].worker != worker
    from clearml_hpo import Study

    study = Study.load(study_of(outcome))
    planned = plan_removal(api, study.study_id, study._records)
    assert {p.task_id for p in pilots_of(api, study.study_id)} <= set(planned.task_ids)


def holds(api, pilot, worker):
    """Whether a worker is this pilot's: it says its pid first."""
    events = api.call("events.get_task_log", task=pilot, batch_size=500)["events"]
    return f"(worker {worker.split(':')[1].rpartition('-')[2].partition('.')[0]})" in "\n".join(
        event["msg"] for event in events
    )
