"""Trial tasks: clones of the template, one for each attempt. One call creates one, one call polls them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clearml_hpo.backend import scalars
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import STOPPING, Subcode
from clearml_hpo.backend.configurations import with_configuration
from clearml_hpo.backend.editing import set_properties
from clearml_hpo.backend.hyperparameters import CONFIG_SECTION, user_properties, with_user_properties, with_values
from clearml_hpo.backend.imported import Finished, end_as
from clearml_hpo.backend.lists import MOST_ROWS, by_id, rows
from clearml_hpo.backend.nan_values import ReplacedValues
from clearml_hpo.backend.orders import ORDER
from clearml_hpo.backend.template import PLACE_PROPERTY, Templates
from clearml_hpo.backend.withdrawal import forget_entry
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.goal import Goal, MetricSummary
from clearml_hpo.core.not_finite import Curve
from clearml_hpo.core.values import Params
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.search.space import SearchSpace

POLL_CHUNK = MOST_ROWS
HISTORY_CHUNK = scalars.CHUNK
SNAPSHOT_FIELDS = (
    "id",
    "status",
    "status_reason",
    "status_message",
    "status_changed",
    "started",
    "completed",
    "last_iteration",
    "last_worker",
    "last_update",
    "status_changed",
)
LIVE = ("queued", "in_progress")
"""Statuses of a task that waits or runs."""
UNDER_WAY = ("created", *LIVE)
"""Statuses of a controller task that has not ended: created is one that is about to begin."""
COMPLETED = ("completed", "publishing", "published", "closed")
"""Statuses of a task that came to its end."""
MODEL_PROPERTY = "model"
"""User property: of which template a trial task is a clone, where a study has several."""
LENGTH = "length"
"""User property: for how long an attempt trains, where the study has ``fidelity``."""
CONTINUES = "continues"
"""User property: the task from whose checkpoint an attempt goes on."""
NOT_FINITE = "not_finite"
"""User property: scalars, as a JSON list, of which values were not finite; see :mod:`clearml_hpo.core.not_finite`."""


@dataclass(frozen=True)
class TaskSnapshot:
    """A trial task as the server has it now.

    Attributes:
        status: ClearML's word: created, queued, in_progress, stopped, completed, failed, published, closed.
        summaries: the scalars of the goal, ``title/series``, that were reported so far.
        iteration: the last iteration of any scalar.
        started_at: seconds since the epoch, as ``ended_at`` and ``updated_at``, the last sign of life.
        is_stopping: it runs, and its worker has been told to stop it; a task that is started again forgets that.
        not_finite: scalars of which values were replaced, as its trial does not count them.
    """

    task_id: str
    status: str
    summaries: Mapping[str, MetricSummary] = field(default_factory=dict)
    iteration: int = 0
    worker: str = ""
    reason: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    updated_at: float | None = None
    is_stopping: bool = False
    not_finite: frozenset[str] = frozenset()


class TrialTasks:
    """Creates and reads the trial tasks of one study.

    Every clone says in its user properties which trial of which study it is, from its first moment.
    """

    def __init__(
        self,
        api: Api,
        templates: Templates,
        goal: Goal,
        *,
        study: str,
        parent_id: str,
        project_id: str,
        name_of: Callable[[int, Params], str],
        space: SearchSpace | None = None,
        fidelity: Fidelity | None = None,
        tags: Sequence[str] = ("optimization",),
    ) -> None:
        """Clones become children of ``parent_id`` in ``project_id``; with the constants of ``space``."""
        self._api = api
        self._templates = templates
        self._goal = goal
        self._study = study
        self._parent_id = parent_id
        self._project_id = project_id
        self._name_of = name_of
        self._space = space or SearchSpace()
        self._fidelity = fidelity
        self._tags = list(tags)
        self._long: set[str] = set()
        self._replaced = ReplacedValues(api, goal)

    def create(
        self,
        number: int,
        attempt: int,
        params: Params,
        order: str = "",
        properties: Mapping[str, str] | None = None,
        *,
        length: int = 0,
        continues: str = "",
    ) -> str:
        """Clones the template of the model with ``params``, in one call; returns the new task's id.

        ``order`` is the user's by which the point is tried, if it is: the task says so from its first moment, as it
        does of other ``properties``. ``length`` and ``continues`` are those of ``Trial``.
        """
        model = self._space.model_of(params)
        template, values = self._templates[model], self._space.in_task(params)
        if self._fidelity is not None and length:
            values |= self._fidelity.values(length, continues)
        hyperparams = with_user_properties(
            with_values(template.hyperparams, values),
            {
                "study": self._study,
                "trial": number,
                "attempt": attempt,
                "template_task": template.task_id,
                **({MODEL_PROPERTY: model} if model else {}),
                **({ORDER: order} if order else {}),
                **({LENGTH: length} if length else {}),
                **({CONTINUES: continues} if continues else {}),
                **(properties or {}),
                **({PLACE_PROPERTY: template.place} if template.place else {}),
            },
        )
        configured: dict[str, Any] = {}
        if any(name.startswith(CONFIG_SECTION) for name in values):
            configured["new_task_configuration"] = with_configuration(template.configuration, values)
        clone = self._api.call(
            "tasks.clone",
            task=template.task_id,
            new_task_name=self._name_of(number, params),
            new_task_comment="\n".join(f"{key}={value}" for key, value in params.items()),
            new_task_parent=self._parent_id,
            new_task_project=self._project_id,
            new_task_tags=self._tags,
            new_task_hyperparams=hyperparams,
            **configured,
        )
        return str(clone["id"])

    def poll(self, task_ids: Sequence[str]) -> dict[str, TaskSnapshot]:
        """Where these tasks stand, in one call (one for each 500); a task that was deleted is missing."""
        fields = [*SNAPSHOT_FIELDS, *metric_fields(self._goal.metrics)]
        found = by_id(self._api, "tasks", task_ids, fields, search_hidden=True)
        return {task_id: snapshot_of(task) for task_id, task in found.items()}

    def histories(self, task_ids: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """All reported ``(iteration, value)`` of ``goal.counted``, by task, in one call (one for each 100).

        A task of more than 6,000 iterations is a call of its own, see :mod:`clearml_hpo.backend.scalars`.
        """
        return histories_of(self._api, self._goal, task_ids, self._long)

    def as_reported(self, snapshot: TaskSnapshot, curve: Curve, *, ends: bool = False) -> tuple[TaskSnapshot, Curve]:
        """See :meth:`ReplacedValues.as_reported`; what runs no more has ended in any case.

        The values of a failed trial count, too, if a limit has ended it: a script may fail when it is told to stop.
        """
        return self._replaced.as_reported(snapshot, curve, ends=ends or snapshot.status not in LIVE)

    def mark(self, task_id: str, **properties: object) -> None:
        """Sets user properties of a trial task."""
        set_properties(self._api, task_id, properties)

    def end_as(self, task_id: str, finished: Finished) -> None:
        """Has a task that was only made end as its trial has ended elsewhere."""
        end_as(self._api, task_id, finished)

    def give_up(self, task_id: str, reason: str) -> None:
        """Ends a task that no worker runs any more, as failed; an agent that comes back to it stops it."""
        self._api.call("tasks.failed", task=task_id, force=True, status_reason=reason, status_message=reason)
        forget_entry(self._api, task_id)

    def end_draft(self, task_id: str, reason: str) -> None:
        """Ends, as stopped, a task that has become a draft while it ran; ClearML refuses that without force."""
        self._api.call("tasks.stopped", task=task_id, force=True, status_reason=reason, status_message=reason)

    def discard(self, task_ids: Sequence[str]) -> None:
        """Deletes tasks that were made and never ran; none that has been started meanwhile."""
        self._api.call("tasks.delete_many", ids=list(task_ids))

    def drafts(self) -> set[str]:
        """Ids of the study's tasks that were made and never submitted."""
        filters = {"status": ["created"], "hyperparams.properties.study.value": [self._study]}
        drafts = rows(self._api, "tasks", {**filters, "only_fields": ["id"], "search_hidden": True})
        return {task["id"] for task in drafts}

    def delete_twins(self, drafts: Collection[str], known: Collection[str]) -> None:
        """Deletes drafts that a server made twice because its first answer was lost; nothing is called without any.

        They have the very name of one of the tasks ``known``; a copy that a user made has another one, and stays.
        """
        if not drafts:
            return
        found = by_id(self._api, "tasks", [*drafts, *known], ["name"], search_hidden=True)
        names = {task_id: task["name"] for task_id, task in found.items() if task.get("name")}
        taken = {names[task_id] for task_id in known if task_id in names}
        twins = [task_id for task_id in drafts if task_id in names and names[task_id] in taken]
        if twins:
            self._api.call("tasks.delete_many", ids=twins)  # without force: none that has been started meanwhile

    def log_tail(self, task_id: str, lines: int = 20) -> str:
        """The last lines of a task's console."""
        return log_tail(self._api, task_id, lines)

    def output(self, task_id: str) -> object:
        """Its last report to the console, and all scalars but those of the machine, in two calls."""
        found = by_id(self._api, "tasks", [task_id], ["last_metrics"], search_hidden=True).get(task_id) or {}
        scalars_ = {
            (title, series): (entry.get("value"), entry.get("count"))
            for title, series, entry in scalars.last_values(found.get("last_metrics"))
            if not scalars.is_of_the_machine(title)
        }
        try:
            last = [(event.get("timestamp"), event.get("msg")) for event in _last_events(self._api, task_id, 1)]
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_TASK:
                raise
            return None  # deleted just now: the next poll misses it
        return last, scalars_


def log_tail(api: Api, task_id: str, lines: int = 20) -> str:
    """The last lines of a task's console, in one call."""
    text = "\n".join(str(event.get("msg") or "").rstrip() for event in _last_events(api, task_id, lines))
    return "\n".join(text.splitlines()[-lines:])


def _last_events(api: Api, task_id: str, number: int) -> list[dict[str, Any]]:
    # The last ones, the oldest of them first; sorted here, those of one millisecond would be upside down.
    asked = {"batch_size": number, "order": "asc", "navigate_earlier": True}
    return api.call("events.get_task_log", task=task_id, **asked).get("events") or []


def histories_of(
    api: Api, goal: Goal, task_ids: Sequence[str], long: set[str] | None = None
) -> dict[str, list[tuple[int, float]]]:
    """As :meth:`TrialTasks.histories`, of any tasks; ``long`` as in :func:`scalars.curves_of`."""
    return scalars.curves_of(api, goal.counted, task_ids, long)


def metric_fields(metrics: Iterable[str]) -> list[str]:
    """``only_fields`` that fetch these scalars, ``title/series``, and no others."""
    fields = []
    for metric in metrics:
        title, _, series = metric.rpartition("/")
        fields.append(f"last_metrics.{_md5(title)}.{_md5(series)}")
    return fields


def snapshot_of(task: Mapping[str, Any]) -> TaskSnapshot:
    """From a task as ``tasks.get_all`` gives it."""
    said = (task.get("status_reason"), task.get("status_message"))
    return TaskSnapshot(
        task_id=task["id"],
        status=task.get("status", ""),
        summaries=scalars.summaries_of(task.get("last_metrics")),
        iteration=max(0, task.get("last_iteration") or 0),
        worker=task.get("last_worker") or "",
        reason="; ".join(dict.fromkeys(text for text in said if text)),
        started_at=epoch(task.get("started")),
        ended_at=end_of(task),
        updated_at=epoch(task.get("last_update")),
        is_stopping=task.get("status") == "in_progress" and task.get("status_message") == STOPPING,
        not_finite=_names(user_properties(task.get("hyperparams") or {}).get(NOT_FINITE, "")),
    )


def _names(text: str) -> frozenset[str]:
    try:
        return frozenset(map(str, json.loads(text or "[]")))
    except (TypeError, ValueError):  # a user has changed it
        return frozenset()


def end_of(task: Mapping[str, Any]) -> float | None:
    """When a task ended, in seconds since the epoch; None while it waits or runs, and of one that never ran.

    A server notes the end of what ends itself. A task that a user stops, archives or takes out of a queue while it
    runs has no such note: then it is when its status changed.
    """
    if task.get("status") in LIVE:
        return None
    stopped = epoch(task.get("status_changed")) if task.get("started") else None
    return epoch(task.get("completed")) or stopped


def epoch(text: str | None) -> float | None:
    """ClearML's time stamp as seconds since the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None


def _md5(text: str) -> str:
    """How ClearML keys metrics and variants in ``last_metrics``."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
