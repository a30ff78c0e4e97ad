"""The budget: when a study has had enough, and when a single trial has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What a study may use; None is without limit.

    Attributes:
        trials: trials launched, the baseline included.
        wall_s: seconds from the start of the study.
        compute_s: seconds that its trials ran, added up.
    """

    trials: int | None = None
    wall_s: float | None = None
    compute_s: float | None = None

    def spent(self, *, wall_s: float, compute_s: float) -> str | None:
        """Says which time limit is reached, or None. (The number of trials limits launches, it stops nothing.)"""
        if self.wall_s is not None and wall_s >= self.wall_s:
            return f"the time budget of {self.wall_s:g} s is used up"
        if self.compute_s is not None and compute_s >= self.compute_s:
            return f"the compute budget of {self.compute_s:g} s is used up"
        return None


@dataclass(frozen=True)
class TrialLimits:
    """When a running trial is ended, or spared from pruning; None is without limit.

    Attributes:
        time_s: seconds of running after which it is stopped, its value kept.
        max_iterations: iterations of the objective after which it is stopped, its value kept.
        min_iterations: iterations before which it is not pruned.
    """

    time_s: float | None = None
    max_iterations: int | None = None
    min_iterations: int = 0
