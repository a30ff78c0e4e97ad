"""Parameters in configuration objects: those of the first run of a script are read back as those of any trial."""

from __future__ import annotations

import json
import uuid

import pytest

from clearml_hpo import Study
from clearml_hpo.backend.study_records import read_study
from clearml_hpo.backend.trial_records import read_trials
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent

from .driving import Listener, resume, run

STUDY = """\
study: configured
project: {project}
template: {{script: train.py}}
search_space:
  {section}/model.depth: {{type: int, low: 2, high: 8}}
  {section}/lr: {{type: float, low: 0.0, high: 1.0}}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: random, seed: 3}}
budget: {{trials: 3}}
execution: {{queue: {queue}, poll_interval: 0.1}}
"""
CONNECTED = json.dumps({"model": {"depth": 4}, "lr": 0.9})


@pytest.fixture(params=["config:Model", "Hydra"])
def section(request):
    return request.param


@pytest.fixture
def study_file(tmp_path, queue, section):
    (tmp_path / "train.py").write_text(f'"""{uuid.uuid4()}: connects model.depth, lr; reports validation/loss."""\n')
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(project=f"tests/{uuid.uuid4().hex[:8]}", queue=queue, section=section))
    return path


@pytest.fixture
def agent(queue, section):
    def training(params):
        yield {"validation/loss": float(params[f"{section}/lr"]) + int(params[f"{section}/model.depth"])}

    configures = {"OmegaConf" if section == "Hydra" else "Model": CONNECTED}
    with PlayedAgent(training, queue=queue, configures=configures) as agent:
        yield agent


def of_first(section):
    return {f"{section}/model.depth": 4, f"{section}/lr": 0.9}


@pytest.fixture
def early(monkeypatch):
    """The first run's hyperparameters are as it has left them."""
    monkeypatch.setattr("clearml_hpo.controller.first_runs.change", lambda api, task_id, field, changed: None)


def test_the_first_run_keeps_its_parameters(study_file, api, agent, section, early):
    outcome = run(study_file, api)
    assert dict(outcome.trials[0].params) == of_first(section)
    read = Study(api, read_study(api, outcome.result["study_id"])).trials
    assert [trial.params for trial in read] == [trial.params for trial in outcome.trials]


def test_tables_of_tasks_show_the_parameters_of_the_first_run(study_file, api, agent, section):
    outcome = run(study_file, api)
    tasks = api.call("tasks.get_all", id=[trial.task_id for trial in outcome.trials])["tasks"]
    sections = [task["hyperparams"][section] for task in tasks]
    assert [sorted(entries) for entries in sections] == [["lr", "model.depth"]] * 3


def test_a_study_that_goes_on_knows_what_the_first_run_was(study_file, api, agent, section, early):
    """Its sampler learns of it, and its point is not tried once more."""
    first = run(study_file, api)
    point = json.dumps(of_first(section))
    again = resume(first.result["study_id"], api, overrides=["budget.trials=5", f"enqueue=[{point}]"])
    params = [dict(trial.params) for trial in again.trials]
    assert params[0] == of_first(section) and params.count(of_first(section)) == 1


def test_a_study_starts_from_the_first_run_of_another(study_file, api, agent, section, early):
    first = run(study_file, api)
    view = Listener()
    ids = ", ".join(trial.task_id for trial in first.trials)
    sources = f"[{{study: {first.result['study_id']}}}, {{tasks: [{ids}]}}]"
    run(study_file, api, new=True, view=view, overrides=[f"warm_start={sources}"])
    assert "3 trials" in view.notes[0] and "3 of 3 tasks are known" in view.notes[1]


def test_only_a_task_without_its_point_is_read_once_more(study_file, api, agent, section, early, monkeypatch):
    """Configuration objects may be long: those of clones are not fetched."""
    outcome = run(study_file, api)
    asked = []
    call = type(api).call

    def noted(self, endpoint, **body):
        asked.append((endpoint, body))
        return call(self, endpoint, **body)

    monkeypatch.setattr(type(api), "call", noted)
    file = load_study(study_file)
    assert len(read_trials(api, outcome.result["study_id"], file.space, file.goal).settled) == 3
    fetched = [body["id"] for _, body in asked if "configuration" in body.get("only_fields", ())]
    assert fetched == [[outcome.trials[0].task_id]]
