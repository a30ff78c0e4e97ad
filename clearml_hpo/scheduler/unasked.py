"""Trials that are ready for outside workers and that nobody asks for: they are given up, so that none waits overnight.

A point that waits knows nothing of what ends meanwhile. No worker has seen such a trial, so its task is deleted, and
the study counts it no more. What a user or the study file wanted tried, and further attempts, stay.
"""

from __future__ import annotations

from collections.abc import Collection

from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.launching import Launcher


class Unasked:
    """Any thread has them given up; the loop's thread does it."""

    def __init__(self, context: Context, launcher: Launcher) -> None:
        self._context = context
        self._launcher = launcher
        self._is_wanted = False
        self._kept: set[int] = set()
        self._deleted: list[str] = []

    def give_up(self) -> None:
        """Has the next step give up what waits."""
        self._is_wanted = True

    @property
    def is_wanted(self) -> bool:
        """Whether that is still to be done."""
        return self._is_wanted

    def keep(self, numbers: Collection[int]) -> None:
        """These were made for users' orders."""
        self._kept |= {*numbers}

    def act(self) -> None:
        """Takes them out of the queue, and deletes their tasks.

        Raises:
            ApiError: a call failed; the next time makes those that are missing.
        """
        if self._is_wanted:
            waiting = [trial for trial in self._launcher.submitted if self._is_given_up(trial)]
            left = self._context.executor.withdraw([trial.task_id for trial in waiting]) if waiting else {}
            gone = [trial for trial in waiting if trial.task_id not in left]
            self._launcher.forget(gone)
            self._deleted += [trial.task_id for trial in gone]
            if gone:
                numbers = ", ".join(str(trial.number) for trial in gone)
                self._context.note(f"nobody has asked for waiting trials {numbers}: their points are given up")
            self._is_wanted = "queued" in left.values()
        if self._deleted:
            self._context.tasks.discard(self._deleted)
            self._deleted = []

    def _is_given_up(self, trial: Trial) -> bool:
        is_outside = trial.queue in self._context.policy.placement.outside
        is_ready = trial.state is TrialState.QUEUED and trial.attempt == 1 and is_outside
        return is_ready and self._launcher.was_proposed(trial.number) and trial.number not in self._kept
