"""How far the trials of a study have come, in words."""

from __future__ import annotations

from clearml_hpo.core.rungs import rungs_text
from clearml_hpo.core.trial import Trial, TrialState


def test_each_length_has_its_paused_promoted_and_completed_trials() -> None:
    paused, done = TrialState.PAUSED, TrialState.COMPLETED
    trials = [Trial(0, {}, "a", state=paused, length=2), Trial(1, {}, "b", state=done, length=6)]
    earlier = [Trial(1, {}, "c", state=paused, length=2), Trial(1, {}, "d", state=TrialState.LOST, length=6)]
    assert rungs_text(trials, earlier) == "at 2: 1 paused, 1 promoted; at 6: 1 completed"


def test_a_study_without_lengths_has_none() -> None:
    assert rungs_text([Trial(0, {}, "a", state=TrialState.COMPLETED)], []) == ""
