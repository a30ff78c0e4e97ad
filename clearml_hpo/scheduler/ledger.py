"""What a study has used so far."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from statistics import median

from clearml_hpo.core.budget import FIRST_TRIALS, Spent
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState

_RECENT = 8  # attempts
_GPUS = re.compile(r":d?gpu([^:]+)")


def gpus_of(worker: str) -> int:
    """How many GPUs a worker has, by its name.

    ``host:gpu0,1`` has 2, ``host:cpu:0`` none; ``host:gpuall`` counts as 1, and so does one of several on the same GPU,
    such as ``host:gpu0-1``.
    """
    found = _GPUS.search(worker)
    return len(found[1].split(",")) if found else 0


class Ledger:
    """Adds up as trials end."""

    def __init__(self, goal: Goal, started_at: float, min_gain: Callable[[], float] = lambda: 0.0) -> None:
        """``min_gain`` is that of the budget, which may change."""
        self._goal = goal
        self._min_gain = min_gain
        self._compute_s = self._gpu_s = 0.0
        self._iterations = 0
        self._latest: dict[str, tuple[Trial, float]] = {}
        self._values: dict[int, float] = {}
        self._best: float | None = None
        self._counted: float | None = None
        self._best_at = started_at
        self._since_best: set[int] = set()
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def ended(self, trial: Trial, running_s: float) -> None:
        """An attempt has ended, after so many seconds of running."""
        self._add(trial, running_s, 1)
        self._latest[trial.task_id] = trial, running_s
        self._recent.append(running_s)

    def goes_on_running(self, trial: Trial) -> None:
        """The run of an attempt that was taken for ended goes on: its end is still to come."""
        if trial.task_id in self._latest:
            self._add(*self._latest.pop(trial.task_id), -1)

    @property
    def recent_s(self) -> float | None:
        """Seconds that the last few attempts ran, as their median; None before the first end."""
        return median(self._recent) if self._recent else None

    def _add(self, trial: Trial, running_s: float, times: int) -> None:
        self._compute_s += times * running_s
        self._gpu_s += times * running_s * gpus_of(trial.worker)
        self._iterations += times * self._trained(trial)

    def _trained(self, trial: Trial) -> int:
        """The iterations of this attempt: what it goes on from was trained before."""
        before = self._latest.get(trial.continues)
        return trial.iteration - min(trial.iteration, before[0].iteration if before else 0)

    def decided(self, trial: Trial, at: float) -> None:
        """A trial has ended for good, as far as is known. One that a user retries ends once more."""
        if trial.state is not TrialState.PAUSED:  # it could be no improvement yet
            self._since_best.add(trial.number)
        values = trial.final_values
        if not self._goal.is_single or values is None or not trial.is_feasible:
            return
        self._values[trial.number] = values[0]
        if self._best is not None and not self._goal.objectives[0].better(values[0], self._best):
            return
        self._best = values[0]
        # Small gains add up: each is measured from the last one that counted.
        if self._counted is None or abs(self._best - self._counted) > self._min_gain() * self.gained:
            self._counted, self._best_at = self._best, at
            self._since_best.clear()

    @property
    def gained(self) -> float:
        """By how much the best value is better than the median of the first ones."""
        first = [*self._values.values()][:FIRST_TRIALS]
        return abs(median(first) - self._best) if self._best is not None else 0.0

    def goes_on(self, last_end: float, now: float) -> None:
        """The study goes on after a while without a controller; its trials had ended by ``last_end``."""
        if self._best is not None:
            self._best_at += now - last_end

    def spent(self, now: float, driven_since: float, running: Callable[[], list[tuple[Trial, float]]]) -> Spent:
        """What is used up now; ``running`` has the trials that run and the seconds since they started."""
        live = running()
        return Spent(
            wall_s=now - driven_since,
            compute_s=self._compute_s + sum(seconds for _, seconds in live),
            gpu_s=self._gpu_s + sum(seconds * gpus_of(trial.worker) for trial, seconds in live),
            iterations=self._iterations + sum(self._trained(trial) for trial, _ in live),
            best_value=self._best,
            trials_since_best=len(self._since_best) if self._goal.is_single else 0,
            s_since_best=now - self._best_at if self._goal.is_single else 0.0,
        )
