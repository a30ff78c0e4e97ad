"""The record of a study as the server keeps it: its controller task, and its trial tasks read back as trials.

Nothing else is needed to go on with a study after its controller has died, or to look at one from anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from clearml_hpo.backend.api import CONSOLE, PLOTS, Api
from clearml_hpo.backend.hyperparameters import flatten, user_properties
from clearml_hpo.backend.lists import by_id, rows
from clearml_hpo.backend.names import exactly, find_project
from clearml_hpo.backend.replaced import without_replaced
from clearml_hpo.backend.trial_tasks import (
    COMPLETED,
    LIVE,
    MODEL_PROPERTY,
    SNAPSHOT_FIELDS,
    TaskSnapshot,
    end_of,
    epoch,
    metric_fields,
    snapshot_of,
)
from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.space import SearchSpace

STUDY_TAG = "clearml-hpo"
OWNER = "controller"
"""The user property of a controller task that has its own id, by which copies of it are known."""
ENDED = "ended"
"""User property of a controller task: why it ended; a server blanks the reason of a task that is archived."""
WISHED_RUN = "wished_run"
"""User property: which run of a trial task its mark is about, if the task is still to end."""

_SHORTEST_PREFIX = 6
_NOT_COMPLETED = (TrialState.FAILED, TrialState.KILLED, TrialState.LOST, TrialState.ABORTED, TrialState.PRUNED)
_FULL_ID = 32
_STUDY_FIELDS = (
    "id",
    "name",
    "type",
    "tags",
    "project",
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
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    updated_at: float | None = None

    @property
    def holder(self) -> str:
        """Who drives it; empty if nobody does."""
        return self.properties.get("holder", "")

    def url_of(self, task_id: str) -> str:
        """The page of one of its trial tasks."""
        return self.url.replace(self.study_id, task_id).removesuffix(PLOTS) + CONSOLE

    @property
    def driven_s(self) -> float:
        """Seconds that it was driven before the present holder."""
        return _number(self.properties.get("driven_s")) or 0.0

    @property
    def best_value(self) -> float | None:
        """The best value as the controller last published it."""
        return _number(self.properties.get("best_value"))


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
    """

    settled: tuple[Trial, ...] = ()
    unsettled: tuple[Trial, ...] = ()
    drafts: tuple[Trial, ...] = ()
    earlier: tuple[Trial, ...] = ()
    orphans: tuple[str, ...] = ()
    wishes: Mapping[str, TrialState] = field(default_factory=dict)
    unseen: Mapping[str, TaskSnapshot] = field(default_factory=dict)

    @property
    def latest(self) -> tuple[Trial, ...]:
        """Every trial by number, with its latest attempt."""
        return tuple(sorted((*self.settled, *self.unsettled, *self.drafts), key=lambda trial: trial.number))


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

    Raises:
        InputError: there is none, or several; the message names the nearest, or all of them.
    """
    if re.fullmatch(rf"[0-9a-f]{{{_FULL_ID}}}", study):
        tasks = api.call("tasks.get_all", id=[study], only_fields=list(_STUDY_FIELDS), search_hidden=True)["tasks"]
        if not tasks:
            raise InputError(f"no study {study} on the server (`clearml-hpo study list` shows them)")
        if tasks[0].get("type") != "optimizer" or STUDY_TAG not in tasks[0].get("tags", ()):
            raise InputError(
                f"task {study} ({tasks[0].get('name')!r}) is no study (`clearml-hpo study list` shows them)"
            )
        return _study(api, tasks[0], _project_names(api, {tasks[0].get("project") or ""}))
    found = list(_studies(api, ("id", "name", "created"), project=project))
    known = {task["id"]: task.get("name") or "" for task in found}
    ids = [id_ for id_, name in known.items() if name == study]
    if not ids and len(study) >= _SHORTEST_PREFIX:
        ids = [id_ for id_ in known if id_.startswith(study)]
    if not ids:
        where = f" in project {project!r}" if project else ""
        raise InputError(f"no study {study!r} on the server{where}{nearest(study, {*known, *known.values()})}")
    if len(ids) > 1:
        listed = dated(task for task in found if task["id"] in ids)
        raise InputError(f"{study!r} stands for {len(ids)} studies; give the id of one of them: {listed}")
    return read_study(api, ids[0])


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
    id_ = record.study_id
    tasks = api.call("tasks.get_all", id=[id_], only_fields=list(_STUDY_FIELDS), search_hidden=True)["tasks"]
    if not tasks:
        raise InputError(f"study {id_} was deleted from the server")
    return _study(api, tasks[0], {record.project_id: record.project})


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

    A look at a new script's parameters (attempt 0) is no trial, and neither is a person's own copy of a trial task.

    Args:
        queues: names of queues by id, as far as they are known; what is read is added.
        stopping: when the last controller began to end its trials, in seconds since the epoch; what was stopped from
            then on ended with the study.
    """
    names = [own for model in space.models or ("",) for own in space.names_in(model).values()]
    sections = {name.partition("/")[0] for name in names}
    # A dot in a dotted name would be taken for a step: the whole is fetched where a section has one.
    wanted = [f"hyperparams.{section}" for section in sorted({*sections, "properties"})]
    fields = [
        *SNAPSHOT_FIELDS,
        *metric_fields(goal.metrics),
        *(["hyperparams"] if any("." in section for section in sections) else wanted),
        "created",
        "execution.queue",
    ]
    filters = {
        "hyperparams.properties.study.value": [study_id],
        "only_fields": fields,
        "order_by": ["created"],
        "search_hidden": True,
    }
    tasks = list(pages(api, filters))
    queues = {} if queues is None else queues
    queues |= _queue_names(api, {queue for task in tasks if (queue := _queue(task))} - queues.keys())
    entries = [entry for task in tasks if (entry := _entry(task, queues, space, goal)) is not None]
    return _sorted(entries, stopping)


@dataclass(frozen=True)
class _Entry:
    """A trial task: the trial, what the server says of the task, and how a controller has marked its end."""

    trial: Trial
    snapshot: TaskSnapshot
    marked: TrialState | None
    wished_run: str = ""

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
            # Nobody saw how it ended, or it would be marked.
            earlier.append(replace(before.trial, state=before.marked or TrialState.LOST))
        latest[chosen.trial.number] = chosen
    found: dict[str, list[Trial]] = {"settled": [], "unsettled": [], "drafts": []}
    wishes: dict[str, TrialState] = {}
    unseen: dict[str, TaskSnapshot] = {}
    for entry in latest.values():
        kind, trial = _settled(entry, stopping)
        found[kind].append(trial)
        if entry.wish is not None:
            wishes[trial.task_id] = entry.wish
        if kind == "unsettled" and entry.snapshot.status not in LIVE:
            unseen[trial.task_id] = entry.snapshot
    return TrialRecords(
        settled=tuple(found["settled"]),
        unsettled=tuple(found["unsettled"]),
        drafts=tuple(found["drafts"]),
        earlier=tuple(earlier),
        orphans=tuple(orphans),
        wishes=wishes,
        unseen=unseen,
    )


def _settled(entry: _Entry, stopping: float | None) -> tuple[str, Trial]:
    """Which list of ``TrialRecords`` a latest attempt belongs to, and the trial as it is there."""
    trial = entry.trial
    status = entry.snapshot.status
    if status in LIVE:
        # One with a mark is still ending, or a person has it run once more.
        queued = status == "queued"
        return "unsettled", replace(trial, state=TrialState.QUEUED if queued else TrialState.RUNNING)
    if entry.marked in _NOT_COMPLETED and status in COMPLETED:
        # It was completed after the mark was made: before it could be stopped, or when a person had it run once more.
        return "unsettled", replace(trial, state=TrialState.RUNNING)
    if entry.marked is TrialState.COMPLETED and any(value is not None and math.isnan(value) for value in trial.values):
        return "settled", replace(trial, state=TrialState.NOT_FINITE)  # a limit was to end it, and nobody saw the end
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
        return None  # a person has taken its model away: nobody knows of which template it is
    snapshot = snapshot_of(task)
    snapshot = without_replaced(snapshot, snapshot.not_finite)
    marked = _state(properties.get("state", ""))
    trial = Trial(
        int(number),
        space.parse(space.named(flatten(hyperparams), model)),
        snapshot.task_id,
        int(attempt),
        values=_values(snapshot, properties, goal),
        violations=goal.violations(snapshot.summaries),
        not_finite=snapshot.not_finite,
        iteration=snapshot.iteration,
        queue=queues.get(_queue(task), ""),
        worker=snapshot.worker,
        # Of what was completed a worker or an agent says how the process ended, which is no reason.
        reason=properties.get("reason") or ("" if snapshot.status in COMPLETED else snapshot.reason),
        # The server does not keep when a task was enqueued: it is so as soon as it is made.
        queued_at=epoch(task.get("created")),
        started_at=snapshot.started_at,
        ended_at=snapshot.ended_at,
    )
    return _Entry(trial, snapshot, marked, properties.get(WISHED_RUN, ""))


def run_name(started_at: float | None) -> str:
    """Tells one run of a task from the next."""
    return f"{started_at:.3f}" if started_at is not None else "not started"


def _values(snapshot: TaskSnapshot, properties: Mapping[str, str], goal: Goal) -> tuple[float | None, ...]:
    """As reported; as noted at the end of the trial where values were replaced, or a user has reset the task since."""
    if (snapshot.summaries and not snapshot.not_finite) or not properties.get("value"):
        return goal.values(snapshot.summaries)
    noted = tuple(_number(text) for text in properties["value"].split(","))
    return noted if len(noted) == len(goal.objectives) else goal.values({})


def _state(text: str) -> TrialState | None:
    try:
        state = TrialState(text)
    except ValueError:
        return None
    return None if state.is_live else state


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _queue(task: Mapping[str, Any]) -> str:
    return str((task.get("execution") or {}).get("queue") or "")


def _queue_names(api: Api, ids: Iterable[str]) -> dict[str, str]:
    found = by_id(api, "queues", sorted(ids), ["name"])
    return {queue_id: queue.get("name") or "" for queue_id, queue in found.items()}


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
        filters["name"] = exactly(name)
    if project is not None:
        filters["project"] = [_project_id(api, project)]
    if campaign is not None:
        filters["parent"] = campaign
    return list(pages(api, filters, limit=limit))


def _project_id(api: Api, name: str) -> str:
    found = find_project(api, name)
    if found is None:
        names = [project["name"] for project in rows(api, "projects", {"only_fields": ["name"]}) if project.get("name")]
        raise InputError(f"no project {name!r} on the server{nearest(name, names)}")
    return found


def _project_names(api: Api, ids: Iterable[str]) -> dict[str, str]:
    found = by_id(api, "projects", sorted(filter(None, ids)), ["name"], search_hidden=True)
    return {project_id: project.get("name") or "" for project_id, project in found.items()}


def pages(api: Api, filters: Mapping[str, Any], *, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """All tasks that match, or the first ``limit``, page by page."""
    return rows(api, "tasks", filters, limit=limit)


def own_properties(task: Mapping[str, Any]) -> dict[str, str]:
    """The user properties of a controller task.

    A copy that a person makes of it, to run as another study, has those of the source: they are none of its own.
    """
    return user_properties(task.get("hyperparams") or {}) if _is_original(task) else {}


def _is_original(task: Mapping[str, Any]) -> bool:
    owner = user_properties(task.get("hyperparams") or {}).get(OWNER)
    return owner is None or owner == task["id"]


def _study(api: Api, task: Mapping[str, Any], projects: Mapping[str, str]) -> StudyRecord:
    configuration = task.get("configuration") or {}
    best = configuration.get("best") if _is_original(task) else None
    project_id = task.get("project") or ""
    said = [text for text in (task.get("status_reason"), task.get("status_message")) if text]
    own = own_properties(task)
    return StudyRecord(
        study_id=task["id"],
        name=task.get("name", ""),
        project=projects.get(project_id, ""),
        project_id=project_id,
        status=task.get("status", ""),
        url=api.task_url(project_id, task["id"], PLOTS),
        reason="; ".join(dict.fromkeys(said or filter(None, [own.get(ENDED)]))),
        study_yaml=(configuration.get("study") or {}).get("value") or "",
        best_yaml=(best or {}).get("value") or "",
        properties=own,
        created_at=epoch(task.get("created")),
        started_at=epoch(task.get("started")),
        ended_at=end_of(task),
        updated_at=epoch(task.get("last_update")),
    )
