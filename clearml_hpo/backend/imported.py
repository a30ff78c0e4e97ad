"""Trials that ended elsewhere and are added to a study: their task says so from its first moment, and how they ended.

So whoever goes on with a study can finish a task that is made by half, and never takes it for one that is to run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias, get_args

from clearml_hpo.backend import outside_tasks
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.outside_tasks import Point

IMPORTED = "imported"
"""User property of a trial task: the trial has ended elsewhere; how, as JSON."""
ImportedState: TypeAlias = Literal["completed", "pruned", "failed"]
_ENDS: Mapping[ImportedState, outside_tasks.End] = {"completed": "completed", "pruned": "stopped", "failed": "failed"}
_REASONS: Mapping[ImportedState, str] = {"completed": "", "pruned": "pruned elsewhere", "failed": "failed elsewhere"}


@dataclass(frozen=True)
class Finished:
    """How a trial has ended elsewhere.

    Attributes:
        values: its last scalars by metric, ``title/series``; finite.
        step: the iteration of these.
        reason: why it ended so, for users.
    """

    state: ImportedState
    values: Mapping[str, float] = field(default_factory=dict)
    step: int = 0
    reason: str = ""

    @property
    def said(self) -> str:
        """The reason, or what is said without one."""
        return self.reason or _REASONS[self.state]

    def as_json(self) -> str:
        """For the property."""
        return json.dumps(asdict(self), sort_keys=True)


def read_finished(text: str) -> Finished | None:
    """Of the property; None if there is none, or a user has spoilt it."""
    try:
        found = Finished(**json.loads(text or "null"))
    except (TypeError, ValueError):
        return None
    return found if found.state in get_args(ImportedState) else None


def end_as(api: Api, task_id: str, finished: Finished) -> None:
    """Starts a task, reports its scalars and ends it, in four calls; goes on where an earlier time was cut off.

    It looks first: ClearML would start one anew that has ended, and its answer to the end may just have been lost.
    """
    tasks = api.call("tasks.get_all", id=[task_id], only_fields=["status"], search_hidden=True)["tasks"]
    status = tasks[0]["status"] if tasks else ""
    if status == "created":
        api.call("tasks.started", task=task_id)
    elif status != "in_progress":
        return  # it has ended, or a user has deleted it
    now_ms = time.time_ns() // 1_000_000
    points = [Point(metric, finished.step, value, now_ms) for metric, value in finished.values.items()]
    if points:
        outside_tasks.report(api, [(task_id, point) for point in points])
    outside_tasks.end(api, task_id, _ENDS[finished.state], finished.said)
