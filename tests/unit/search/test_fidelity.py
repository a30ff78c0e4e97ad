"""Which trials go on, and where they begin."""

from __future__ import annotations

from collections import Counter

import pytest

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.fidelity import Fidelity, lengths_between

LOSS = Goal((Objective("validation", "loss"),))
ASHA = Fidelity("General/epochs", (1, 3, 9), 3)


def paused(number, value, length=1, **more):
    return Trial(number, {}, f"{number}@{length}", state=TrialState.PAUSED, values=(value,), length=length, **more)


def running(number, length):
    return Trial(number, {}, f"{number}@{length}", attempt=2, state=TrialState.RUNNING, length=length)


def numbers(trials):
    return [trial.number for trial in trials]


@pytest.mark.parametrize(
    ("least", "most", "factor", "expected"),
    [(50, 450, 3, (50, 150, 450)), (1, 16, 4, (1, 4, 16)), (50, 400, 3, (133, 400)), (1, 2, 2, (1, 2))],
)
def test_lengths_are_counted_down_from_the_last(least, most, factor, expected):
    assert lengths_between(least, most, factor) == expected


def test_one_length_alone_is_refused():
    with pytest.raises(ValueError, match="3 times min 50"):
        lengths_between(50, 100, 3)


def test_a_task_is_given_its_length_and_what_it_goes_on_from():
    begun, last = ASHA.values(1, ""), ASHA.values(9, "abc")
    assert begun == {"General/epochs": 1, "General/continue_from": "", "General/save_checkpoint": True}
    assert last == {"General/epochs": 9, "General/continue_from": "abc", "General/save_checkpoint": False}
    assert ASHA.defaults == {**last, "General/continue_from": ""}


def test_the_best_of_each_three_goes_on():
    trials = [paused(number, value) for number, value in enumerate([5.0, 4.0, 3.0, 2.0, 1.0, 6.0])]
    assert numbers(ASHA.promotable(trials, [], LOSS)) == [4, 3]
    assert numbers(ASHA.promotable(trials[:5], [], LOSS)) == [4]
    assert ASHA.promotable(trials[:2], [], LOSS) == []


def test_more_is_better_where_the_goal_says_so():
    trials = [paused(number, value) for number, value in enumerate([5.0, 4.0, 3.0])]
    assert numbers(ASHA.promotable(trials, [], Goal((Objective("a", "b", "maximize"),)))) == [0]


def test_what_has_gone_on_counts_where_it_was_and_does_not_go_on_again():
    before = paused(0, 1.0)
    trials = [running(0, 3), paused(1, 2.0), paused(2, 3.0)]
    assert ASHA.promotable(trials, [before], LOSS) == []
    more = [paused(3, 0.5), paused(4, 4.0), paused(5, 5.0)]
    assert numbers(ASHA.promotable([*trials, *more], [before], LOSS)) == [3]


def test_the_longest_come_first():
    earlier = [paused(number, float(number)) for number in range(3)]
    trials = [paused(number, float(number), 3) for number in range(3)]
    fresh = [paused(number, float(number)) for number in range(3, 12)]
    assert [(t.number, t.length) for t in ASHA.promotable([*trials, *fresh], earlier, LOSS)] == [(0, 3), (3, 1)]


def test_a_trial_that_breaks_a_constraint_comes_last():
    trials = [paused(0, 0.0, violations=(0.1,)), paused(1, 2.0, violations=(-1.0,)), paused(2, 3.0, violations=(-1.0,))]
    assert numbers(ASHA.promotable(trials, [], LOSS)) == [1]


def test_at_the_end_the_best_of_a_few_goes_on():
    trials = [paused(0, 2.0), paused(1, 1.0)]
    assert ASHA.promotable(trials, [], LOSS) == []
    assert numbers(ASHA.promotable(trials, [], LOSS, at_end=True)) == [1]


def test_what_is_complete_goes_nowhere():
    done = Trial(0, {}, "0@9", attempt=3, state=TrialState.COMPLETED, values=(1.0,), length=9)
    assert ASHA.promotable([done], [paused(0, 2.0), paused(0, 1.5, 3)], LOSS, at_end=True) == []


def test_hyperband_begins_at_each_length_as_often_as_its_brackets_have_trials():
    hyperband = Fidelity("General/epochs", (1, 3, 9), 3, is_hyperband=True)
    # ceil(3 / (s + 1) * 3^s) trials for s = 2, 1, 0: Li et al. 2018, algorithm 1
    assert Counter(map(hyperband.first, range(17))) == {1: 9, 3: 5, 9: 3}
    assert [hyperband.first(number) for number in range(17, 34)] == [hyperband.first(number) for number in range(17)]
    assert set(map(hyperband.first, range(6))) == {1, 3, 9}


def test_brackets_of_hyperband_do_not_mix():
    hyperband = Fidelity("General/epochs", (1, 3, 9), 3, is_hyperband=True)
    firsts = {number: hyperband.first(number) for number in range(17)}
    short = [number for number, first in firsts.items() if first == 1][:3]
    longer = [number for number, first in firsts.items() if first == 3][:3]
    earlier = [paused(number, 1.0) for number in short]
    trials = [*(paused(number, 1.0, 3) for number in short), *(paused(number, 2.0, 3) for number in longer)]
    assert numbers(hyperband.promotable(trials, earlier, LOSS)) == [short[0], longer[0]]


def test_a_continuation_that_failed_for_good_leaves_its_place_to_the_next():
    lost = Trial(0, {}, "0@3", attempt=2, state=TrialState.LOST, length=3)
    trials = [lost, paused(1, 2.0), paused(2, 3.0)]
    assert numbers(ASHA.promotable(trials, [paused(0, 1.0)], LOSS, at_end=True)) == [1]
    assert ASHA.promotable(trials, [paused(0, 1.0)], LOSS) == []
