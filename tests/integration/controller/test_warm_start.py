"""What is known before the first trial, and the copy in an Optuna storage."""

from __future__ import annotations

import re

import optuna
import pytest
import yaml

from clearml_hpo.backend.study_records import read_study
from clearml_hpo.controller.check import check_study
from clearml_hpo.controller.launch import draft_study
from clearml_hpo.core.errors import InputError
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import Listener, resume, run


def told(path):
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{path}")
    return optuna.load_study(study_name=study.study_name, storage=f"sqlite:///{path}")


@pytest.mark.long
def test_a_storage_has_every_trial_once_also_after_a_study_went_on(study_file, api, agent, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    first = run(study_file, api, overrides=[f"storage={url}"])
    again = resume(first.result["study_id"], api, overrides=["budget.trials=8"])
    study = told(tmp_path / "study.db")
    assert [t.value for t in study.trials] == [t.value for t in again.trials]
    assert study.best_trial.user_attrs["clearml_task"] == again.best.task_id
    assert study.best_params == dict(again.best.params)
    assert study.metric_names == ["validation/loss"]


@pytest.mark.long
def test_a_study_starts_from_a_storage(study_file, api, agent, tmp_path):
    url = f"sqlite:///{tmp_path}/old.db"
    old = optuna.create_study(study_name="old", storage=url)
    old.optimize(
        lambda t: (
            (t.suggest_float("x", 0, 1) - 0.3) ** 2
            + t.suggest_int("depth", 2, 12)
            + (t.suggest_categorical("kind", ["a", "b"]) == "a")
        ),
        n_trials=10,
    )
    view = Listener()
    within = [t for t in old.trials if t.params["depth"] <= 8]
    run(study_file, api, view=view, overrides=[f"warm_start={{storage: '{url}', study: old}}"])
    assert f"warm start: {len(within)} trials of old are known" in view.notes
    with pytest.raises(InputError, match=r"no study 'odl'.*did you mean 'old'"):
        run(study_file, api, new=True, overrides=[f"warm_start={{storage: '{url}', study: odl}}"])


@pytest.mark.long
def test_a_study_starts_from_an_earlier_one_and_from_tasks(study_file, api, agent):
    first = run(study_file, api)
    ids = ", ".join(trial.task_id for trial in first.trials[:2])
    view = Listener()
    run(
        study_file,
        api,
        new=True,
        view=view,
        overrides=[f"warm_start=[{{study: {first.result['study_id']}}}, {{tasks: [{ids}]}}]"],
    )
    assert "are known" in view.notes[0] and "6 trials" in view.notes[0]
    assert "2 of 2 tasks are known" in view.notes[1]
    with pytest.raises(InputError, match="no task"):
        run(study_file, api, new=True, overrides=["warm_start={tasks: ['" + "0" * 32 + "']}"])


@pytest.mark.parametrize(
    ("url", "said"),
    [("sqlite:////no/such/folder/x.db", "cannot be opened"), ("nonsense", "cannot be opened")],
)
def test_a_storage_that_cannot_be_opened_is_said_before_anything_starts(study_file, api, agent, url, said):
    with pytest.raises(InputError, match=said):
        run(study_file, api, overrides=[f"storage={url}"])
    assert not agent.ran


def test_listed_points_come_first(study_file, api, agent):
    outcome = run(study_file, api, overrides=["enqueue=[{x: 0.25}, {x: 0.5, depth: 3, kind: b}]"])
    assert outcome.trials[1].params == {"General/x": 0.25, "General/depth": 4, "General/kind": "a"}
    assert outcome.trials[2].params == {"General/x": 0.5, "General/depth": 3, "General/kind": "b"}


# --- warm_start: auto ------------------------------------------------------------------------------------------------


def told_of_warm_start(view):
    return [text for text in view.notes if text.startswith("warm start")]


def test_a_study_begins_with_the_best_points_of_earlier_ones(study_file, api, agent):
    project = yaml.safe_load(study_file.read_text())["project"]
    view, auto = Listener(), ["warm_start=auto", "budget.trials=4"]
    first = run(study_file, api, overrides=["study=one", *auto], view=view)
    none = f"warm start: no earlier study in {project} with these ranges and objectives has a best trial"
    assert told_of_warm_start(view) == [none]
    run(study_file, api, overrides=["study=others", "search_space.x.high=0.5"])  # other ranges
    run(study_file, api, overrides=["study=backwards", "objective.direction=maximize"])

    from_one = f"warm start: tried first are the best points of earlier studies: trial {first.best.number} of one"
    if_repeated = (
        "warm start: the values of one (same template, constants and goal) count as soon as this study has repeated 2"
    )
    repeated = "warm start: this study repeats the values of one: its 4 trials are known to the sampler"
    remarks = check_study(load_study(study_file, ["study=two", *auto]), api).remarks
    assert from_one in remarks and f"{if_repeated} of them" in remarks
    view = Listener()
    second = run(study_file, api, overrides=["study=two", *auto], view=view)
    assert told_of_warm_start(view) == [from_one, f"{if_repeated} of them", repeated]
    assert first.best.params in [trial.params for trial in second.trials[:2]], "the baseline, and then that"
    sources = [{"study": first.result["study_id"], "if_repeated": True}]
    kept = yaml.safe_load(read_study(api, second.result["study_id"]).study_yaml)
    assert (kept["enqueue"], kept["warm_start"]) == ([dict(first.best.params)], sources)

    # The study goes on with what it has, not with what has been found since.
    view = Listener()
    again = run(study_file, api, overrides=["study=two", "warm_start=auto", "budget.trials=6"], view=view)
    assert told_of_warm_start(view) == [repeated] and len(again.trials) == 6
    kept = yaml.safe_load(read_study(api, second.result["study_id"]).study_yaml)
    assert (kept["enqueue"], kept["warm_start"]) == ([dict(first.best.params)], sources)

    # It does so without a study that is gone.
    api.call("tasks.delete", task=first.result["study_id"], force=True)
    view = Listener()
    run(study_file, api, overrides=["study=two", "warm_start=auto", "budget.trials=7"], view=view)
    assert [text.endswith("its values do not count") for text in told_of_warm_start(view)] == [True]


def test_values_do_not_count_where_a_trial_does_not_repeat_them(study_file, api, queue):
    """The script reads other data than before, and nothing on the server says so."""
    data = {"noise": 0.0}

    def training(params):
        for row in quadratic(params):
            yield {name: value + data["noise"] for name, value in row.items()}

    with PlayedAgent(training, queue=queue, connects=CONNECTS):
        run(study_file, api, overrides=["study=one", "budget.trials=3"])
        data["noise"] = 1e-6
        view = Listener()
        run(study_file, api, overrides=["study=two", "warm_start=auto", "budget.trials=3"], view=view)
    *_, told = told_of_warm_start(view)
    assert re.fullmatch(
        r"warm start: trial \d has \S+, and one had \S+ at the same point: its values do not count", told
    )


@pytest.mark.parametrize("other", ["search_space.other=false", "metric_constraints=[{metric: train/loss, high: 9}]"])
def test_values_of_other_constants_or_goals_do_not_count(study_file, api, agent, other):
    run(study_file, api, overrides=["study=one", "budget.trials=3"])
    view = Listener()
    run(study_file, api, overrides=["study=two", "warm_start=auto", "budget.trials=3", other], view=view)
    assert told_of_warm_start(view)[1:] == [
        "warm start: values do not count, as template, constants or goal of these studies are others"
    ]


def test_a_launched_study_has_the_points_as_soon_as_it_is_driven(study_file, api, agent):
    first = run(study_file, api, overrides=["budget.trials=3"])
    draft = draft_study(api, load_study(study_file, ["study=later", "warm_start=[auto]", "budget.trials=3"]))
    view = Listener()
    later = resume(draft.task_id, api, view=view)
    assert len(told_of_warm_start(view)) == 3 and first.best.params in [trial.params for trial in later.trials[:2]]
    kept = yaml.safe_load(read_study(api, draft.task_id).study_yaml)
    sources = [{"study": first.result["study_id"], "if_repeated": True}]
    assert (kept["enqueue"], kept["warm_start"]) == ([dict(first.best.params)], sources)
    view = Listener()
    resume(draft.task_id, api, view=view, overrides=["budget.trials=4"])
    assert len(told_of_warm_start(view)) == 1, "the values that it has repeated"
