"""A study removed from the server: its controller task, its trial tasks, and the models and artifacts that they stored.

What stays: published trial tasks and models, the template, files that are not under a task's own address, and copies
that users have made of tasks of the study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.cleanup import PUBLISHED, Stored, delete_entry, delete_stored, outputs_of, tasks_with_outputs
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.lists import chunks, rows
from clearml_hpo.backend.pilots import pilots_of
from clearml_hpo.backend.trial_records import TrialRecords
from clearml_hpo.core.errors import ServerError
from clearml_hpo.core.notes import Note

_CHUNK = 100


@dataclass(frozen=True)
class Removal:
    """What goes.

    Attributes:
        task_ids: the controller task is the last.
        stored: models and artifacts whose files go with them.
        entries: models of which only the entry goes: their files are not the tasks' own.
        published: ids of trial tasks that stay, because they or a model of theirs are published.
    """

    study_id: str
    task_ids: tuple[str, ...]
    stored: tuple[Stored, ...]
    entries: tuple[Stored, ...] = ()
    published: tuple[str, ...] = ()

    def __str__(self) -> str:
        stay = f"; {len(self.published)} published ones stay" if self.published else ""
        return f"{len(self.task_ids)} tasks, {len(self.stored)} models and artifacts{stay}"


def plan_removal(api: Api, study_id: str, records: TrialRecords) -> Removal:
    """What the removal of a study would remove, in a few calls; nothing is changed."""
    ids = [*dict.fromkeys(_tasks_of(api, study_id, records)), study_id]
    tasks = tasks_with_outputs(api, ids)
    outputs = outputs_of(api, tasks)
    published = {task_id for task_id, task in tasks.items() if task.get("status") == "published"}
    published |= {stored.task_id for stored, why in outputs if why == PUBLISHED}
    going = [(stored, why) for stored, why in outputs if stored.task_id not in published]
    return Removal(
        study_id,
        tuple(task_id for task_id in ids if task_id in tasks.keys() - published),
        tuple(stored for stored, why in going if not why),
        tuple(stored for stored, why in going if why and stored.kind == "model"),
        tuple(published),
    )


def _tasks_of(api: Api, study_id: str, records: TrialRecords) -> list[str]:
    """The tasks that belong to a study, beside its controller task."""
    trials = [trial.task_id for trial in (*records.latest, *records.earlier)]
    pilots = [pilot.task_id for pilot in pilots_of(api, study_id)]
    return [*trials, *records.orphans, *_looks(api, study_id), *pilots]


def remove(api: Api, removal: Removal, on_note: Callable[[str], None]) -> bool:
    """Removes it; whether all is gone. What could not be removed stays with its task, so that it can be tried again.

    Raises:
        ApiError: the server refused a call.
    """
    stay: set[str] = set()
    to_delete: list[tuple[Callable[[Api, Stored], object], Stored]]
    to_delete = [(delete_stored, stored) for stored in removal.stored]
    to_delete += [(delete_entry, stored) for stored in removal.entries]
    for delete, stored in to_delete:
        try:
            delete(api, stored)
        except ServerError as error:
            stay |= {stored.task_id, removal.study_id}
            on_note(Note(f"{stored} stays: {error}", level="warning", task=stored.task_id))
    is_gone = _delete_tasks(api, [task_id for task_id in removal.task_ids if task_id not in stay], on_note)
    return is_gone and not stay


def _delete_tasks(api: Api, ids: list[str], on_note: Callable[[str], None]) -> bool:
    """Whether all are gone."""
    is_done = True
    for chunk in chunks(ids, _CHUNK):
        answer = api.call("tasks.delete_many", ids=chunk, force=True)
        for failed in answer.get("failed") or ():
            why = failed.get("error") or {}
            if Subcode.NO_SUCH_TASK in (why.get("codes") or ()):  # a user was quicker
                continue
            is_done = False
            on_note(Note(f"task {failed['id']} stays: {why.get('msg')}", level="warning", task=failed["id"]))
    return is_done


def _looks(api: Api, study_id: str) -> Iterable[str]:
    """Looks at a new script's parameters, which are no trials."""
    filters = {"hyperparams.properties.study.value": [study_id], "hyperparams.properties.attempt.value": ["0"]}
    query = {**filters, "only_fields": ["id"], "search_hidden": True}
    return [task["id"] for task in rows(api, "tasks", query)]
