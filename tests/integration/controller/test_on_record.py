"""What a study leaves on its controller's task: by whatever way it ends, and on a server that forgives nothing."""

from __future__ import annotations

import math
import threading

import pytest
import requests

from clearml_hpo import Study
from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.backend.names import ensure_project
from clearml_hpo.backend.outputs import console_log
from clearml_hpo.backend.study_records import read_study
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import Listener, resume, run
from .recorded import RecordedStudy


def task_of(api, task_id):
    return api.call("tasks.get_by_id", task=task_id)["task"]


def study_of(outcome):
    return outcome.result["study_id"]


class Acts(Listener):
    """Does something once, when three trials have completed."""

    def __init__(self, act):
        super().__init__()
        self._act = act

    def progress(self, progress):
        if self._act and sum(trial.state.value == "completed" for trial in progress.trials) >= 3:
            act, self._act = self._act, None
            act()


@pytest.mark.long
@pytest.mark.parametrize("how", ["stopped", "archive_many", "failed"])
def test_ended_in_the_web_page_a_study_has_its_best_its_report_and_its_reason(study_file, api, agent, how):
    """A server ends a task at once that no worker reports as its own."""

    def end():
        found = api.call("tasks.get_all", type=["optimizer"], status=["in_progress"], only_fields=["id"])["tasks"]
        (study_id,) = (task["id"] for task in found if task["id"] in view.notes[0])
        if how == "archive_many":
            api.call("tasks.stopped", task=study_id, force=True)  # ClearML's server does so by itself
            api.call("tasks.archive_many", ids=[study_id])
        else:
            api.call(f"tasks.{how}", task=study_id, force=True)

    view = Acts(end)
    outcome = run(study_file, api, view=view, overrides=["budget.trials=200"])
    task = task_of(api, study_of(outcome))
    assert outcome.status == task["status"] == "stopped"
    assert "value" in task["configuration"]["best"]
    artifacts = {artifact["key"] for artifact in task["execution"]["artifacts"]}
    assert {"best", "summary.html", "summary.txt"} <= artifacts
    plots = api.call("events.get_task_plots", task=task["id"])["plots"]
    assert ("intermediate values", "trials") in {(plot["metric"], plot["variant"]) for plot in plots}
    assert task["status_reason"] == outcome.reason.partition("\n")[0] != ""


def test_the_reason_outlives_that_the_task_is_archived(study_file, api, agent):
    outcome = run(study_file, api)
    before = read_study(api, study_of(outcome)).reason
    api.call("tasks.archive_many", ids=[study_of(outcome)])
    api.call("tasks.completed", task=study_of(outcome), force=True)  # blanks it, as archiving does on ClearML's server
    assert read_study(api, study_of(outcome)).reason == before != ""


@pytest.mark.long
def test_a_finished_study_goes_on_and_is_started_before_it_is_written_to(study_file, api, agent, sent):
    first = run(study_file, api)
    sent.clear()
    second = run(study_file, api, overrides=["budget.trials=8"])
    assert study_of(second) == study_of(first) and second.status == "completed" and len(second.trials) == 8
    assert "trials: 8" in task_of(api, study_of(first))["configuration"]["study"]["value"]
    on_it = [endpoint for endpoint, body in sent if body.get("task") == study_of(first)]
    assert on_it.index("tasks.started") < on_it.index("tasks.edit")
    assert max(i for i, e in enumerate(on_it) if e == "tasks.edit") < on_it.index("tasks.completed")


@pytest.mark.parametrize(("is_of_agent", "message"), [(True, "stopping"), (False, "")])
def test_the_wish_to_stop_what_an_agent_has_just_started_is_not_lost(api, queue, monkeypatch, is_of_agent, message):
    study = RecordedStudy(api, queue)
    api.call("tasks.started", task=study.study_id, force=True, status_message="stopping")
    monkeypatch.setenv("CLEARML_TASK_ID", study.study_id if is_of_agent else "")
    ControllerTask(api, study.study_id, study.project_id).go_on("study: x")
    assert task_of(api, study.study_id)["status_message"] == message


def test_a_study_that_waits_for_an_agent_and_is_resumed_here_is_handed_to_no_agent(api, queue):
    """A second controller is refused, and its agent then fails the task of the study that is driven here."""
    study = RecordedStudy(api, queue)
    api.call("tasks.enqueue", task=study.study_id, queue=study.queue_id)
    ControllerTask(api, study.study_id, study.project_id).go_on("study: x")
    assert study.status_of(study.study_id) == "in_progress"
    assert api.call("queues.get_next_task", queue=study.queue_id) == {}


@pytest.mark.long
def test_a_claim_shows_a_sign_of_life(study_file, api, agent, sent):
    """On ClearML's server user properties do not move a task's last update, by which others see that it is held."""
    first = run(study_file, api, overrides=["budget.trials=2"])
    sent.clear()
    resume(study_of(first), api, overrides=["budget.trials=3"])
    on_it = [(endpoint, body) for endpoint, body in sent if body.get("task") == study_of(first)]
    holders = [
        index
        for index, (endpoint, body) in enumerate(on_it)
        for item in body.get("hyperparams") or ()
        if endpoint == "tasks.edit_hyper_params" and item["name"] == "holder" and item["value"]
    ]
    assert holders and all(on_it[index + 1][0] == "tasks.ping" for index in holders)


def test_the_link_opens_the_plots_and_the_console_has_what_the_controller_said(study_file, api, agent):
    view = Listener()
    outcome = run(study_file, api, view=view)
    assert outcome.url in view.notes[0] and outcome.url.endswith(f"/tasks/{study_of(outcome)}/output/metrics/plots")
    assert read_study(api, study_of(outcome)).url == outcome.url
    answer = requests.get(outcome.url, allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/tasks/{study_of(outcome)}/plots")
    lines = [*console_log(api, study_of(outcome))]
    assert lines[0] == view.notes[0] and sum(" completed, " in line for line in lines) == 6
    assert lines[-1] == f"{outcome.status}: {outcome.reason}"
    study = Study.load(study_of(outcome))
    assert study.url_of(study.trials[0]).endswith(f"/tasks/{study.trials[0].task_id}/output/log")


def test_scalars_that_are_not_finite_are_left_out_and_counted(api, project_id):
    task = ControllerTask.create(api, name="a study", project_id=project_id, study_yaml="", properties={})
    task.report(scalars=[("a", "b", 0, 1.0), ("a", "b", 1, math.nan), ("a", "c", 1, math.inf), ("a", "b", 2, 3.0)])
    scalars = api.call("events.scalar_metrics_iter_histogram", task=task.task_id)
    assert scalars["a"]["b"]["x"] == [0, 2] and "c" not in scalars["a"]
    assert [*console_log(api, task.task_id)] == ["2 of 4 scalars are not finite, and are left out"]


@pytest.fixture
def project_id(api):
    return ensure_project(api, "tests/on record")


@pytest.mark.long
def test_a_stopped_study_says_so_on_its_console(study_file, api, queue):
    stopped = threading.Event()
    view = Acts(stopped.set)
    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS):
        outcome = run(study_file, api, view=view, stopped=stopped, overrides=["budget.trials=200"])
    assert outcome.status == "stopped" and [*console_log(api, study_of(outcome))][-1].startswith("stopped: ")
