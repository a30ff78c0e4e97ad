"""How much of the training pruning has saved, and what it may have cost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from clearml_hpo.core.goal import Objective
from clearml_hpo.core.savings import ahead_when_pruned, saved_by_pruning
from clearml_hpo.core.trial import Trial, TrialState


def trials(completed: Sequence[int], pruned: Sequence[int]) -> list[Trial]:
    states = [(TrialState.COMPLETED, each) for each in completed] + [(TrialState.PRUNED, each) for each in pruned]
    return [Trial(i, {}, f"t{i}", state=state, iteration=length) for i, (state, length) in enumerate(states)]


@pytest.mark.parametrize(
    ("completed", "pruned", "said"),
    [
        ([100, 100], [20, 80], "about 25 % of the iterations, by 2 pruned trials"),
        ([100, 50, 10], [25], "about 12 % of the iterations, by 1 pruned trial"),
        ([100], [], ""),
        ([], [10], ""),  # nobody knows how long it would have gone on
        ([0, 0], [0], ""),  # nothing reports iterations
        ([10], [30], ""),  # it was longer than others are
    ],
)
def test_how_much_is_saved(completed: Sequence[int], pruned: Sequence[int], said: str) -> None:
    assert saved_by_pruning(trials(completed, pruned)) == said


def test_what_failed_or_runs_counts_for_nothing() -> None:
    others = [Trial(i + 9, {}, f"o{i}", state=state, iteration=500) for i, state in enumerate(TrialState)]
    kept = [each for each in others if each.state not in (TrialState.COMPLETED, TrialState.PRUNED, TrialState.PAUSED)]
    assert saved_by_pruning([*trials([100, 100], [20, 80]), *kept]).startswith("about 25 %")


def test_what_is_paused_is_saved_too() -> None:
    paused = Trial(9, {}, "p", state=TrialState.PAUSED, iteration=20)
    assert saved_by_pruning([*trials([100, 100], []), paused]) == "about 27 % of the iterations, by 1 paused trial"
    assert saved_by_pruning([*trials([100, 100], [80]), paused]).endswith("by 2 paused and pruned trials")


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
@pytest.mark.parametrize(
    ("curves", "said"),
    [
        ({}, ""),
        ({"t0": [5.0, 4.0, 1.0]}, ""),
        ({"t1": [9.0]}, ""),  # that of the best one is not known
        (
            {"t0": [5.0, 4.0, 1.0], "t1": [9.0], "t2": [9.0, 4.0]},
            "none of 2 was ahead of the best trial when it was pruned",
        ),
        (
            {"t0": [5.0, 4.0, 1.0], "t1": [4.5], "t2": [9.0, 4.5]},
            "1 of 2 was ahead of the best trial when it was pruned",
        ),
        ({"t0": [5.0, 4.0, 1.0], "t1": [4.5], "t2": [3.5, 9.0]}, "2 of 2 were ahead of the best trial when pruned"),
        ({"t0": [5.0, 4.0, 1.0], "t2": [4.5, 4.5]}, "none of 1 was ahead of the best trial when it was pruned"),
    ],
)
def test_what_was_ahead_when_it_was_pruned(
    direction: str, sign: float, curves: dict[str, list[float]], said: str
) -> None:
    found = trials([3], [1, 2])
    objective = Objective("validation", "loss", "minimize" if direction == "minimize" else "maximize")
    histories = {task: [(n, sign * v) for n, v in enumerate(curve)] for task, curve in curves.items()}
    assert ahead_when_pruned(found, found[0], histories, objective) == said
    assert ahead_when_pruned(found, None, histories, objective) == ""
    assert ahead_when_pruned(found, found[0], histories, None) == ""
