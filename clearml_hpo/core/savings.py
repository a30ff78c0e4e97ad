"""How much of the training pruning has saved, and what it may have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from clearml_hpo.core.goal import Objective
from clearml_hpo.core.trial import Trial, TrialState

_ENDED_EARLY = (TrialState.PRUNED, TrialState.PAUSED)


def saved_by_pruning(trials: Sequence[Trial]) -> str:
    """``about 37 % of the iterations, by 12 pruned trials``; empty if nothing was pruned, or nothing is known.

    A paused trial counts as pruned. Each counts as if it would have gone on to the median of the completed ones. Where
    trials differ in their length, this is a rough figure.
    """
    states = {trial.state for trial in trials if trial.state in _ENDED_EARLY}
    pruned = [trial.iteration for trial in trials if trial.state in states]
    completed = [trial.iteration for trial in trials if trial.state is TrialState.COMPLETED]
    length = median(completed) if completed else 0.0
    saved = sum(max(0.0, length - iteration) for iteration in pruned)
    if not saved:
        return ""
    how = " and ".join(sorted(state.value for state in states))
    share = saved / (saved + sum(pruned) + sum(completed))
    return f"about {100 * share:.0f} % of the iterations, by {len(pruned)} {how} trial{'s' * (len(pruned) > 1)}"


def ahead_when_pruned(
    trials: Sequence[Trial],
    best: Trial | None,
    histories: Mapping[str, Sequence[tuple[int, float]]],
    objective: Objective | None,
) -> str:
    """``1 of 12 was ahead of the best trial when it was pruned``; empty if no curve tells.

    Compared are the best values so far, at the last step that the pruned trial reported. Which trial would have become
    the best is not known; one that was behind may have.

    Args:
        histories: reported ``(iteration, value)`` of ``objective``, by task; those that are not known do not count.
    """
    if best is None or objective is None:
        return ""
    pick = min if objective.direction == "minimize" else max
    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED and histories.get(trial.task_id)]
    known = ahead = 0
    for trial in pruned:
        curve = histories[trial.task_id]
        last = max(step for step, _ in curve)
        until = [value for step, value in histories.get(best.task_id, ()) if step <= last]
        if until:
            known += 1
            ahead += objective.better(pick(value for _, value in curve), pick(until))
    if not known:
        return ""
    were = (
        "was ahead of the best trial when it was pruned" if ahead <= 1 else "were ahead of the best trial when pruned"
    )
    return f"{ahead or 'none'} of {known} {were}"
