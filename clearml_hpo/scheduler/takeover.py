"""The trials that a study has before its first step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clearml_hpo.core.not_finite import finite_points
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler.context import Context
from clearml_hpo.scheduler.launch_queue import Launch
from clearml_hpo.scheduler.launching import Launcher
from clearml_hpo.scheduler.ledger import Ledger
from clearml_hpo.scheduler.outcome_reporter import OutcomeReporter
from clearml_hpo.scheduler.outcomes import Outcomes


class Takeover:
    """Takes over the trials of an earlier controller, and first runs that live already."""

    def __init__(
        self, context: Context, launcher: Launcher, reporter: OutcomeReporter, outcomes: Outcomes, ledger: Ledger
    ) -> None:
        self._context = context
        self._launcher = launcher
        self._reporter = reporter
        self._outcomes = outcomes
        self._ledger = ledger

    def adopt(self, trial: Trial, wish: TrialState | None = None) -> None:
        """Takes over a trial that lives, or may have ended unseen: the next step looks.

        ``wish`` is how an earlier controller wished it to end.
        """
        self._take_over(trial)
        if wish is not None:
            self._context.roster.memo(trial).wish = (wish, "as an earlier controller wished")
        self._context.hooks.on_trial(trial)

    def adopt_draft(self, trial: Trial) -> None:
        """Takes over a trial whose task was made but not submitted."""
        self._take_over(trial)
        self._launcher.plan(Launch.of(trial))

    def restore(
        self,
        ended: Iterable[Trial],
        earlier: Iterable[Trial] = (),
        histories: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    ) -> None:
        """Takes in trials that have ended for good, and earlier attempts; plans those that the policy retries.

        Args:
            histories: the reported ``(iteration, value)`` of what the pruner looks at, by task.
        """
        for attempt in earlier:
            self._context.roster.earlier.append(attempt)
            self._outcomes.count(attempt)
            self._ledger.ended(attempt, _duration(attempt))
        last_end = 0.0
        for trial in sorted(ended, key=lambda trial: trial.ended_at or 0.0):
            last_end = trial.ended_at or last_end
            self._context.roster.settle(trial)
            self._launcher.knows(trial.number, trial.params)
            if not trial.is_imported:
                self._outcomes.count(trial)
                self._ledger.ended(trial, _duration(trial))
            if self._outcomes.plan_retry(trial):
                self._context.study.add(trial.number, trial.params)
                continue
            self._ledger.decided(trial, last_end)
            curve = (histories or {}).get(trial.task_id, ())
            if (looked_at := self._context.goal.pruning_objective) is not None:
                curve = finite_points(curve, looked_at.metric, trial.not_finite)
            self._reporter.restore(trial, dict(curve))
        self._ledger.goes_on(last_end, self._context.clock())

    def _take_over(self, trial: Trial) -> None:
        if not self._context.study.add(trial.number, trial.params):
            text = f"trial {trial.number} lies outside the search space: the sampler does not learn from it"
            self._context.note(text, "warning", trial)
        self._context.roster.keep(trial)
        self._launcher.knows(trial.number, trial.params)


def _duration(trial: Trial) -> float:
    return max(0.0, trial.duration or 0.0)
