"""How much of the training pruning has saved."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from clearml_hpo.core.savings import saved_by_pruning
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
    kept = [each for each in others if each.state not in (TrialState.COMPLETED, TrialState.PRUNED)]
    assert saved_by_pruning([*trials([100, 100], [20, 80]), *kept]).startswith("about 25 %")
