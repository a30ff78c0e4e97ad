"""What the sampler and the server are told of a trial."""

from __future__ import annotations

import json
from collections.abc import Mapping

from clearml_hpo.backend.codes import BAD_REQUEST
from clearml_hpo.backend.trial_records import QUEUE, WISHED_RUN, run_name
from clearml_hpo.backend.trial_tasks import NOT_FINITE
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.search.learner import Ended


class OutcomeReporter:
    """Tells the sampler how trials end, and writes it on their tasks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._study = context.study
        self._roster = context.roster

    def mark(self, trial: Trial, state: TrialState) -> None:
        """Says on the task how its trial has ended, or is to end."""
        memo = self._roster.memo(trial)
        properties = {"state": state.value, **({QUEUE: trial.queue} if trial.queue else {})}
        values = [value for value in trial.values if value is not None]
        if values:
            properties["value"] = ", ".join(f"{value:.10g}" for value in values)
        if trial.not_finite:  # what the server has of them is not what counts
            properties |= {NOT_FINITE: json.dumps(sorted(trial.not_finite)), "value": ", ".join(map(repr, values))}
        elif trial.continues:  # the best one may be that of an attempt before, and this the only record of it
            properties["value"] = ", ".join(map(repr, values))
        if state in (TrialState.FAILED, TrialState.KILLED):  # the console's own, or why the trial was ended here
            properties["reason"] = trial.reason
        if memo.marked == properties:
            return
        self._write(
            trial, {**properties, **_wished_run(trial)}, f"trial {trial.number} cannot be marked as {state.value}"
        )
        memo.marked = properties

    def unmark(self, trial: Trial) -> None:
        """Says on the task that its trial goes on: whoever takes over must not take an old end for what is wished."""
        self._write(
            trial,
            {"state": "", "value": "", "reason": "", NOT_FINITE: ""},
            f"the old end of trial {trial.number} cannot be taken off its task",
        )

    def _write(self, trial: Trial, properties: Mapping[str, str], failed: str) -> None:
        try:
            self._context.tasks.mark(trial.task_id, **properties)
        except ApiError as error:  # deleted or published meanwhile: no reason to end a study
            if error.code != BAD_REQUEST:
                raise
            self._context.note(f"{failed}: {error}", "warning", trial)

    def ended(self, number: int, trial: Trial) -> None:
        """Tells the sampler that ``number`` has ended as ``trial``: as pruned only what was pruned or has paused."""
        if trial.state is TrialState.PRUNED:
            self._study.prune(number)
        elif trial.state is TrialState.PAUSED and trial.value is not None:
            self._study.pause(number, trial.length, trial.value, trial.violations)
        elif trial.final_values is not None:
            self._study.complete(number, trial.final_values, trial.violations, _seconds(trial))
        else:
            self._study.fail(number)

    def known(self, number: int, known: int) -> None:
        """A duplicate is told at once what is known of its point: nothing, while the first one runs or is paused."""
        trial = self._roster.get(known)
        if trial is None or trial.state is TrialState.PAUSED:
            self._study.fail(number)
        else:
            self.ended(number, trial)

    def restore(self, trial: Trial, history: Mapping[int, float]) -> None:
        """Tells the sampler of a trial that ended under an earlier controller, and what it had reported."""
        values = trial.final_values
        state: Ended = "failed" if values is None else "completed"
        if trial.state is TrialState.PRUNED:
            state = "pruned"
        elif trial.state is TrialState.PAUSED and trial.value is not None:
            state, history = "paused", {trial.length: trial.value}
        self._study.restore(trial.number, trial.params, state, values or (), trial.violations, history, _seconds(trial))

    def anew(self, trial: Trial) -> None:
        """The sampler sees a failure, and another trial at the same point."""
        self._study.fail(trial.number)
        self._study.add(trial.number, trial.params)


def _seconds(trial: Trial) -> float | None:
    """How long it ran; None if that is not known: it ran elsewhere, or this attempt is but its last part."""
    return None if trial.is_imported or trial.continues else trial.duration


def _wished_run(trial: Trial) -> dict[str, str]:
    """Which run of a task is wished to end, if one is."""
    is_wish = trial.state is TrialState.RUNNING and trial.started_at is not None
    return {WISHED_RUN: run_name(trial.started_at)} if is_wish else {}
