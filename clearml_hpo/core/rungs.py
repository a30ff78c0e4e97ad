"""How far the trials of a study with ``fidelity`` have come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from clearml_hpo.core.trial import Trial, TrialState


def rungs_text(trials: Iterable[Trial], earlier: Iterable[Trial]) -> str:
    """``at 50: 18 paused, 9 promoted; at 150: 9 completed``; empty if trials have no lengths.

    Args:
        trials: all trials with their latest attempts.
        earlier: the attempts before those; what paused there was promoted.
    """
    counts: dict[int, Counter[str]] = {}
    ended = [(trial, trial.state.value) for trial in trials if trial.state in (TrialState.PAUSED, TrialState.COMPLETED)]
    ended += [(attempt, "promoted") for attempt in earlier if attempt.state is TrialState.PAUSED]
    for attempt, word in ended:
        if attempt.length:
            counts.setdefault(attempt.length, Counter())[word] += 1
    words = ("paused", "promoted", "completed")
    texts = {
        length: ", ".join(f"{found[word]} {word}" for word in words if found[word]) for length, found in counts.items()
    }
    return "; ".join(f"at {length}: {texts[length]}" for length in sorted(texts))
