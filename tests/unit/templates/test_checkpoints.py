"""Trainings that go on from the checkpoint of an earlier one."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.unit.templates.conftest import NAMES, Offline, Recorder, load

CAN = [name for name in NAMES if name != "sklearn"]
# Without chance a training that goes on is the training that was not interrupted.
CERTAIN = {
    "bootstrap_type": "No",
    "random_strength": 0.0,
    "early_stopping_rounds": 0,
    "upload_model": False,
    "thread_count": 1,
}


def trained(module, monkeypatch, before=None, **given):
    """The task of a training that goes on from the artifact of ``before``."""
    task = Offline()
    if before is not None:
        monkeypatch.setattr(module, "fetch_checkpoint", lambda task_id: before.artifacts["checkpoint"])
        given["continue_from"] = "before"
    params = {name: value for name, value in {**CERTAIN, **given}.items() if name in module.PARAMETERS}
    module.run(task, {**module.PARAMETERS, **params})
    return task


@pytest.mark.parametrize("name", CAN)
def test_what_goes_on_is_as_if_it_had_never_paused(name, monkeypatch):
    module = load(name)
    first = trained(module, monkeypatch, iterations=5, save_checkpoint=True)
    second = trained(module, monkeypatch, first, iterations=10, save_checkpoint=True)
    third = trained(module, monkeypatch, second, iterations=15)
    whole = trained(module, monkeypatch, iterations=15)
    for scalar, curve in whole.logger.curves.items():
        assert third.logger.curves[scalar] == pytest.approx(curve, rel=1e-5), scalar
    assert third.logger.singles == pytest.approx(whole.logger.singles, rel=1e-5)
    assert "checkpoint" not in third.artifacts
    assert max(first.logger.curves["validation/logloss"]) == 4


@pytest.mark.parametrize("name", CAN)
@pytest.mark.parametrize("metrics", ["auc,logloss", "logloss"])
def test_the_best_iteration_may_be_one_of_the_checkpoint(name, metrics, monkeypatch):
    module = load(name)
    given = {"learning_rate": 1.0, "metrics": metrics}
    first = trained(module, monkeypatch, iterations=15, save_checkpoint=True, **given)
    second = trained(module, monkeypatch, first, iterations=30, **given)
    whole = trained(module, monkeypatch, iterations=30, **given)
    assert second.logger.singles == pytest.approx(whole.logger.singles, rel=1e-4)


@pytest.mark.parametrize("name", CAN)
def test_each_fold_goes_on_from_its_own_model(name, monkeypatch):
    module, folds = load(name), {"validation": "stratified", "folds": 3}
    first = trained(module, monkeypatch, iterations=4, save_checkpoint=True, **folds)
    second = trained(module, monkeypatch, first, iterations=8, **folds)
    whole = trained(module, monkeypatch, iterations=8, **folds)
    assert second.logger.curves["validation/logloss"] == pytest.approx(
        whole.logger.curves["validation/logloss"], rel=1e-5
    )


@pytest.mark.parametrize("name", CAN)
def test_a_checkpoint_that_is_as_long_already_is_an_error(name, monkeypatch):
    module = load(name)
    first = trained(module, monkeypatch, iterations=10, save_checkpoint=True)
    with pytest.raises(module.InputError, match="General/iterations: 10; the checkpoint has 10 already"):
        trained(module, monkeypatch, first, iterations=10)


def test_a_checkpoint_that_is_not_there_is_an_error(monkeypatch):
    module = load("xgboost")

    class Missing:
        artifacts: ClassVar = {}

    monkeypatch.setattr(module.Task, "get_task", lambda task_id: Missing())
    with pytest.raises(module.InputError, match="General/continue_from: no checkpoint of task abc"):
        module.fetch_checkpoint("abc")


def test_a_training_stops_early_by_what_the_checkpoint_has_seen(monkeypatch):
    module, given = load("xgboost"), {"learning_rate": 1.0, "early_stopping_rounds": 10}
    first = trained(module, monkeypatch, iterations=8, save_checkpoint=True, **given)
    second = trained(module, monkeypatch, first, iterations=200, **given)
    whole = trained(module, monkeypatch, iterations=200, **given)
    assert second.logger.curves["validation/logloss"] == pytest.approx(
        whole.logger.curves["validation/logloss"], rel=1e-5
    )


def test_every_scalar_is_kept_in_the_checkpoint(monkeypatch):
    module, recorder = load("lightgbm"), Recorder()
    first = trained(module, monkeypatch, iterations=5, save_checkpoint=True)
    scalars = module.Scalars(recorder, module.chosen_metrics("auto", "binary"))
    scalars.go_on(first.artifacts["checkpoint"], "fold_0", 10)
    assert scalars.done == 5
    assert recorder.curves == {k: v for k, v in first.logger.curves.items() if k.startswith(("train/", "validation/"))}
