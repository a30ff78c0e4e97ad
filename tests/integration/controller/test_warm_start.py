"""What is known before the first trial, and the copy in an Optuna storage."""

from __future__ import annotations

import optuna
import pytest

from clearml_hpo.core.errors import InputError

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
    assert "2 trials of 2 tasks" in view.notes[1]
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
