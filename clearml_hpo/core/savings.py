"""How much of the training pruning has saved."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from clearml_hpo.core.trial import Trial, TrialState


def saved_by_pruning(trials: Sequence[Trial]) -> str:
    """``about 37 % of the iterations, by 12 pruned trials``; empty if nothing was pruned, or nothing is known.

    Each pruned trial counts as if it would have gone on to the median of the completed ones. Where trials differ in
    their length, this is a rough figure.
    """
    pruned = [trial.iteration for trial in trials if trial.state is TrialState.PRUNED]
    completed = [trial.iteration for trial in trials if trial.state is TrialState.COMPLETED]
    length = median(completed) if completed else 0.0
    saved = sum(max(0.0, length - iteration) for iteration in pruned)
    if not saved:
        return ""
    share = saved / (saved + sum(pruned) + sum(completed))
    return f"about {100 * share:.0f} % of the iterations, by {len(pruned)} pruned trial{'s' * (len(pruned) > 1)}"
