"""Which values of trial tasks the SDK has sent in place of NaN or infinity, by their consoles."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.outputs import console_log
from clearml_hpo.backend.scalars import curves_of
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.goal import Goal, MetricSummary
from clearml_hpo.core.not_finite import Curve, Replaced, finite_points, may_be_replaced
from clearml_hpo.core.trial import Trial

if TYPE_CHECKING:
    from clearml_hpo.backend.trial_tasks import TaskSnapshot

_FIRST_WAIT_S = 15.0
"""First wait for a console that tells a NaN from a 0: agents send it later than the script sends its scalars."""
_LONGEST_WAIT_S = 600.0
"""Longest wait between two looks at such a console; each wait is twice the last."""
_Extremes = Mapping[str, tuple[float, float]]


@dataclass
class _Zeros:
    """The zeros in the curve of a trial that runs.

    Attributes:
        cleared: up to this step they are known to be real.
        asked: the last step that the next look at the console decides; None if there is none to decide.
        due: when that look is due, by the clock.
        wait_s: how long zeros wait for it.
    """

    cleared: int = -1
    asked: int | None = None
    due: float = 0.0
    wait_s: float = _FIRST_WAIT_S


class ReplacedValues:
    """Looks for replaced values in the trials of one study.

    A console is read only if a value that counts is 0: once when the trial has ended, and for a pruner while it runs,
    at intervals that double from 15 s to 10 min. A 0 waits for that look before the pruner sees it.
    """

    def __init__(self, api: Api, goal: Goal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._goal = goal
        self._clock = clock
        self._runs: dict[str, float | None] = {}
        self._known: dict[str, frozenset[str]] = {}
        self._zeros: dict[str, _Zeros] = {}

    def as_reported(self, snapshot: TaskSnapshot, curve: Curve, *, ends: bool) -> tuple[TaskSnapshot, Curve]:
        """The task and its curve with NaN for what was replaced; of a task that runs, the part that is decided.

        Args:
            snapshot: as the server has the task.
            curve: of what the pruner looks at.
            ends: True if what it has reported by now is all, and counts.

        Raises:
            ApiError: the console cannot be read now.
        """
        task_id = snapshot.task_id
        if self._runs.get(task_id, snapshot.started_at) != snapshot.started_at:  # it is run once more
            self._known.pop(task_id, None)
            self._zeros.pop(task_id, None)
        self._runs[task_id] = snapshot.started_at
        known = self._known.get(task_id, frozenset()) | snapshot.not_finite
        suspects = self._suspects(snapshot) - known if ends else frozenset()
        if suspects:
            told = self._told(task_id)
            known |= {metric for metric in suspects if metric in told}
        self._known[task_id] = known
        if (looked_at := self._goal.pruning_objective) is not None:
            curve = self._decided(task_id, looked_at.metric, curve, ends=ends)
        known = self._known[task_id]
        return without_replaced(snapshot, known, self._extremes(task_id, known) if ends else {}), curve

    def are_of(self, trial: Trial) -> bool:
        """True if a value of a completed trial was replaced without being noted as such; a call only if one is 0."""
        pairs = zip(self._goal.objectives, trial.final_values or (), strict=False)
        suspects = {o.metric for o, value in pairs if may_be_replaced(value)} - trial.not_finite
        told = self._told(trial.task_id) if suspects else Replaced()
        return any(metric in told for metric in suspects)

    def _told(self, task_id: str) -> Replaced:
        try:
            return Replaced.told_by(console_log(self._api, task_id))
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_TASK:
                raise
            return Replaced()  # deleted just now: the next poll misses it

    def _suspects(self, snapshot: TaskSnapshot) -> frozenset[str]:
        """Scalars whose value, as the goal reads it, is 0."""
        summaries = snapshot.summaries
        read = [(o.metric, o.value(summaries.get(o.metric))) for o in self._goal.objectives]
        read += [(c.metric, summaries[c.metric].last) for c in self._goal.constraints if c.metric in summaries]
        return frozenset(metric for metric, value in read if may_be_replaced(value))

    def _extremes(self, task_id: str, known: Collection[str]) -> _Extremes:
        """The best and worst finite values of a run, where an objective asks for the best."""
        found = {}
        for objective in self._goal.objectives:
            if objective.reading == "best" and objective.metric in known:
                curve = curves_of(self._api, objective, [task_id]).get(task_id, ())
                values = [value for _, value in finite_points(curve, objective.metric, known)]
                if values:
                    found[objective.metric] = min(values), max(values)
        return found

    def _decided(self, task_id: str, metric: str, curve: Curve, *, ends: bool) -> Curve:
        zeros = [step for step, value in curve if may_be_replaced(value)]
        if not zeros:
            return curve
        if metric in self._known[task_id]:
            return [(step, math.nan if may_be_replaced(value) else value) for step, value in curve]
        seen, now = self._zeros.setdefault(task_id, _Zeros()), self._clock()
        if zeros[-1] <= seen.cleared:
            return curve
        if seen.asked is None or ends:
            seen.asked, seen.due = zeros[-1], now if ends else now + seen.wait_s
        if now >= seen.due:
            if metric in self._told(task_id):
                self._known[task_id] |= {metric}
                return self._decided(task_id, metric, curve, ends=ends)
            seen.cleared, seen.asked = seen.asked, None
            seen.wait_s = min(2 * seen.wait_s, _LONGEST_WAIT_S)
        first = next((step for step in zeros if step > seen.cleared), math.inf)
        return [point for point in curve if point[0] < first]


def without_replaced(
    snapshot: TaskSnapshot, not_finite: Collection[str], extremes: _Extremes | None = None
) -> TaskSnapshot:
    """The task with NaN in place of each 0 of these scalars.

    Args:
        snapshot: as the server has the task.
        not_finite: scalars of which values were replaced.
        extremes: their smallest and largest finite values, as far as they are known.
    """
    summaries = {
        metric: _restored(summary, *(extremes or {}).get(metric, (math.nan, math.nan)))
        if metric in not_finite
        else summary
        for metric, summary in snapshot.summaries.items()
    }
    return replace(snapshot, summaries=summaries, not_finite=frozenset(not_finite)) if not_finite else snapshot


def _restored(summary: MetricSummary, low: float, high: float) -> MetricSummary:
    return replace(
        summary,
        last=math.nan if may_be_replaced(summary.last) else summary.last,
        min=low if may_be_replaced(summary.min) else summary.min,
        max=high if may_be_replaced(summary.max) else summary.max,
    )
