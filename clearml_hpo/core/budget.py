"""The budget: when a study has had enough, and when a single trial has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

StopMode: TypeAlias = Literal["abort", "drain"]

FIRST_TRIALS = 10
"""What a study has gained is the difference between its best value and the median of so many first ones."""


@dataclass(frozen=True)
class Spent:
    """What a study has used so far.

    Attributes:
        wall_s: seconds that it was driven by a controller.
        compute_s: seconds that its trials ran, added up; every attempt counts.
        gpu_s: the same, each times the number of its GPUs.
        iterations: of all trials, added up.
        best_value: the best value of its only objective.
        trials_since_best: trials that ended since the last gain that counts (``Budget.min_gain``).
        s_since_best: seconds since then, or since the start.
        to_gain: what a further trial is expected to gain, as a share of what the study has gained; None if not known.
    """

    wall_s: float = 0.0
    compute_s: float = 0.0
    gpu_s: float = 0.0
    iterations: int = 0
    best_value: float | None = None
    trials_since_best: int = 0
    s_since_best: float = 0.0
    to_gain: float | None = None


@dataclass(frozen=True)
class Budget:
    """What a study may use; None is without limit.

    Attributes:
        trials: trials in all, the baseline included; the attempts of one count once, duplicates not at all.
        wall_s: seconds that a controller drives it.
        compute_s: seconds that its trials run, added up.
        gpu_s: GPU-seconds that its trials run, added up.
        iterations: iterations that its trials report, added up.
        target: a value of its only objective at which it is content; ``maximize`` says which way.
        stale_trials: trials in a row that are no improvement.
        stale_s: seconds without improvement.
        min_gain: a gain counts if it is more than this share of what the study has gained: the difference between the
            best trial and the median of the first ten.
        flat: the study ends once a further trial is expected to gain no more than this share of what it has gained.
        then: what happens to trials that run when a limit is reached: ``abort`` ends them, ``drain`` waits for them.
    """

    trials: int | None = None
    wall_s: float | None = None
    compute_s: float | None = None
    gpu_s: float | None = None
    iterations: int | None = None
    target: float | None = None
    maximize: bool = False
    stale_trials: int | None = None
    stale_s: float | None = None
    min_gain: float = 0.0
    flat: float | None = None
    then: StopMode = "abort"

    def remaining(self, spent: Spent, trials: int) -> dict[str, str]:
        """What is left of each limit that is set, for users; ``trials`` were launched so far."""
        left = {
            "trials": self.trials and f"{max(0, self.trials - trials)} of {self.trials}",
            "time": _left_s(self.wall_s, spent.wall_s),
            "compute time": _left_s(self.compute_s, spent.compute_s),
            "GPU time": _left_s(self.gpu_s, spent.gpu_s),
            "iterations": self.iterations and f"{max(0, self.iterations - spent.iterations)} of {self.iterations}",
            "trials without improvement": self.stale_trials
            and f"{max(0, self.stale_trials - spent.trials_since_best)} of {self.stale_trials}",
            "time without improvement": _left_s(self.stale_s, spent.s_since_best),
            "expected gain": self.outlook(spent.to_gain),
        }
        return {name: text for name, text in left.items() if text}

    def reached(self, spent: Spent) -> str | None:
        """Says which limit is reached, or None. (The number of trials limits launches, it stops nothing.)"""
        small = f" (gains up to {100 * self.min_gain:g} % do not count)" if self.min_gain else ""
        for limit, used, name in (
            (self.wall_s, spent.wall_s, "the time budget of {:g} s is used up"),
            (self.compute_s, spent.compute_s, "the compute budget of {:g} s is used up"),
            (self.gpu_s, spent.gpu_s, "the GPU budget of {:g} s is used up"),
            (self.iterations, spent.iterations, "the budget of {} iterations is used up"),
            (self.stale_trials, spent.trials_since_best, f"no improvement in {{}} trials{small}"),
            (self.stale_s, spent.s_since_best, f"no improvement in {{:g}} s{small}"),
        ):
            if limit is not None and used >= limit:
                return name.format(limit)
        if self.flat is not None and spent.to_gain is not None and spent.to_gain <= self.flat:
            return f"flat: {self.outlook(spent.to_gain)}"
        return self._target_reached(spent.best_value)

    def outlook(self, to_gain: float | None) -> str:
        """What a further trial is expected to gain, for users; empty if the study does not end by that."""
        if self.flat is None:
            return ""
        limit = f"(limit {100 * self.flat:g} %)"
        if to_gain is None:
            return f"what a trial is expected to gain is not known yet {limit}"
        return f"a trial is expected to gain {100 * to_gain:.2g} % of what was gained {limit}"

    def _target_reached(self, best: float | None) -> str | None:
        if self.target is None or best is None:
            return None
        reached = best >= self.target if self.maximize else best <= self.target
        return f"the target of {self.target:g} is reached" if reached else None


def _left_s(limit_s: float | None, used_s: float) -> str | None:
    return None if limit_s is None else f"{max(0.0, limit_s - used_s):.0f} of {limit_s:g} s"


@dataclass(frozen=True)
class TrialLimits:
    """When a running trial is ended, or spared from pruning; None is without limit.

    Attributes:
        time_s: seconds of running after which it is stopped, its value kept.
        max_iterations: iterations of the objective after which it is stopped, its value kept.
        min_iterations: iterations before which it is not pruned.
        min_time_s: seconds of running before which it is not pruned.
    """

    time_s: float | None = None
    max_iterations: int | None = None
    min_iterations: int = 0
    min_time_s: float = 0.0
