"""What a recorded study has used of its budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clearml_hpo.core.budget import Spent
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler.ledger import Ledger

if TYPE_CHECKING:
    from clearml_hpo.studies.study import Study


def spent_of(study: Study) -> Spent:
    """What it has used until its last sign of life."""
    now = study.record.updated_at or 0.0
    ledger = Ledger(study.goal, study.record.started_at or now, lambda: study.file.budget.min_gain)
    for attempt in study.earlier_attempts:
        ledger.ended(attempt, attempt.duration or 0.0)
    ended = [trial for trial in study.trials if not trial.state.is_live]
    for trial in sorted(ended, key=lambda trial: trial.ended_at or 0.0):
        ledger.ended(trial, trial.duration or 0.0)
        ledger.decided(trial, trial.ended_at or now)
    running = [(t, now - t.started_at) for t in study.trials if t.state is TrialState.RUNNING and t.started_at]
    return ledger.spent(now, now - study.driven_s, lambda: running)
