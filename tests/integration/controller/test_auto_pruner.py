"""The pruner of a study that names none: chosen and said, and left alone where a study went on without one."""

from __future__ import annotations

import pytest
import yaml

from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.backend.study_records import read_study
from clearml_hpo.core.trial import TrialState
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS
from .driving import Listener, resume, run

FALLING = "pruner: falling (by validation/loss; the first 8 trials are left to complete)"
ONE_AT_A_TIME = ["execution.concurrency=1", "execution.prefetch=0", "sampler={name: random, seed: 1}"]


def worse_and_worse():
    """Trials of 100 steps, each worse than those before."""
    number = 0

    def train(params):
        nonlocal number
        number += 1
        for step in range(1, 101):
            yield {"validation/loss": number + 1.0 / step}

    return train


def said_of_pruners(view):
    return [text for text in view.notes if text.startswith("pruner: ")]


def test_a_new_study_ends_trials_that_are_behind_and_says_by_what(study_file, api, queue):
    view = Listener()
    with PlayedAgent(worse_and_worse(), queue=queue, connects=CONNECTS, step_s=0.005):
        outcome = run(study_file, api, view=view, overrides=["budget.trials=10", *ONE_AT_A_TIME])
    assert said_of_pruners(view) == [FALLING]
    states = [trial.state for trial in outcome.trials]
    assert states == [TrialState.COMPLETED] * 8 + [TrialState.PRUNED] * 2
    assert yaml.safe_load(read_study(api, outcome.result["study_id"]).study_yaml)["pruner"] == {"name": "auto"}


def test_where_trials_report_once_nothing_is_pruned_and_curves_are_not_read(study_file, api, queue):
    def once(params):
        yield {"validation/loss": float(params["General/x"])}

    view = Listener()
    with PlayedAgent(once, queue=queue, connects=CONNECTS):
        outcome = run(study_file, api, view=view, overrides=["budget.trials=12", *ONE_AT_A_TIME])
    line = "pruner: none (8 trials are complete, and have reported validation/loss once each)"
    assert said_of_pruners(view) == [FALLING, line]
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 12


@pytest.mark.parametrize("by", ["run", "resume"])
def test_a_study_from_before_goes_on_without_a_pruner(study_file, api, queue, by):
    """Its task keeps a study that names none; that was the default when it was made."""
    with PlayedAgent(worse_and_worse(), queue=queue, connects=CONNECTS, step_s=0.005):
        first = run(study_file, api, overrides=["budget.trials=8", *ONE_AT_A_TIME])
        study_id = first.result["study_id"]
        record = read_study(api, study_id)
        kept = yaml.safe_load(record.study_yaml)
        del kept["pruner"]
        ControllerTask(api, study_id, record.project_id).set_configuration(study=yaml.safe_dump(kept))
        view = Listener()
        more = ["budget.trials=10", *ONE_AT_A_TIME]
        if by == "run":
            outcome = run(study_file, api, view=view, overrides=more)
        else:
            outcome = resume(study_id, api, view=view, overrides=["budget.trials=10"])
    assert said_of_pruners(view) == []
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 10
    assert yaml.safe_load(read_study(api, study_id).study_yaml)["pruner"] == {"name": "none"}
