"""When the values of earlier studies count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clearml_hpo.controller.repeats import EarlierValues, Repeats
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.mirror import Known

EARLIER = EarlierValues("earlier", [Known({"General/x": x}, (x * x,)) for x in (0.5, 1.5, 2.5)])


@pytest.fixture
def watched():
    """Watches two studies, one of which knows another point; what was told, and the notes."""
    told, notes = [], []
    repeats = Repeats(
        [EARLIER, EarlierValues("elsewhere", [Known({"General/x": 9.5}, (1.0,))])], told.append, notes.append
    )
    return repeats, told, notes


def trial(number, x, value, state=TrialState.COMPLETED):
    return Trial(number, {"General/x": x}, f"task{number}", state=state, values=(value,))


def test_two_equal_values_are_needed(watched):
    repeats, told, notes = watched
    repeats.see(trial(0, 0.5, 0.25))
    repeats.see(trial(1, 0.75, 7.0))  # no earlier trial was there
    assert (told, notes) == ([], [])
    repeats.see(trial(2, 2.5, 6.25 * (1 + 1e-12)))
    assert told == EARLIER.known and len(notes) == 1
    repeats.see(trial(3, 1.5, 2.25))
    repeats.see(trial(4, 1.5, 0.0))
    assert told == EARLIER.known and len(notes) == 1, "once"


def test_one_other_value_is_enough_to_take_none(watched):
    repeats, told, notes = watched
    repeats.see(trial(0, 0.5, 0.25))
    repeats.see(trial(1, 1.5, 2.25001))
    repeats.see(trial(2, 2.5, 6.25))
    assert told == []
    assert notes == ["warm start: trial 1 has 2.25001, and earlier had 2.25 at the same point: its values do not count"]


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING])
def test_a_trial_that_was_not_completed_says_nothing(watched, state):
    repeats, told, notes = watched
    for number, x in enumerate((0.5, 1.5, 2.5)):
        repeats.see(trial(number, x, x * x, state))
    assert (told, notes) == ([], [])


def test_values_from_elsewhere_and_one_point_run_twice_are_no_repetition(watched):
    repeats, told, _ = watched
    repeats.see(replace(trial(0, 0.5, 0.25), is_imported=True))
    repeats.see(replace(trial(1, 1.5, 2.25), is_imported=True))
    repeats.see(trial(2, 2.5, 6.25))
    repeats.see(trial(3, 2.5, 6.25))
    assert told == []
    repeats.see(trial(4, 1.5, 2.25))
    assert told == EARLIER.known
