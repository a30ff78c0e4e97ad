"""Campaigns on the server: the task of each, and what its resources have run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from clearml_hpo.backend.api import CONSOLE, Api
from clearml_hpo.backend.codes import is_non_responsive
from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.backend.lease import Lease, driven_s
from clearml_hpo.backend.lists import rows
from clearml_hpo.backend.names import exactly, find_project, standing_for
from clearml_hpo.backend.study_records import ENDED, dated, own_properties
from clearml_hpo.backend.trial_tasks import LIVE, UNDER_WAY, end_of, epoch
from clearml_hpo.core.errors import InputError, nearest

_Value = TypeVar("_Value")
_TAG = "campaign"
_FIELDS = (
    "id",
    "name",
    "project",
    "status",
    "status_reason",
    "status_changed",
    "created",
    "started",
    "completed",
    "last_update",
    "hyperparams.properties",
    "configuration.campaign",
    "configuration.resources",
    "configuration.sessions",
    "configuration.failures",
)


class CampaignTask(ControllerTask):
    """A task of type controller; parent of the controller tasks of its studies."""

    kind = "controller"
    tags = ("clearml-hpo", _TAG)
    file = "campaign"
    view = CONSOLE
    arguments = ("campaign", "resume")

    def note_failures(self, reasons: Mapping[str, str]) -> None:
        """Keeps why studies have failed, by name: one that never began has no task of its own to say so."""
        self.set_configuration(failures=json.dumps(reasons))

    def note_session(self, record: CampaignRecord | None, queues: Mapping[str, str], lease: Lease) -> None:
        """Keeps since when a process drives the campaign, and which queue is which resource.

        What is known of earlier sessions stays; ``queues`` has ids by resource.
        """
        known = {queue: resource for resource, queue in queues.items()}
        both = {**(record.resources if record else {}), **known}
        sessions = [*(record.sessions if record else ()), (lease.since, lease.driven_before_s)]
        self.set_configuration(resources=json.dumps(both), sessions=json.dumps(sessions))


@dataclass(frozen=True)
class CampaignRecord:
    """A campaign as its task tells it.

    Attributes:
        campaign_id: the task's id.
        status: ClearML's word for the task: created, in_progress, completed, stopped, failed.
        text: the campaign file, as the task keeps it.
        resources: names by the ids of their queues, of all sessions.
        sessions: since when each process drove it, and for how many seconds others had done so before.
        failures: why studies have failed in the last session, by name.
        properties: the task's user properties.
        started_at: seconds since the epoch, as are the other times; ``updated_at`` is the last sign of life.
    """

    campaign_id: str
    name: str
    project_id: str
    status: str
    reason: str
    url: str
    text: str = field(repr=False)
    resources: Mapping[str, str] = field(default_factory=dict)
    sessions: Sequence[tuple[float, float]] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    updated_at: float | None = None

    @property
    def driven_s(self) -> float:
        """Seconds that it was driven, as far as there was a sign of life."""
        return driven_s(self.properties, self.updated_at or time.time())

    @property
    def driven(self) -> list[tuple[float, float]]:
        """From when until when it was driven: a pause, or what came after a process was killed, is no part of it."""
        before = [*(each for _, each in self.sessions), self.driven_s]
        return [
            (since, since + max(0.0, before[index + 1] - before[index]))
            for index, (since, _) in enumerate(self.sessions)
        ]

    @property
    def is_over(self) -> bool:
        """Whether it has ended; one whose process has died without a word has not."""
        return self.status not in UNDER_WAY and not is_non_responsive(self.reason)


@dataclass(frozen=True)
class Run:
    """A task of a study on a resource, the first looks at new templates included.

    Attributes:
        resource: name of what ran it; empty if that is not known any more.
        status: ClearML's word.
        trial: its number.
    """

    task_id: str
    study_id: str
    trial: int
    attempt: int
    resource: str
    worker: str
    status: str
    started_at: float | None
    ended_at: float | None

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.status in LIVE


def find_campaign(api: Api, name: str, project: str) -> CampaignRecord | None:
    """The newest campaign of this name in a project."""
    project_id = find_project(api, project)
    found = _tasks(api, name=exactly(name), project=[project_id]) if project_id else []
    return _record(api, found[0]) if found else None


def list_campaigns(api: Api) -> list[CampaignRecord]:
    """All campaigns of the server, the newest first."""
    return [_record(api, task) for task in _tasks(api)]


def read_campaign(api: Api, campaign: str) -> CampaignRecord:
    """The campaign that ``campaign`` stands for: an id, at least six characters that one begins with, or a name.

    Raises:
        InputError: there is none, or several; the message names the nearest, or all of them.
    """
    known = _tasks(api)
    found = standing_for(campaign, known)
    if not found:
        names = sorted({task.get("name") or "" for task in known})
        there = f"; there are: {', '.join(names)}" if names else "; there is none at all"
        raise InputError(f"no campaign {campaign!r} on the server{nearest(campaign, names) or there}")
    if len(found) > 1:
        listed = dated(found)
        raise InputError(f"{campaign!r} stands for {len(found)} campaigns; give the id of one of them: {listed}")
    return _record(api, found[0])


def read_runs(api: Api, record: CampaignRecord, studies: Sequence[str]) -> list[Run]:
    """What the studies of these ids have run, in the order of their tasks, in one call for every 500."""
    if not studies:
        return []
    fields = [
        "id",
        "status",
        "status_changed",
        "started",
        "completed",
        "last_worker",
        "execution.queue",
        "hyperparams.properties",
    ]
    filters = {"hyperparams.properties.study.value": list(studies), "only_fields": fields, "order_by": ["created"]}
    return [_run(task, record) for task in rows(api, "tasks", {**filters, "search_hidden": True})]


def _run(task: Mapping[str, Any], record: CampaignRecord) -> Run:
    properties = user_properties(task.get("hyperparams") or {})
    queue = str((task.get("execution") or {}).get("queue") or "")
    return Run(
        task["id"],
        properties.get("study", ""),
        _whole(properties.get("trial")),
        _whole(properties.get("attempt")),
        record.resources.get(queue, ""),
        task.get("last_worker") or "",
        task.get("status", ""),
        epoch(task.get("started")),
        end_of(task),
    )


def _whole(text: str | None) -> int:
    """A number that a user may have edited."""
    return int(text) if text and text.isdecimal() else 0


def _tasks(api: Api, **filters: Any) -> list[dict[str, Any]]:
    query = {
        "type": ["controller"],
        "tags": [_TAG],
        "only_fields": list(_FIELDS),
        "order_by": ["-created"],
        "search_hidden": True,
    }
    found = rows(api, "tasks", {**query, **filters})
    return [task for task in found if "campaign" in (task.get("configuration") or {})]


def _record(api: Api, task: Mapping[str, Any]) -> CampaignRecord:
    configuration = task.get("configuration") or {}
    project_id = task.get("project") or ""
    own = own_properties(task)
    return CampaignRecord(
        campaign_id=task["id"],
        name=task.get("name", ""),
        project_id=project_id,
        status=task.get("status", ""),
        reason=task.get("status_reason") or own.get(ENDED, ""),
        url=api.task_url(project_id, task["id"]),
        text=(configuration.get("campaign") or {}).get("value") or "",
        resources=_json(configuration, "resources", {}),
        sessions=_json(configuration, "sessions", list[tuple[float, float]]()),
        failures=_json(configuration, "failures", {}),
        properties=own,
        created_at=epoch(task.get("created")),
        started_at=epoch(task.get("started")),
        ended_at=end_of(task),
        updated_at=epoch(task.get("last_update")),
    )


def _json(configuration: Mapping[str, Any], name: str, default: _Value) -> _Value:
    text = (configuration.get(name) or {}).get("value")
    found: Any = json.loads(text) if text else default
    return found if isinstance(found, type(default)) else default
