"""A study over several templates: each trial is a clone of the one that its model names."""

from __future__ import annotations

import threading
import uuid
from contextlib import ExitStack

import pytest

from clearml_hpo.backend.hyperparameters import flatten, user_properties
from clearml_hpo.backend.names import find_project
from clearml_hpo.controller.check import check_study
from clearml_hpo.controller.launch import launch_study
from clearml_hpo.core.errors import HeldError, InputError, StudyError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.core.values import MODEL
from clearml_hpo.studies.study import Study
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent

from .driving import Listener, resume, run

pytestmark = pytest.mark.long

STUDY = """\
study: two-models
project: {project}
template:
  models:
    forest: {{script: forest.py}}
    linear: {{script: linear.py}}
search_space:
  model:
    type: categorical
    choices:
      forest:
        rate: {{type: float, low: 0.0, high: 1.0}}
        growth:
          type: categorical
          choices: {{by_depth: {{depth: {{type: int, low: 1, high: 9}}}}, by_leaf: {{}}}}
      linear:
        rate: {{type: float, low: 2.0, high: 4.0}}
  folds: {{type: int, low: 2, high: 5}}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: tpe, seed: 3}}
budget: {{trials: 8}}
execution:
  queue: {forest}
  placement: [{{when: {{model: linear}}, queue: {linear}}}]
  poll_interval: 0.1
"""
CONNECTS = {
    "forest": {
        "General/rate": ("float", "0.9"),
        "General/growth": ("str", "by_leaf"),
        "General/depth": ("int", "4"),
        "General/folds": ("int", "5"),
    },
    "linear": {"General/rate": ("float", "3.5"), "General/folds": ("int", "3"), "General/alpha": ("float", "0.1")},
}


def training(params):
    """What depends on the parameters that the task has."""
    assert "General/model" not in params
    for step in range(1, 4):
        yield {"validation/loss": abs(float(params["General/rate"]) - 2.5) + int(params["General/folds"]) + 1 / step}


@pytest.fixture
def queues(api):
    names = {model: f"{model}-{uuid.uuid4().hex[:8]}" for model in CONNECTS}
    for name in names.values():
        api.call("queues.create", name=name)
    return names


@pytest.fixture
def agents(queues):
    with ExitStack() as stack:
        yield {
            model: stack.enter_context(
                PlayedAgent(training, queue=queues[model], worker_id=f"{model}:0", connects=connects)
            )
            for model, connects in CONNECTS.items()
        }


@pytest.fixture
def study_file(tmp_path, queues):
    for model in CONNECTS:
        (tmp_path / f"{model}.py").write_text(
            f'"""{uuid.uuid4()}"""\nPARAMETERS = dict(rate=1, growth=2, depth=3, folds=4)\n'
        )
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(project=f"tests/{uuid.uuid4().hex[:8]}", **queues))
    return path


def tasks_of(api, outcome):
    ids = [trial.task_id for trial in outcome.trials]
    tasks = api.call("tasks.get_all", id=ids, page=0, page_size=500)["tasks"]
    return {task["id"]: task for task in tasks}


def templates_of(api, path):
    found = api.call("tasks.get_all", project=[find_project(api, load_study(path).spec.project)], tags=["template"])
    return {task["name"]: task for task in found["tasks"]}


def test_every_trial_is_a_clone_of_the_template_of_its_model(study_file, api, agents):
    outcome = run(study_file, api)
    assert outcome.status == "completed" and [trial.number for trial in outcome.trials] == list(range(8))
    tasks, templates = tasks_of(api, outcome), templates_of(api, study_file)
    assert {trial.params[MODEL] for trial in outcome.trials} == {"forest", "linear"}
    for trial in outcome.trials:
        model, task = trial.params[MODEL], tasks[trial.task_id]
        properties, texts = user_properties(task["hyperparams"]), flatten(task["hyperparams"])
        assert properties["model"] == model and properties["template_task"] == templates[model]["id"]
        assert task["name"] == f"{model} #{trial.number}" and trial.task_id in agents[model].ran
        own = {name.replace(f"{model}/", "General/"): str(value) for name, value in trial.params.items()}
        del own[MODEL]
        assert own.items() <= texts.items() and texts.keys() == CONNECTS[model].keys()


def test_each_model_begins_with_its_own_values(study_file, api, agents):
    view = Listener()
    outcome = run(study_file, api, view=view)
    assert outcome.trials[0].params == {
        MODEL: "forest",
        "forest/rate": 0.9,
        "forest/growth": "by_leaf",
        "General/folds": 5,
    }
    assert outcome.trials[1].params == {MODEL: "linear", "linear/rate": 3.5, "General/folds": 3}
    assert sum("is new: its first run" in note for note in view.notes) == 2
    assert set(flatten(templates_of(api, study_file)["linear"]["hyperparams"])) == set(CONNECTS["linear"])


def test_known_templates_begin_with_their_own_values_too(study_file, api, agents):
    run(study_file, api)
    view = Listener()
    again = run(study_file, api, new=True, view=view, overrides=["budget.trials=4"])
    assert [trial.params[MODEL] for trial in again.trials[:2]] == ["forest", "linear"]
    assert again.trials[1].params["linear/rate"] == 3.5
    assert not any("is new" in note for note in view.notes)


def test_a_study_goes_on_from_its_tasks_alone(study_file, api, agents):
    first = run(study_file, api)
    more = resume(first.result["study_id"], api, overrides=["budget.trials=11"])
    assert more.status == "completed" and len(more.trials) == 11
    assert [(t.task_id, t.params, t.value) for t in more.trials[:8]] == [
        (t.task_id, t.params, t.value) for t in first.trials
    ]
    study = Study.load(first.result["study_id"])
    assert study.best.params == more.best.params and set(study.best.params) >= {MODEL}
    row = study.rows()[1]
    assert (row["params.General/model"], row["params.linear/rate"], row["params.forest/rate"]) == ("linear", 3.5, None)


@pytest.mark.parametrize("serves", [("forest",), ()])
def test_what_is_interrupted_during_the_first_runs_goes_on(study_file, api, queues, serves):
    """The second first run waits for a worker, or both do, when the study is interrupted."""
    stopped = threading.Event()

    class Stopper(Listener):
        def note(self, text):
            super().note(text)
            if "is new" in text and len(serves) + 1 == sum("is new" in note for note in self.notes):
                stopped.set()

    with ExitStack() as stack:
        for model in serves:
            stack.enter_context(
                PlayedAgent(training, queue=queues[model], worker_id=f"{model}:0", connects=CONNECTS[model])
            )
        interrupted = run(study_file, api, view=Stopper(), stopped=stopped)
    assert interrupted.status == "stopped" and not any(trial.state.is_live for trial in interrupted.trials)
    with ExitStack() as stack:
        for model in CONNECTS:
            stack.enter_context(
                PlayedAgent(training, queue=queues[model], worker_id=f"{model}:1", connects=CONNECTS[model])
            )
        outcome = run(study_file, api)
    assert outcome.status == "completed" and [trial.number for trial in outcome.trials] == list(range(8))
    assert [trial.params[MODEL] for trial in outcome.trials[:2]] == ["forest", "linear"]
    assert all(trial.state is TrialState.COMPLETED for trial in outcome.trials)
    if serves:
        before, now = interrupted.trials[0], outcome.trials[0]
        assert (now.task_id, now.attempt) == (before.task_id, 1), "what had ended is not run again"


class Waiting(Listener):
    """Calls ``react`` when a first run waits for a worker."""

    def __init__(self, react):
        super().__init__()
        self._react = react

    def note(self, text):
        super().note(text)
        if "no worker serves" in text:
            self._react()


def test_another_controller_takes_up_the_first_runs(study_file, api, queues):
    """The first one is displaced while the first run of the second template waits."""
    waits, said = threading.Event(), []

    def drive():
        try:
            run(study_file, api, view=Waiting(waits.set))
        except HeldError as error:
            said.append(str(error))

    def agent(model):
        return PlayedAgent(training, queue=queues[model], worker_id=f"{model}:0", connects=CONNECTS[model])

    first = threading.Thread(target=drive)
    with ExitStack() as stack:
        stack.enter_context(agent("forest"))
        first.start()
        assert waits.wait(60)
        linear = []
        view = Waiting(lambda: linear.append(stack.enter_context(agent("linear"))))
        outcome = run(study_file, api, view=view, take_over=True)
        first.join(timeout=60)
    assert "was taken over" in said[0] and outcome.status == "completed" and len(outcome.trials) == 8
    assert [trial.params[MODEL] for trial in outcome.trials[:2]] == ["forest", "linear"]
    assert [trial.attempt for trial in outcome.trials[:2]] == [1, 1]
    assert linear[0].ran[0] == outcome.trials[1].task_id


def test_a_task_without_its_model_is_no_trial(study_file, api, agents):
    first = run(study_file, api)
    api.call(
        "tasks.edit_hyper_params",
        task=first.trials[4].task_id,
        force=True,
        hyperparams=[{"section": "properties", "name": "model", "value": "tree"}],
    )
    study = Study.load(first.result["study_id"])
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 5, 6, 7]
    more = resume(first.result["study_id"], api, overrides=["budget.trials=9"])
    assert more.status == "completed" and len(more.trials) == 9


def test_points_to_try_first_and_trials_that_are_known(study_file, api, agents):
    first = run(study_file, api)
    point = "enqueue=[{model: linear, rate: 2.5}]"
    view = Listener()
    second = run(
        study_file,
        api,
        view=view,
        new=True,
        overrides=[point, "budget.trials=4", f"warm_start={{study: {first.result['study_id']}}}"],
    )
    assert second.trials[2].params == {MODEL: "linear", "linear/rate": 2.5, "General/folds": 3}
    assert "warm start: 8 trials of" in "\n".join(view.notes)


def test_one_model_alone(study_file, api, agents):
    outcome = run(study_file, api, overrides=["search_space.model=linear", "budget.trials=3"])
    assert outcome.status == "completed" and agents["forest"].ran == []
    assert outcome.trials[0].params == {"linear/rate": 3.5, "General/folds": 3}
    assert all(user_properties(task["hyperparams"])["model"] == "linear" for task in tasks_of(api, outcome).values())


def test_constants_reach_the_tasks_of_all_models_and_are_no_values_of_the_template(study_file, api, agents):
    outcome = run(study_file, api, overrides=["search_space.folds=4", "budget.trials=4"])
    assert outcome.status == "completed" and len(outcome.trials) == 4
    assert {flatten(task["hyperparams"])["General/folds"] for task in tasks_of(api, outcome).values()} == {"4"}
    templates = templates_of(api, study_file)
    assert flatten(templates["linear"]["hyperparams"])["General/folds"] == "3"
    assert [trial.params[MODEL] for trial in outcome.trials[:2]] == ["forest", "linear"]


def test_a_parameter_that_one_template_has_not_is_said_before_other_trials(study_file, api, agents):
    with pytest.raises(InputError, match=r"search_space.linear/alhpa: the template 'linear' has no such parameter"):
        run(study_file, api, overrides=["search_space.linear/alhpa={type: float, low: 0, high: 1}"])
    assert len(agents["forest"].ran) <= 1 and len(agents["linear"].ran) == 1


def test_a_model_that_cannot_run_ends_the_study_with_its_log(study_file, api, queues):
    def broken(params):
        raise RuntimeError("no such table")
        yield

    with (
        PlayedAgent(training, queue=queues["forest"], worker_id="forest:0", connects=CONNECTS["forest"]),
        PlayedAgent(broken, queue=queues["linear"], worker_id="linear:0"),
        pytest.raises(StudyError, match="the first run of linear is failed: no such table"),
    ):
        run(study_file, api)


def test_a_metric_that_one_model_does_not_report_ends_the_study(study_file, api, queues):
    def other(params):
        yield {"validation/los": 1.0}

    with (
        PlayedAgent(training, queue=queues["forest"], worker_id="forest:0", connects=CONNECTS["forest"]),
        PlayedAgent(other, queue=queues["linear"], worker_id="linear:0", connects=CONNECTS["linear"]),
        pytest.raises(
            InputError, match="'validation/loss' was never reported by linear; did you mean 'validation/los'"
        ),
    ):
        run(study_file, api)


def test_a_study_that_an_agent_is_to_drive_knows_its_templates(study_file, api, agents):
    queue = f"services-{uuid.uuid4().hex[:8]}"
    api.call("queues.create", name=queue)
    launched = launch_study(api, load_study(study_file, ["budget.trials=3"]), queue)
    outcome = resume(launched.study_id, api)
    assert outcome.status == "completed" and [t.params[MODEL] for t in outcome.trials[:2]] == ["forest", "linear"]


def test_other_templates_need_another_study(study_file, api, agents):
    run(study_file, api)
    (study_file.parent / "linear.py").write_text(f'"""{uuid.uuid4()}"""\n')
    with pytest.raises(InputError, match=r"another template.*--new"):
        run(study_file, api)


def test_check_looks_at_each_template(study_file, api, agents):
    before = check_study(load_study(study_file), api)
    assert [*dict.fromkeys(remark.partition(":")[0] for remark in before.remarks)] == ["pruner", "forest", "linear"]
    assert before.remarks[0].startswith("pruner: none (several models") and not before.faults, before.remarks
    (fault,) = check_study(
        load_study(study_file, ["search_space.linear/deph={type: int, low: 1, high: 2}"]), api
    ).faults
    assert "nothing in linear.py is called 'deph'" in str(fault)
    run(study_file, api, overrides=["budget.trials=2"])
    after = check_study(load_study(study_file), api)
    assert not after.faults and all("parameters, 1 metric" in remark for remark in after.remarks[1:])
