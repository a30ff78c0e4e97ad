"""What users do to a study from outside of its controller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import STOPPED_BY_USER
from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.study_records import StudyRecord
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.executors.base import withdraw_at_last
from clearml_hpo.executors.queue import QueueExecutor

WITHOUT_VALUE = tuple(state for state in TrialState if state.is_without_value)
"""States of trials that ended without a value, and may be run again."""

_UNDER_WAY = ("queued", "in_progress")


@dataclass(frozen=True)
class Retried:
    """Trials that are to be run again.

    Attributes:
        is_driven: whether a controller was asked to; if not, they are run when the study is resumed.
    """

    trials: tuple[Trial, ...]
    is_driven: bool


def end_study(api: Api, record: StudyRecord, trials: Iterable[Trial], *, drain: bool) -> None:
    """Ends a study that no controller drives: takes back what waits and, unless ``drain``, aborts what runs."""
    live = [trial for trial in trials if trial.state.is_live]
    # First: a controller that resumes the study must know why they were stopped.
    Lease(api, record.study_id).clear(STOPPED_BY_USER)
    executor = QueueExecutor(api, {})
    waiting = [trial.task_id for trial in live if trial.state is TrialState.QUEUED]
    left = withdraw_at_last(executor, [*waiting, *([record.study_id] if record.status == "queued" else [])])
    if not drain:
        running = {trial.task_id for trial in live if trial.state is TrialState.RUNNING} | left.keys()
        executor.abort(sorted(running - {record.study_id}), "the study was stopped")
    if record.status in _UNDER_WAY:
        ControllerTask(api, record.study_id, record.project_id).finish("stopped", STOPPED_BY_USER)


def check_number(number: int, by_number: Mapping[int, Trial], states: Collection[TrialState], verb: str) -> None:
    """Raises InputError: there is no trial of this number, or it is in none of ``states``, which alone can ``verb``."""
    if number not in by_number:
        there_are = f"they are 0 to {max(by_number)}" if by_number else "it has none yet"
        raise InputError(f"the study has no trial {number}: {there_are}")
    if (state := by_number[number].state) not in states:
        allowed = ", ".join(each.value for each in states)
        raise InputError(f"trial {number} is {state.value}; only these can {verb}: {allowed}")


def chosen_for_retry(
    trials: Iterable[Trial], numbers: Collection[int], states: Collection[TrialState]
) -> tuple[Trial, ...]:
    """The trials of these numbers, or all, that are in one of ``states``.

    Raises:
        InputError: there is no trial of some number, or it is in another state.
    """
    by_number = {trial.number: trial for trial in trials}
    for number in numbers:
        check_number(number, by_number, states, "run again")
    chosen = numbers or by_number.keys()
    return tuple(t for number, t in by_number.items() if number in chosen and t.state in states)
