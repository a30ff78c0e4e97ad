"""What is to be said of a study when it has ended, for a text, a page, or a file beside other studies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.rungs import rungs_text
from clearml_hpo.core.savings import ahead_when_pruned, saved_by_pruning
from clearml_hpo.core.trial import Trial, TrialState, best_trial, pareto_front
from clearml_hpo.search.space import SearchSpace

_MOST_NAMED = 8
_LONGEST_REASON = 300
_ENDED_EARLY = (TrialState.PRUNED, TrialState.PAUSED)


@dataclass(frozen=True)
class Ending:
    """Attempts without a value that ended alike.

    Attributes:
        reason: its first line; empty if none was given.
        trials: ``3``, or ``3:2`` for the second attempt of trial 3.
    """

    state: TrialState
    reason: str
    count: int
    trials: tuple[str, ...]


@dataclass(frozen=True)
class StudySummary:
    """A study to be summed up.

    Attributes:
        status: ClearML's word for the controller task, or how the run has ended.
        trials: each with its latest attempt, by number.
        earlier: attempts that were followed by another one.
        driven_s: seconds that controllers drove it.
        at: when it was read, in seconds since the epoch.
        url_of: the page of a trial's task.
        group: what makes studies comparable, such as their data set; only those of one group are compared.
        histories: reported ``(iteration, value)`` of what the pruner looks at, by task, as far as they are known.
    """

    name: str
    study_id: str
    project: str
    url: str
    status: str
    reason: str
    goal: Goal
    space: SearchSpace
    trials: Sequence[Trial]
    earlier: Sequence[Trial]
    driven_s: float
    at: float
    url_of: Callable[[Trial], str]
    group: str = ""
    histories: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)

    @cached_property
    def best(self) -> Trial | None:
        """The best trial, if one has completed."""
        return best_trial(self.trials, self.goal)

    @cached_property
    def front(self) -> Sequence[Trial]:
        """The Pareto front; of one objective the best trial alone."""
        return pareto_front(self.trials, self.goal)

    @cached_property
    def ranked(self) -> Sequence[Trial]:
        """All trials, the best first."""
        return ranking(self.trials, self.goal)

    @property
    def counts(self) -> Mapping[TrialState, int]:
        """How many trials are in each state; states of none are left out."""
        found = Counter(trial.state for trial in self.trials)
        return {state: found[state] for state in TrialState if found[state]}

    @property
    def compute_s(self) -> float:
        """Seconds that its attempts ran, added up."""
        return sum(trial.duration or 0.0 for trial in (*self.trials, *self.earlier))

    @property
    def trials_per_hour(self) -> float | None:
        """Trials that ended, by the hour that it was driven; None if it was not, or none has."""
        ended = sum(not trial.state.is_live for trial in self.trials)
        return ended / self.driven_s * 3600 if ended and self.driven_s > 0 else None

    @cached_property
    def endings(self) -> Sequence[Ending]:
        """How attempts ended without a value, and why; the most frequent first."""
        found: dict[tuple[TrialState, str], list[Trial]] = {}
        for trial in (*self.trials, *self.earlier):
            if trial.final_values is None and not trial.state.is_live and trial.state not in _ENDED_EARLY:
                reason = trial.reason.partition("\n")[0][:_LONGEST_REASON]
                found.setdefault((trial.state, reason), []).append(trial)
        endings = [
            Ending(state, reason, len(those), tuple(sorted(map(attempt_name, those), key=_by_number)[:_MOST_NAMED]))
            for (state, reason), those in found.items()
        ]
        return sorted(endings, key=lambda ending: -ending.count)

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        """Names and values of what is to be known first."""
        best = self.best
        again = sum(attempt.state is not TrialState.PAUSED for attempt in self.earlier)
        facts = [
            ("objective", "; ".join(f"{o.metric}, {o.direction}" for o in self.goal.objectives)),
            ("best", "none" if best is None else f"{values_text(best, self.goal)}: trial {best.number}"),
            ("trial 0", self._first_text()),
            ("front", "" if self.goal.is_single else f"{len(self.front)} trials"),
            ("trials", ", ".join(f"{count} {state.value}" for state, count in self.counts.items()) or "none"),
            ("lengths", rungs_text(self.trials, self.earlier)),
            ("saved", self._saved_text()),
            ("run again", f"{again} attempts" if again else ""),
            ("time", duration_text(self.driven_s)),
            ("compute time", duration_text(self.compute_s)),
            ("trials an hour", _rate_text(self.trials_per_hour)),
            ("project", self.project),
            ("study", self.study_id),
        ]
        return [(name, text) for name, text in facts if text]

    def _saved_text(self) -> str:
        """What pruning has saved, and what it may have cost."""
        saved = saved_by_pruning(self.trials)
        ahead = ahead_when_pruned(self.trials, self.best, self.histories, self.goal.pruning_objective)
        return "; ".join(filter(None, [saved, ahead if saved else ""]))

    def _first_text(self) -> str:
        """The values of trial 0, where another one is the best."""
        first = self.trials[0] if self.trials else None
        if first is None or first.value is None or self.best is None or first is self.best:
            return ""
        return values_text(first, self.goal)


def attempt_name(trial: Trial) -> str:
    """``7``, or ``7:2`` for the second attempt."""
    return f"{trial.number}" + f":{trial.attempt}" * (trial.attempt > 1)


def values_text(trial: Trial, goal: Goal) -> str:
    """``0.25``, or of several objectives ``loss 0.25, speed 12``."""
    texts = ["" if value is None else f"{value:.6g}" for value in trial.values]
    if goal.is_single:
        return texts[0] if texts else ""
    return ", ".join(f"{o.metric} {text}" for o, text in zip(goal.objectives, texts, strict=False) if text)


def duration_text(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3:05 min``, ``2:07 h``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest_s:02d} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d} h" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _rate_text(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _by_number(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split(":"))
