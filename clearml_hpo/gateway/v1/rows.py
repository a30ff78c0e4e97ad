"""Trials as the native API shows them."""

from __future__ import annotations

from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import DEFAULT_SECTION, Params, Value
from clearml_hpo.gateway.v1 import bodies


def bare(params: Params) -> dict[str, Value]:
    """By names without the section ``General/``."""
    return {name.removeprefix(f"{DEFAULT_SECTION}/"): value for name, value in params.items()}


def trial_row(trial: Trial) -> bodies.TrialRow:
    """As a row."""
    return bodies.TrialRow(
        number=trial.number,
        attempt=trial.attempt,
        state=trial.state.value,
        values=list(trial.values),
        params=bare(trial.params),
        task=trial.task_id,
        worker=trial.worker,
        reason=trial.reason,
        started_at=trial.started_at,
        ended_at=trial.ended_at,
    )
