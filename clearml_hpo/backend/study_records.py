"""Studies as the server keeps them: each has a controller task, which says what it is and how far it has come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from clearml_hpo.backend.api import CONSOLE, PLOTS, Api
from clearml_hpo.backend.codes import is_non_responsive
from clearml_hpo.backend.hyperparameters import as_number, user_properties
from clearml_hpo.backend.lists import by_id, rows
from clearml_hpo.backend.names import exactly, find_project, standing_for, study_name, task_name
from clearml_hpo.backend.trial_tasks import UNDER_WAY, end_of, epoch
from clearml_hpo.core.errors import InputError, nearest

STUDY_TAG = "clearml-hpo"
OWNER = "controller"
"""The user property of a controller task that has its own id, by which copies of it are known."""
ENDED = "ended"
"""User property of a controller task: why it ended; a server blanks the reason of a task that is archived."""

_FULL_ID = "[0-9a-f]{32}"
_STUDY_FIELDS = (
    "id",
    "name",
    "type",
    "tags",
    "project",
    "parent",
    "status",
    "status_reason",
    "status_message",
    "status_changed",
    "created",
    "started",
    "completed",
    "last_update",
    "hyperparams.properties",
    "configuration.study",
    "configuration.best",
)
DASHBOARD = "dask_dashboard"
"""The user property of a controller task that links the dashboard of its Dask cluster."""


@dataclass(frozen=True)
class StudyRecord:
    """A study as its controller task tells it.

    Attributes:
        study_id: the controller task's id.
        project: the project's name; empty if the server no longer has it.
        status: ClearML's word for the controller task: created, queued, in_progress, completed, stopped, failed.
        reason: why it ended, if it has.
        study_yaml: the study file, as the controller keeps it.
        best_yaml: the best parameters as YAML; empty as long as there are none.
        properties: the controller task's user properties.
        campaign_id: the campaign that it belongs to; empty if to none.
        namesakes: if it was found by a name that others have too, their ids and when they were made.
        created_at: seconds since the epoch, as are the other times; ``updated_at`` is the last sign of life.
    """

    study_id: str
    name: str
    project: str
    project_id: str
    status: str
    url: str
    reason: str = ""
    study_yaml: str = ""
    best_yaml: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    campaign_id: str = ""
    namesakes: str = ""
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    updated_at: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended; one whose controller has died without a word has not."""
        return self.status not in UNDER_WAY and not is_non_responsive(self.reason)

    @property
    def ended_trials(self) -> int | None:
        """How many trials had ended when the controller last published it; None before it has."""
        return _whole(self.properties.get("trials", "").partition("/")[0])

    @property
    def budget_of_trials(self) -> int | None:
        """How many trials it may have, as the controller last published it; None if that is not limited."""
        return _whole(self.properties.get("trials", "").partition("/")[2])

    @property
    def dashboard(self) -> str:
        """Where the dashboard of the study's Dask cluster is; empty if it has none."""
        return self.properties.get(DASHBOARD, "")

    @property
    def holder(self) -> str:
        """The controller that drives it; empty if there is none."""
        return self.properties.get("holder", "")

    def url_of(self, task_id: str) -> str:
        """The page of one of its trial tasks."""
        return self.url.replace(self.study_id, task_id).removesuffix(PLOTS) + CONSOLE

    @property
    def driven_s(self) -> float:
        """Seconds that it was driven before the present holder."""
        return as_number(self.properties.get("driven_s")) or 0.0

    @property
    def best_value(self) -> float | None:
        """The best value as the controller last published it."""
        return as_number(self.properties.get("best_value"))

    @property
    def best_trial(self) -> int | None:
        """The number of the trial that has the best value."""
        return _whole(self.properties.get("best_trial", ""))


def find_studies(
    api: Api,
    *,
    name: str | None = None,
    project: str | None = None,
    campaign: str | None = None,
    limit: int | None = None,
) -> list[StudyRecord]:
    """Studies, newest first, in two calls (more for every 500 of them).

    Args:
        name: only those called so.
        project: only those of the project of this name.
        campaign: only those of the campaign of this id.
        limit: no more than so many.

    Raises:
        InputError: there is no such project; the message names the nearest one.
    """
    tasks = _studies(api, _STUDY_FIELDS, name=name, project=project, campaign=campaign, limit=limit)
    projects = _project_names(api, {task.get("project") or "" for task in tasks})
    return [_study(api, task, projects) for task in tasks]


def read_study(api: Api, study: str, *, project: str | None = None) -> StudyRecord:
    """The study that ``study`` stands for: an id, at least six characters that an id begins with, or a name.

    Args:
        project: where a name is looked for; None is everywhere.

    Returns:
        Of several studies of this name the newest; ``namesakes`` are the others.

    Raises:
        InputError: there is none, or several ids begin so; the message names the nearest, or all of them.
    """
    id_, namesakes = (study, "") if re.fullmatch(_FULL_ID, study) else _id_of(api, study, project)
    tasks = _read(api, id_)
    if not tasks:
        raise InputError(f"no study {id_} on the server (`clearml-hpo study list` shows them)")
    if tasks[0].get("type") != "optimizer" or STUDY_TAG not in tasks[0].get("tags", ()):
        raise InputError(f"task {id_} ({tasks[0].get('name')!r}) is no study (`clearml-hpo study list` shows them)")
    record = _study(api, tasks[0], _project_names(api, {tasks[0].get("project") or ""}))
    return replace(record, namesakes=namesakes)


def _id_of(api: Api, study: str, project: str | None) -> tuple[str, str]:
    """The id of the newest study of this name, or of the one whose id begins so; the others of this name."""
    known = _studies(api, ("id", "name", "created"), project=project)
    found = standing_for(task_name(study), known)
    if not found:
        where = f" in project {project!r}" if project else ""
        names = {text for task in known for text in (task["id"], study_name(task.get("name") or ""))}
        raise InputError(f"no study {study!r} on the server{where}{nearest(study, names)}")
    is_name = found[0].get("name") == task_name(study)
    if len(found) > 1 and not is_name:
        raise InputError(f"{study!r} stands for {len(found)} studies; give the id of one of them: {dated(found)}")
    return str(found[0]["id"]), dated(found[1:])


def dated(tasks: Iterable[Mapping[str, Any]]) -> str:
    """Tasks as a list in a sentence: the id of each, and when it was made, by this machine's clock."""
    made = ((task["id"], epoch(task.get("created"))) for task in tasks)
    return ", ".join(
        f"{id_} (made {datetime.fromtimestamp(at):%Y-%m-%d %H:%M})" if at is not None else id_ for id_, at in made
    )


def read_again(api: Api, record: StudyRecord) -> StudyRecord:
    """The study as it is now, in one call.

    Raises:
        InputError: it was deleted.
    """
    tasks = _read(api, record.study_id)
    if not tasks:
        raise InputError(f"study {record.study_id} was deleted from the server")
    return _study(api, tasks[0], {record.project_id: record.project})


def _read(api: Api, id_: str) -> list[dict[str, Any]]:
    found = api.call("tasks.get_all", id=[id_], only_fields=list(_STUDY_FIELDS), search_hidden=True)
    return list(found["tasks"])


def _studies(
    api: Api,
    fields: Sequence[str],
    *,
    name: str | None = None,
    project: str | None = None,
    campaign: str | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    filters: dict[str, Any] = {
        "type": ["optimizer"],
        "tags": [STUDY_TAG],
        "only_fields": list(fields),
        "order_by": ["-created"],
        "search_hidden": True,
    }
    if name is not None:
        filters["name"] = exactly(task_name(name))
    if project is not None:
        filters["project"] = [_project_id(api, project)]
    if campaign is not None:
        filters["parent"] = campaign
    return list(rows(api, "tasks", filters, limit=limit))


def _project_id(api: Api, name: str) -> str:
    found = find_project(api, name)
    if found is None:
        names = [project["name"] for project in rows(api, "projects", {"only_fields": ["name"]}) if project.get("name")]
        raise InputError(f"no project {name!r} on the server{nearest(name, names)}")
    return found


def _project_names(api: Api, ids: Iterable[str]) -> dict[str, str]:
    found = by_id(api, "projects", sorted(filter(None, ids)), ["name"], search_hidden=True)
    return {project_id: project.get("name") or "" for project_id, project in found.items()}


def own_properties(task: Mapping[str, Any]) -> dict[str, str]:
    """The user properties of a controller task.

    A copy that a user makes of it, to run as another study, has those of the source: they are none of its own.
    """
    return user_properties(task.get("hyperparams") or {}) if _is_original(task) else {}


def _is_original(task: Mapping[str, Any]) -> bool:
    owner = user_properties(task.get("hyperparams") or {}).get(OWNER)
    return owner is None or owner == task["id"]


def _study(api: Api, task: Mapping[str, Any], projects: Mapping[str, str]) -> StudyRecord:
    project_id = task.get("project") or ""
    said = [text for text in (task.get("status_reason"), task.get("status_message")) if text]
    own = own_properties(task)
    return StudyRecord(
        study_id=task["id"],
        name=study_name(task.get("name") or ""),
        project=projects.get(project_id, ""),
        project_id=project_id,
        status=task.get("status", ""),
        url=api.task_url(project_id, task["id"], PLOTS),
        reason="; ".join(dict.fromkeys(said or filter(None, [own.get(ENDED)]))),
        study_yaml=_configuration(task, "study"),
        best_yaml=_configuration(task, "best") if _is_original(task) else "",
        properties=own,
        campaign_id=task.get("parent") or "",
        created_at=epoch(task.get("created")),
        started_at=epoch(task.get("started")),
        ended_at=end_of(task),
        updated_at=epoch(task.get("last_update")),
    )


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _configuration(task: Mapping[str, Any], name: str) -> str:
    return ((task.get("configuration") or {}).get(name) or {}).get("value") or ""
