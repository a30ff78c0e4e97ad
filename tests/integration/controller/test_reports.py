"""What a study puts on its controller task and on its trial tasks, on a server."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
import requests
import yaml

from clearml_hpo.backend.names import ensure_project
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.space import Float, SearchSpace
from clearml_hpo.study_file import load_study

from .driving import Listener, run

LOSS = Goal((Objective("validation", "loss"),))
SPACE = SearchSpace({"General/x": Float(0.0, 1.0)})


@pytest.fixture
def project(api):
    return ensure_project(api, f"tests/{uuid.uuid4().hex[:8]}")


@pytest.fixture
def controller(api, project):
    from clearml_hpo.backend.controller_task import ControllerTask

    return ControllerTask.create(api, name="a study", project_id=project, study_yaml="study: a", properties={})


@pytest.fixture
def make_trial(api, project, controller):
    """Makes a trial with a completed task of its own."""

    def make(number, value, **fields):
        study = {"study": {"section": "properties", "name": "study", "value": controller.task_id}}
        task_id = api.call(
            "tasks.create",
            name=f"trial {number}",
            type="training",
            project=project,
            tags=["optimization"],
            hyperparams={"properties": study},
        )["id"]
        api.call("tasks.started", task=task_id)
        scalar = {"task": task_id, "type": "training_stats_scalar", "metric": "validation", "variant": "loss"}
        api.send_events({**scalar, "iter": step, "value": value + 1 / step} for step in (1, 2))
        api.call("tasks.completed", task=task_id)
        fields = {"started_at": 1.0, "ended_at": 2.0, "iteration": 2, "state": TrialState.COMPLETED, **fields}
        return Trial(number, {"General/x": number / 10}, task_id, values=(value,), **fields)

    return make


@pytest.fixture
def publisher(api, controller):
    from clearml_hpo.backend.template import Template
    from clearml_hpo.backend.trial_tasks import TrialTasks
    from clearml_hpo.core.best_effort import BestEffort
    from clearml_hpo.report import Publisher

    tasks = TrialTasks(
        api,
        {"": Template("", "", "")},
        LOSS,
        study=controller.task_id,
        parent_id=controller.task_id,
        project_id="",
        name_of=lambda number, params: "",
    )
    told = []
    publisher = Publisher(
        controller,
        LOSS,
        lambda trial: api.task_url("p", trial.task_id),
        BestEffort(told.append),
        clock=time.time,
        period_s=0,
        space=SPACE,
        budget=4,
        histories=tasks.histories,
    )
    publisher.told = told
    return publisher


def task_of(api, task_id):
    return api.call("tasks.get_by_id", task=task_id)["task"]


def plots_of(api, controller):
    found = api.call("events.get_task_plots", task=controller.task_id)["plots"]
    return {(event["metric"], event["variant"]): json.loads(event["plot_str"]) for event in found}


def test_a_report_is_two_calls_and_five_more_when_the_best_has_changed(api, publisher, make_trial):
    def calls(trials):
        before = Counter(api.calls)
        publisher.publish(trials)
        return dict(api.calls - before)

    trials = [make_trial(0, 0.5)]
    assert calls(trials) == {
        "events.add_batch": 1,
        "tasks.edit_hyper_params": 1,
        "tasks.get_all": 3,
        "tasks.update": 1,
        "tasks.edit": 1,
    }
    trials.append(make_trial(1, 0.6))
    assert calls(trials) == {"events.add_batch": 1, "tasks.edit_hyper_params": 1}
    assert calls(trials) == {}


def test_the_controller_task_shows_the_study(api, publisher, controller, make_trial):
    trials = [make_trial(0, 0.5), make_trial(1, 0.25), make_trial(2, 0.375)]
    publisher.publish(trials, final=True, remaining={"trials": "1 of 4"})
    plots = plots_of(api, controller)
    assert set(plots) == {
        ("summary", "trials"),
        ("summary", "budget"),
        ("optimization history", "validation/loss"),
        ("parallel coordinates", "validation/loss"),
        ("slices", "validation/loss"),
        ("timeline", "slots"),
        ("intermediate values", "trials"),
    }
    assert [line["y"] for line in plots["intermediate values", "trials"]["data"]] == [
        [1.5, 1.0],
        [1.25, 0.75],
        [1.375, 0.875],
    ]
    task = task_of(api, controller.task_id)
    properties = {name: entry["value"] for name, entry in task["hyperparams"]["properties"].items()}
    assert properties == {"trials": "3/4", "best_value": "0.25", "best_trial": "1"}
    heading, *_ = task["configuration"]["best"]["value"].splitlines()
    assert heading == f"# trial 1 (task {trials[1].task_id}): validation/loss = 0.25"
    assert yaml.safe_load(task["configuration"]["best"]["value"]) == {"General/x": 0.1}


def test_the_tag_moves_with_the_best_and_other_tags_stay(api, publisher, make_trial):
    trials = [make_trial(0, 0.5)]
    api.call("tasks.update", task=trials[0].task_id, tags=["optimization", "mine"])
    publisher.publish(trials)
    assert task_of(api, trials[0].task_id)["tags"] == ["best", "mine", "optimization"]
    trials.append(make_trial(1, 0.4))
    publisher.publish(trials)
    assert task_of(api, trials[0].task_id)["tags"] == ["mine", "optimization"]
    assert task_of(api, trials[1].task_id)["tags"] == ["best", "optimization"]


def test_a_tag_that_an_earlier_controller_has_set_moves_too(api, controller, make_trial):
    from clearml_hpo.backend.controller_task import ControllerTask

    first, second = make_trial(0, 0.5), make_trial(1, 0.4)
    controller.tag_best([first.task_id])
    ControllerTask(api, controller.task_id, controller.project_id).tag_best([second.task_id])
    assert "best" not in task_of(api, first.task_id)["tags"]
    assert "best" in task_of(api, second.task_id)["tags"]


def test_the_best_parameters_are_an_artifact_that_the_sdk_finds(api, publisher, controller, make_trial):
    from clearml import Task

    publisher.publish([make_trial(3, 0.5)], final=True)
    artifact = Task.get_task(controller.task_id).artifacts["best"]
    path = artifact.get_local_copy(force_download=True)
    text = Path(path).read_text(encoding="utf-8")
    assert yaml.safe_load(text) == {"General/x": 0.3}
    assert artifact.preview == text and artifact.size == len(text.encode())


def test_a_file_server_that_refuses_is_told(api, publisher, controller, make_trial, server, monkeypatch):
    monkeypatch.setattr(api.file_server, "url", server.address.api)
    publisher.publish([make_trial(0, 0.5)], final=True)
    [told] = publisher.told
    assert told.startswith(f"the artifact best is missing: cannot upload {server.address.api}/")
    assert "best" in task_of(api, controller.task_id)["configuration"]


# --- of a whole study ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_study_ends_with_all_its_reports(study_file, api, agent):
    outcome = run(study_file, api, overrides=["budget.trials=21"])
    task = task_of(api, outcome.result["study_id"])
    plots = api.call("events.get_task_plots", task=task["id"])["plots"]
    drawn = {plot["metric"]: json.loads(plot["plot_str"]) for plot in plots}
    assert set(drawn) >= {"importances", "slices", "timeline", "intermediate values", "parallel coordinates"}
    assert len(drawn["intermediate values"]["data"]) == 21
    rows = {row for trace in drawn["timeline"]["data"] for row in trace["y"]}
    assert {trial.worker for trial in outcome.trials} < rows
    shares = dict(zip(*(drawn["importances"]["data"][0][axis] for axis in "yx"), strict=True))
    assert set(shares) == {"x", "depth", "kind"} and sum(shares.values()) == pytest.approx(1, abs=0.001)
    tagged = api.call("tasks.get_all", parent=task["id"], tags=["best"], only_fields=["id"])["tasks"]
    assert [each["id"] for each in tagged] == [outcome.best.task_id]
    artifacts = {artifact["key"]: artifact for artifact in task["execution"]["artifacts"]}
    assert set(artifacts) == {"best", "summary.html", "summary.txt"}
    assert yaml.safe_load(artifacts["best"]["type_data"]["preview"]) == outcome.best.params
    assert f"best            {outcome.best.value:.6g}: trial" in artifacts["summary.txt"]["type_data"]["preview"]
    assert 1_000_000 < artifacts["summary.html"]["content_size"] < 3_000_000
    page = requests.get(artifacts["summary.html"]["uri"], auth=api._client.token, timeout=60)
    assert page.ok and page.headers["content-type"].startswith("text/html") and "<h1>quadratic</h1>" in page.text


def test_a_study_whose_summary_no_server_takes_is_completed_all_the_same(study_file, api, agent, server, monkeypatch):
    view = Listener()
    monkeypatch.setattr(api.file_server, "url", server.address.api)
    outcome = run(study_file, api, view=view, overrides=["budget.trials=2"])
    assert outcome.status == "completed" and task_of(api, outcome.result["study_id"])["status"] == "completed"
    assert any("no summary.html: " in note and "clearml-hpo study report" in note for note in view.notes)


def test_a_summary_that_cannot_be_drawn_is_no_reason_to_fail(study_file, api, agent, monkeypatch):
    def broken(name, studies):
        raise ValueError("cannot be drawn")

    monkeypatch.setattr("clearml_hpo.controller.closing.summary_page", broken)
    view = Listener()
    outcome = run(study_file, api, view=view, overrides=["budget.trials=2"])
    assert outcome.status == "completed" and task_of(api, outcome.result["study_id"])["status"] == "completed"
    assert any("no summary.html: ValueError: cannot be drawn" in note for note in view.notes)
    artifacts = task_of(api, outcome.result["study_id"])["execution"]["artifacts"]
    assert "summary.txt" in {artifact["key"] for artifact in artifacts}


def test_the_best_parameters_are_constants_of_a_search_space(study_file, api, agent):
    outcome = run(study_file, api)
    text = task_of(api, outcome.result["study_id"])["configuration"]["best"]["value"]
    again = study_file.with_name("again.yaml")
    head, _, rest = study_file.read_text().partition("search_space:\n")
    indented = "".join(f"  {line}\n" for line in text.splitlines())
    varying = "  other: {type: categorical, choices: [true, false]}\n"
    again.write_text(f"{head}search_space:\n{varying}{indented}{rest[rest.index('objective:') :]}")
    assert load_study(again, []).space.constants == outcome.best.params
