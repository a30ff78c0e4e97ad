"""Whether a study that has ended is done, or goes on with a larger budget."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from clearml_hpo.backend.trial_records import TrialRecords
from clearml_hpo.controller import opening
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.study_file import parse_study

STUDY = """
study: lengths
project: tests
template: {task: t}
search_space:
  General/x: {type: float, low: 0.0, high: 1.0}
objective: {metric: validation/loss, direction: minimize}
fidelity: {parameter: epochs, min: 2, max: 8}
budget: {trials: 4, iterations: 9999}
execution: {queue: queue}
"""


class GoesOn(Exception):
    """It was about to be prepared."""


def finished(monkeypatch, states, *, is_same):
    trials = tuple(
        Trial(n, {"General/x": n / 10}, f"t{n}", state=state, values=(float(n),), length=2, iteration=2)
        for n, state in enumerate(states)
    )
    monkeypatch.setattr(opening, "read_trials", lambda *_, **__: TrialRecords(settled=trials))

    def prepare(api, file):
        raise GoesOn

    one = opening.Opening(None, prepare, threading.Event(), print)
    record = SimpleNamespace(study_id="s", project_id="p", properties={}, status="completed", reason="8 iterations")
    return one._go_on(record, parse_study(STUDY, "study.yaml"), {}, (), is_same=is_same).finished


def test_paused_trials_that_may_go_on_do_so_once_another_limit_has_grown(monkeypatch):
    with pytest.raises(GoesOn):
        finished(monkeypatch, [TrialState.PAUSED] * 4, is_same=False)


def test_a_study_that_is_the_same_or_has_none_that_may_go_on_is_done(monkeypatch):
    assert finished(monkeypatch, [TrialState.PAUSED] * 4, is_same=True) == "8 iterations"
    assert finished(monkeypatch, [TrialState.FAILED] * 4, is_same=False) == "8 iterations"
