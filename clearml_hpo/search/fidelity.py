"""Multi-fidelity: trials train for a short while, pause, and the best of them go on from their checkpoints.

The rule is ASHA's, of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020), algorithm 2. Hyperband
is several brackets of it, of Li et al., "Hyperband" (2018), algorithm 1: each begins at another length.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Value

CONTINUE_FROM = "continue_from"
"""Hyperparameter of a template: id of the task whose checkpoint a training goes on from; empty for a new one."""
SAVE_CHECKPOINT = "save_checkpoint"
"""Hyperparameter of a template: whether a training leaves a checkpoint, as it may go on."""


def lengths_between(least: int, most: int, factor: int) -> tuple[int, ...]:
    """The lengths of trainings, counted down from ``most``: each is ``factor`` times the one before it, rounded.

    None is below ``least``.

    Raises:
        ValueError: ``most`` alone is left.
    """
    lengths, length = [most], most / factor
    while round(length) >= least:
        lengths.append(round(length))
        length /= factor
    if len(lengths) == 1:
        raise ValueError(f"max {most} leaves one length; it must be {factor} times min {least} or more")
    return tuple(reversed(lengths))


@dataclass(frozen=True)
class Fidelity:
    """For how long trials train before they pause.

    Attributes:
        parameter: the hyperparameter, ``section/name``, that says how long a training is.
        lengths: its values, the shortest one first; a trial is complete at the last one.
        factor: one of so many trials goes on from each length.
        is_hyperband: whether trials begin at different lengths, in turn.
    """

    parameter: str
    lengths: tuple[int, ...]
    factor: int
    is_hyperband: bool = False

    @property
    def defaults(self) -> Mapping[str, Value]:
        """The hyperparameters that a template must have, by full name, with the values of a training of full length."""
        return self.values(self.lengths[-1], "")

    def values(self, length: int, continues: str) -> dict[str, Value]:
        """What the task of an attempt is given; ``continues`` is the task before it."""
        section = self.parameter.partition("/")[0]
        return {
            self.parameter: length,
            f"{section}/{CONTINUE_FROM}": continues,
            f"{section}/{SAVE_CHECKPOINT}": not self.is_last(length),
        }

    def is_last(self, length: int) -> bool:
        """Whether a trial is complete after a training of this length."""
        return length >= self.lengths[-1]

    def after(self, length: int) -> int:
        """The length that follows."""
        return next(each for each in self.lengths if each > length)

    def first(self, number: int) -> int:
        """The length at which trial ``number`` begins."""
        return self._turns[number % len(self._turns)]

    @cached_property
    def _turns(self) -> tuple[int, ...]:
        """At which lengths trials begin, in turn: as often as Hyperband's brackets of equal budgets have trials."""
        if not self.is_hyperband:
            return self.lengths[:1]
        count = len(self.lengths)
        sizes = {
            first: math.ceil(count / (count - place) * self.factor ** (count - place - 1))
            for place, first in enumerate(self.lengths)
        }
        # Evenly mixed: the k-th of n stands at the fraction (k + 1/2) / n.
        mixed = sorted(((k + 0.5) / size, first) for first, size in sizes.items() for k in range(size))
        return tuple(first for _, first in mixed)

    def promotable(
        self, trials: Iterable[Trial], earlier: Iterable[Trial], goal: Goal, *, at_end: bool = False
    ) -> list[Trial]:
        """The paused trials that may go on to the next length, those of the longest first.

        At each length these are the best, one of ``factor`` of the trials that began together and came so far, as far
        as they have not gone on yet.

        Args:
            trials: all trials with their latest attempts.
            earlier: the attempts before those.
            goal: of one objective; trials that break a constraint on a metric come last.
            at_end: nothing runs, and no trial is to come: the best of a few goes on too.
        """
        latest = {trial.number: trial for trial in trials}
        rungs: dict[tuple[int, int], dict[int, Trial]] = defaultdict(dict)
        for trial in (*earlier, *latest.values()):
            if trial.state in (TrialState.PAUSED, TrialState.COMPLETED) and 0 < trial.length < self.lengths[-1]:
                rungs[trial.length, self.first(trial.number)][trial.number] = trial
        found = []
        for (length, _), rung in sorted(rungs.items(), key=lambda item: (-item[0][0], item[0][1])):
            share = len(rung) // self.factor
            if at_end:  # whose continuation has failed for good leaves its place to the next
                rung = {number: each for number, each in rung.items() if not latest[number].state.is_without_value}
                share = max(1, share)
            best = sorted(rung.values(), key=lambda trial: _rank(trial, goal))[:share]
            paused = [latest[trial.number] for trial in best]
            found += [trial for trial in paused if trial.state is TrialState.PAUSED and trial.length == length]
        return found

    def __str__(self) -> str:
        mode = "hyperband" if self.is_hyperband else "asha"
        *pauses, last = map(str, self.lengths)
        return f"{mode}: trials pause at {self.parameter} = {', '.join(pauses)}, and are complete at {last}"


def _rank(trial: Trial, goal: Goal) -> tuple[float, float, int]:
    """Small for a good trial."""
    sign = -1.0 if goal.objectives[0].direction == "maximize" else 1.0
    value = math.inf if trial.value is None else sign * trial.value
    return sum(max(0.0, violation) for violation in trial.violations), value, trial.number
