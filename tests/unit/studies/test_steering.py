from __future__ import annotations

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.studies.steering import WITHOUT_VALUE, chosen_for_retry

STATES = [TrialState.COMPLETED, TrialState.FAILED, TrialState.PRUNED, TrialState.LOST, TrialState.RUNNING]
TRIALS = [Trial(number, {}, f"t{number}", state=state) for number, state in enumerate(STATES)]


def chosen(numbers=(), states=WITHOUT_VALUE):
    return [trial.number for trial in chosen_for_retry(TRIALS, numbers, states)]


def test_all_that_ended_without_a_value():
    assert chosen() == [1, 3]
    assert chosen(states=[TrialState.LOST]) == [3]
    assert chosen([3]) == [3]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([0], "trial 0 is completed"), ([1, 2], "trial 2 is pruned"), ([4], "trial 4 is running"), ([5], "0 to 4")],
)
def test_none_that_has_a_value_lives_or_is_not_there(numbers, said):
    with pytest.raises(InputError, match=said):
        chosen(numbers)


def test_a_study_without_trials():
    with pytest.raises(InputError, match="it has none yet"):
        chosen_for_retry([], [0], WITHOUT_VALUE)
    assert chosen_for_retry([], [], WITHOUT_VALUE) == ()


def test_every_state_is_either_live_or_has_an_answer():
    answered = {TrialState.COMPLETED, TrialState.PRUNED, TrialState.PAUSED, *WITHOUT_VALUE}
    assert {state for state in TrialState if not state.is_live} == answered
