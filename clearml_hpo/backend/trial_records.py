"""The trial tasks of a study, read back from the server: what a controller needs to go on with it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.configurations import entries_of, is_held
from clearml_hpo.backend.hyperparameters import USER_PROPERTIES, as_number, flatten, user_properties
from clearml_hpo.backend.imported import IMPORTED, Finished, read_finished
from clearml_hpo.backend.lists import by_id, rows
from clearml_hpo.backend.names import place_of_queue
from clearml_hpo.backend.nan_values import without_replaced
from clearml_hpo.backend.orders import ORDER
from clearml_hpo.backend.trial_tasks import (
    COMPLETED,
    CONTINUES,
    LENGTH,
    LIVE,
    MODEL_PROPERTY,
    SNAPSHOT_FIELDS,
    TaskSnapshot,
    epoch,
    metric_fields,
    snapshot_of,
)
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import DEFAULT_SECTION, Params
from clearml_hpo.search.space import OpenSpace, SearchSpace

_MARKED_S = 30.0
"""Within what time after the end of a trial task its controller has marked it, as a rule."""
_ALL_S = 60.0
"""How often all trials of a study that is watched are read, not only those that have changed."""

QUEUE = "queue"
"""User property: the queue of a trial that has ended; that of ``--local`` is deleted, and its id says no more."""
WISHED_RUN = "wished_run"
"""User property: which run of a trial task its mark is about, if the task is still to end."""

_NOT_COMPLETED = (TrialState.FAILED, TrialState.KILLED, TrialState.LOST, TrialState.ABORTED, TrialState.PRUNED)


@dataclass(frozen=True)
class TrialRecords:
    """The trial tasks of a study, sorted by what a controller that takes over has to do with them.

    Attributes:
        settled: trials that ended as a controller saw it.
        unsettled: trials that wait or run, or whose end no controller saw: the next poll settles them.
        drafts: trials whose task was made, and never submitted.
        earlier: attempts that were followed by another one.
        orphans: ids of drafts that are the same attempt of the same trial as another task.
        wishes: how a controller that has died wished some of the unsettled to end, by task id.
        unseen: those of the unsettled that have ended, as the server says it, by task id.
        orders: trials that were made by a user's order, by its name.
        imports: how those of the unsettled and the drafts ended elsewhere whose tasks have not ended, by task id.
    """

    settled: tuple[Trial, ...] = ()
    unsettled: tuple[Trial, ...] = ()
    drafts: tuple[Trial, ...] = ()
    earlier: tuple[Trial, ...] = ()
    orphans: tuple[str, ...] = ()
    wishes: Mapping[str, TrialState] = field(default_factory=dict)
    unseen: Mapping[str, TaskSnapshot] = field(default_factory=dict)
    orders: Mapping[str, int] = field(default_factory=dict)
    imports: Mapping[str, Finished] = field(default_factory=dict)

    @property
    def latest(self) -> tuple[Trial, ...]:
        """Every trial by number, with its latest attempt."""
        return tuple(sorted((*self.settled, *self.unsettled, *self.drafts), key=lambda trial: trial.number))


def read_trials(
    api: Api,
    study_id: str,
    space: SearchSpace,
    goal: Goal,
    *,
    stopping: float | None = None,
    queues: dict[str, str] | None = None,
) -> TrialRecords:
    """Reads the trial tasks of a study, in one call for every 500 and one for the names of new queues.

    One more reads the configuration objects of those that are no whole point, if these may hold parameters.

    A look at a new script's parameters (attempt 0) is no trial, and neither is a user's own copy of a trial task.

    Args:
        queues: what the study calls its queues, by id, as far as it is known; what is read is added.
        stopping: when the last controller began to end its trials, in seconds since the epoch; what was stopped from
            then on ended with the study.
    """
    reader = TrialReader(api, study_id, space, goal, queues)
    reader.read_all()
    return reader.records(stopping)


class TrialReader:
    """The trial tasks of a study, which are read all at first, and then those that have changed."""

    def __init__(
        self, api: Api, study_id: str, space: SearchSpace, goal: Goal, queues: dict[str, str] | None = None
    ) -> None:
        """See :func:`read_trials`; nothing is read yet."""
        self._api = api
        self._study_id = study_id
        self._space = space
        self._goal = goal
        self._queues = {} if queues is None else queues
        self._entries: dict[str, _Entry] = {}
        self._is_held = holds_parameters(space)
        self._newest = ""
        self._all_at = float("-inf")

    def read_all(self) -> None:
        """Reads all of them: one call for every 500."""
        self._entries = {}
        self._take(self._tasks())
        self._all_at = time.monotonic()

    def read_changed(self) -> None:
        """Reads those that have changed since the last reading: one call, mostly; now and then all of them.

        A server does not tell of tasks that were deleted, nor of those that have got a mark, which a controller makes a
        moment after their end. So what has changed within :data:`_MARKED_S` is read again, and all of it every
        :data:`_ALL_S`.
        """
        if not self._newest or time.monotonic() - self._all_at >= _ALL_S:
            self.read_all()
            return
        since = datetime.fromtimestamp((epoch(self._newest) or 0.0) - _MARKED_S, timezone.utc)
        self._take(self._tasks(last_update=[f">={since.isoformat()}"]))

    def records(self, stopping: float | None = None) -> TrialRecords:
        """What was read, sorted; see :func:`read_trials`."""
        return _sorted([*self._entries.values()], stopping)

    def _tasks(self, **more: Any) -> list[Mapping[str, Any]]:
        filters = {
            "hyperparams.properties.study.value": [self._study_id],
            "only_fields": [
                *SNAPSHOT_FIELDS,
                *metric_fields(self._goal.metrics),
                *_hyperparameter_fields(self._space),
                "created",
                "last_update",
                "execution.queue",
            ],
            "order_by": ["created"],
            "search_hidden": True,
            **more,
        }
        return list(rows(self._api, "tasks", filters))

    def _take(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        unknown = {queue for task in tasks if (queue := _queue(task))} - self._queues.keys()
        names = _queue_names(self._api, unknown)
        self._queues |= {queue: place_of_queue(name, self._study_id) for queue, name in names.items()}
        space = self._space
        ids = [task["id"] for task in tasks if not space.contains(params_of(task, space))] if self._is_held else []
        held = by_id(self._api, "tasks", ids, ["configuration"], search_hidden=True)
        for task in tasks:
            entry = _entry({**task, **held.get(task["id"], {})}, self._queues, space, self._goal)
            if entry is not None:
                self._entries[task["id"]] = entry
            self._newest = max(self._newest, task.get("last_update") or "")


def _hyperparameter_fields(space: SearchSpace) -> list[str]:
    """What is fetched of tasks' hyperparameters: the sections of the space, and the user properties."""
    names = [own for model in space.models or ("",) for own in space.names_in(model).values()]
    sections = {name.partition("/")[0] for name in names} | {USER_PROPERTIES}
    sections |= {DEFAULT_SECTION} if isinstance(space, OpenSpace) else set()
    if any("." in section for section in sections):
        return ["hyperparams"]  # a dot in a dotted name would be taken for a step
    return [f"hyperparams.{section}" for section in sorted(sections)]


@dataclass(frozen=True)
class _Entry:
    """A trial task: the trial, what the server says of the task, and how a controller has marked its end."""

    trial: Trial
    snapshot: TaskSnapshot
    marked: TrialState | None
    wished_run: str = ""
    order: str = ""
    imported: Finished | None = None

    @property
    def wish(self) -> TrialState | None:
        """How a controller wished the run that goes on to end; an earlier one of the same task is another matter."""
        if self.snapshot.status != "in_progress" or self.wished_run not in ("", run_name(self.snapshot.started_at)):
            return None
        # A failed trial that a user requeues has its mark still, which names no run.
        is_wish = self.marked is TrialState.FAILED and self.wished_run
        return self.marked if is_wish or self.marked in (TrialState.COMPLETED, TrialState.PRUNED) else None

    @property
    def is_draft(self) -> bool:
        """Whether it was never submitted; one that has a start was dequeued while it ran, and is no draft."""
        return self.snapshot.status == "created" and self.snapshot.started_at is None and self.marked is None


def _sorted(entries: Sequence[_Entry], stopping: float | None) -> TrialRecords:
    latest, earlier, orphans = _latest(entries)
    placed = [(entry, *_settled(entry, stopping)) for entry in latest]
    lists = {name: tuple(t for _, kind, t in placed if kind == name) for name in ("settled", "unsettled", "drafts")}
    return TrialRecords(
        **lists,
        earlier=tuple(earlier),
        orphans=tuple(orphans),
        wishes={entry.trial.task_id: entry.wish for entry in latest if entry.wish is not None},
        unseen={
            entry.trial.task_id: entry.snapshot
            for entry, kind, _ in placed
            if kind == "unsettled" and entry.snapshot.status not in LIVE
        },
        orders={entry.order: entry.trial.number for entry in entries if entry.order},
        imports={
            entry.trial.task_id: entry.imported
            for entry, kind, _ in placed
            if kind != "settled" and entry.imported is not None and entry.trial.attempt == 1
        },
    )


def _latest(entries: Sequence[_Entry]) -> tuple[list[_Entry], list[Trial], list[str]]:
    """The latest attempt of each trial; the attempts before those; and the ids of drafts beside another task."""
    by_attempt: dict[tuple[int, int], list[_Entry]] = {}
    for entry in entries:
        by_attempt.setdefault((entry.trial.number, entry.trial.attempt), []).append(entry)
    latest: dict[int, _Entry] = {}
    earlier: list[Trial] = []
    orphans: list[str] = []
    for _, same in sorted(by_attempt.items()):
        # A clone whose answer was lost was made once more. What runs counts; among equals the first.
        chosen = min(same, key=lambda entry: entry.is_draft)
        orphans += [entry.trial.task_id for entry in same if entry.is_draft and entry is not chosen]
        before = latest.get(chosen.trial.number)
        if before is not None:
            # No controller saw how it ended, or it would be marked.
            earlier.append(replace(before.trial, state=before.marked or TrialState.LOST))
        latest[chosen.trial.number] = chosen
    return [*latest.values()], earlier, orphans


def _settled(entry: _Entry, stopping: float | None) -> tuple[str, Trial]:
    """Which list of ``TrialRecords`` a latest attempt belongs to, and the trial as it is there."""
    trial = entry.trial
    status = entry.snapshot.status
    if status in LIVE:
        # One with a mark is still ending, or a user has it run once more.
        queued = status == "queued"
        return "unsettled", replace(trial, state=TrialState.QUEUED if queued else TrialState.RUNNING)
    if entry.marked in _NOT_COMPLETED and status in COMPLETED:
        # It was completed after the mark was made: before it could be stopped, or when a user had it run once more.
        return "unsettled", replace(trial, state=TrialState.RUNNING)
    if entry.marked is TrialState.COMPLETED and any(value is not None and math.isnan(value) for value in trial.values):
        # A limit was to end it, and no controller saw the end.
        return "settled", replace(trial, state=TrialState.NOT_FINITE)
    if entry.marked is not None:
        return "settled", replace(trial, state=entry.marked)
    if entry.is_draft:
        return "drafts", trial
    if status == "stopped" and stopping is not None and (trial.ended_at or 0.0) >= stopping:
        return "settled", replace(trial, state=TrialState.STOPPED)
    return "unsettled", replace(trial, state=TrialState.RUNNING)


def _entry(task: Mapping[str, Any], queues: Mapping[str, str], space: SearchSpace, goal: Goal) -> _Entry | None:
    """A task as trial; None if it is no trial."""
    hyperparams = task.get("hyperparams") or {}
    properties = user_properties(hyperparams)
    number, attempt = properties.get("trial", ""), properties.get("attempt", "")
    if not (number.isdecimal() and attempt.isdecimal() and int(attempt)):
        return None
    model = properties.get(MODEL_PROPERTY, "")
    if space.models and model not in space.models:
        return None  # a user has taken its model away: its template is not known
    snapshot = snapshot_of(task)
    snapshot = without_replaced(snapshot, snapshot.not_finite)
    imported = read_finished(properties.get(IMPORTED, ""))
    marked = marked_state(properties)
    trial = Trial(
        int(number),
        params_of(task, space),
        snapshot.task_id,
        int(attempt),
        values=values_of(snapshot, properties, goal),
        violations=goal.violations(snapshot.summaries),
        not_finite=snapshot.not_finite,
        iteration=snapshot.iteration,
        queue=queues.get(_queue(task)) or properties.get(QUEUE, ""),
        worker=snapshot.worker,
        # Of what was completed a worker or an agent says how the process ended, which is no reason.
        reason=properties.get("reason") or ("" if snapshot.status in COMPLETED else snapshot.reason),
        # The server does not keep when a task was enqueued: it is so as soon as it is made.
        queued_at=epoch(task.get("created")),
        started_at=snapshot.started_at,
        ended_at=snapshot.ended_at,
        is_imported=imported is not None,
        length=_whole(properties.get(LENGTH, "")),
        continues=properties.get(CONTINUES, ""),
    )
    return _Entry(trial, snapshot, marked, properties.get(WISHED_RUN, ""), properties.get(ORDER, ""), imported)


def params_of(task: Mapping[str, Any], space: SearchSpace) -> Params:
    """The point of ``space`` that a task has run at, from its hyperparameters and its configuration objects, if given.

    A clone has all of its point in its hyperparameters. A run without a point, such as the first one of a new script,
    has in its configuration objects what its script connected there.
    """
    hyperparams, configuration = task.get("hyperparams") or {}, task.get("configuration")
    texts = flatten(entries_of(hyperparams, configuration) if configuration else hyperparams)
    return space.parse(space.named(texts, user_properties(hyperparams).get(MODEL_PROPERTY, "")))


def holds_parameters(space: SearchSpace) -> bool:
    """Whether configuration objects may hold parameters of the space."""
    return any(is_held(own) for model in space.models or ("",) for own in space.names_in(model).values())


def run_name(started_at: float | None) -> str:
    """Tells one run of a task from the next."""
    return f"{started_at:.3f}" if started_at is not None else "not started"


def values_of(snapshot: TaskSnapshot, properties: Mapping[str, str], goal: Goal) -> tuple[float | None, ...]:
    """As reported; as noted at the end of the trial where that counts.

    It does where values were replaced, the best one was that of an attempt before, or a user has reset the task since.
    """
    is_whole = snapshot.summaries and not snapshot.not_finite and not properties.get(CONTINUES)
    if is_whole or not properties.get("value"):
        return goal.values(snapshot.summaries)
    noted = tuple(as_number(text) for text in properties["value"].split(","))
    return noted if len(noted) == len(goal.objectives) else goal.values({})


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def marked_state(properties: Mapping[str, str]) -> TrialState | None:
    """How a trial ended, as its controller has marked the task; None if none has."""
    try:
        state = TrialState(properties.get("state", ""))
    except ValueError:
        return None
    return None if state.is_live else state


def _queue(task: Mapping[str, Any]) -> str:
    return str((task.get("execution") or {}).get("queue") or "")


def _queue_names(api: Api, ids: Iterable[str]) -> dict[str, str]:
    found = by_id(api, "queues", sorted(ids), ["name"])
    return {queue_id: queue.get("name") or "" for queue_id, queue in found.items()}
