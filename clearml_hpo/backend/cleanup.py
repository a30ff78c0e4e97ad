"""``keep``: models and artifacts of all but the best trials are deleted from storage, or archived with their tasks.

A trial task itself always stays. Never touched are: trials that wait or run, the best ones and the Pareto front, tasks
of other studies, what is published, and files that are not under the task's own address, such as data of yours that a
trial only refers to.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import unquote, urlparse

from clearml_hpo.backend import storage
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.editing import change, set_properties
from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.backend.lists import by_id, chunks, rows
from clearml_hpo.core.errors import ApiError, ServerError, is_trouble
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.notes import Note
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial, TrialState, pareto_front

Result = TypeVar("Result")
Others: TypeAlias = Literal["delete", "archive"]

_GOING = "going"
_FILE = ("kind", "name", "uri")  # what the user property says of a file that is to be deleted
_UNTOUCHABLE = ("queued", "in_progress", "published")
PUBLISHED = "it is published"
_MOST_LINES = 200


@dataclass(frozen=True)
class Stored:
    """A model or an artifact of a trial task.

    Attributes:
        kind: ``model`` or ``artifact``.
        name: its name on the task.
        uri: address of the file; empty if there is none.
        size: bytes, if that is known.
        model_id: of a model.
    """

    task_id: str
    kind: Literal["model", "artifact"]
    name: str
    uri: str
    size: int | None = None
    model_id: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + f" ({_bytes(self.size)})" * (self.size is not None) + f"  {self.uri}"


@dataclass(frozen=True)
class KeepPlan:
    """What is kept and what goes.

    Attributes:
        kept: trials that keep everything, the best first.
        others: those that do not, with the number of their attempt.
        stored: what goes of the others.
        spared: what stays nevertheless, and why.
    """

    kept: tuple[Trial, ...]
    others: tuple[Trial, ...]
    stored: tuple[Stored, ...]
    spared: tuple[tuple[Stored, str], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of what goes, as far as they are known."""
        return sum(stored.size or 0 for stored in self.stored)

    def measured(self, api: Api) -> KeepPlan:
        """The same, with the sizes of files on HTTP servers: one request each."""
        return replace(self, stored=tuple(_measured(api, stored) for stored in self.stored))

    def text(self, others: Others = "delete") -> str:
        """For a user who wants to know before it happens."""
        keep = f"keep: trials {_numbers(self.kept)}"
        if others == "archive":
            return f"{keep}\narchive: trials {_numbers(self.others)}"
        number = {trial.task_id: trial.number for trial in self.others}
        lines = [f"trial {number[each.task_id]}: {each}" for each in self.stored]
        more = [f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
        stay = [f"trial {number[each.task_id]}: {each} stays: {why}" for each, why in self.spared[:_MOST_LINES]]
        unknown = sum(each.size is None for each in self.stored)
        total = f"{len(self.stored)} models and artifacts, {_bytes(self.size)}"
        total += f" and {unknown} of unknown size" * bool(unknown)
        return "\n".join([keep, *lines[:_MOST_LINES], *more, *stay, f"delete: {total}"])


@dataclass
class Done:
    """What came of a plan.

    Attributes:
        deleted: whose files and entries are gone.
        archived: tasks and models that are archived now.
        left: what could not be deleted, and why.
        spared: what was to stay from the start, and why.
    """

    deleted: list[Stored] = field(default_factory=list)
    archived: int = 0
    left: list[tuple[Stored, str]] = field(default_factory=list)
    spared: tuple[tuple[Stored, str], ...] = ()

    def __str__(self) -> str:
        if self.archived:
            return f"keep: {self.archived} tasks and models are archived"
        size = sum(stored.size or 0 for stored in self.deleted)
        why = Counter(why for _, why in self.spared)
        stay = [f"{len(self.left)} could not be deleted"] * bool(self.left)
        stay += [f"{count} stay: {reason}" for reason, count in why.items()]
        return "; ".join([f"keep: {len(self.deleted)} models and artifacts are deleted, {_bytes(size)}", *stay])


def plan(api: Api, study_id: str, trials: Iterable[Trial], goal: Goal, top: int) -> KeepPlan:
    """What ``keep`` would do, in a few calls; nothing is changed.

    Args:
        trials: of the study, attempts that were followed by another one included.
        top: so many of the best trials keep everything; the Pareto front does in any case.
    """
    trials = list(trials)
    kept = _best(trials, goal, top)
    safe = {trial.task_id for trial in kept}
    ended = [trial for trial in trials if trial.task_id not in safe and not trial.state.is_live]
    tasks = tasks_with_outputs(api, [trial.task_id for trial in ended])
    others = [trial for trial in ended if _may_be_touched(tasks.get(trial.task_id), study_id)]
    outputs = outputs_of(api, {trial.task_id: tasks[trial.task_id] for trial in others})
    return KeepPlan(
        tuple(kept),
        tuple(others),
        tuple(each for each, why in outputs if not why),
        tuple((each, why) for each, why in outputs if why),
    )


def apply(api: Api, plan: KeepPlan, others: Others, on_note: Callable[[str], None] = lambda text: None) -> Done:
    """Does what was planned; what it could not do is in ``left``, and may be planned and tried again.

    ``delete`` deletes the files and their entries and sets the user property ``kept`` of the tasks to ``no``;
    ``archive`` hides tasks and models, as the web page does.

    Raises:
        ApiError: the server refused a call.
    """
    if others == "archive":
        return Done(archived=_archive(api, plan))
    done = Done(spared=plan.spared)
    by_task: dict[str, list[Stored]] = {}
    for each in plan.stored:
        by_task.setdefault(each.task_id, []).append(each)
    tasks = _seen_again(api, plan) if by_task else {}
    for task_id, stored in by_task.items():
        if task_id in tasks:
            deleted, left = _delete(api, task_id, stored)
        else:
            deleted, left = [], [(each, "its task is not as it was when this was planned") for each in stored]
        for each, why in left:
            on_note(Note(f"{each} stays: {why}", level="warning", task=task_id))
        done.deleted += deleted
        done.left += left
    return done


def _seen_again(api: Api, plan: KeepPlan) -> dict[str, dict[str, Any]]:
    """The tasks of the others that may still be touched: since the plan a user may have had some run again."""
    ids = [trial.task_id for trial in plan.others]
    tasks = by_id(api, "tasks", ids, ["status", "hyperparams.properties"], search_hidden=True)
    return {task_id: task for task_id, task in tasks.items() if task.get("status") not in _UNTOUCHABLE}


def _archive(api: Api, plan: KeepPlan) -> int:
    """Archives tasks and models; how many. A server blanks the reasons of what it archives: properties keep them."""
    tasks = _seen_again(api, plan)
    for trial in plan.others:
        if trial.task_id in tasks and trial.state is not TrialState.COMPLETED:
            _note_end(api, trial, tasks[trial.task_id])
    spared = [each for each, why in plan.spared if why != PUBLISHED]
    models = [each.model_id for each in (*plan.stored, *spared) if each.kind == "model" and each.task_id in tasks]
    return _archived(api, "tasks", [*tasks]) + _archived(api, "models", models)


def _archived(api: Api, kind: str, ids: Sequence[str]) -> int:
    """Archives tasks or models; how many."""
    answers = [api.call(f"{kind}.archive_many", ids=chunk) for chunk in chunks(ids)]
    return len(ids) - sum(len(answer.get("failed") or ()) for answer in answers)


def _note_end(api: Api, trial: Trial, task: Mapping[str, Any]) -> None:
    """Sets the properties that say how a trial ended, where they are not set yet."""
    known = user_properties(task.get("hyperparams") or {})
    end = {"state": trial.state.value, "reason": trial.reason}
    lacking = {name: text for name, text in end.items() if text and not known.get(name)}
    if lacking:
        set_properties(api, trial.task_id, lacking)


# --- planning --------------------------------------------------------------------------------------------------------


def tasks_with_outputs(api: Api, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """These tasks by id, with what :func:`outputs_of` needs; those that are not there are missing."""
    fields = ["id", "status", "execution.artifacts", "models.output", "hyperparams.properties"]
    return by_id(api, "tasks", ids, fields, search_hidden=True)


def outputs_of(api: Api, tasks: Mapping[str, Mapping[str, Any]]) -> list[tuple[Stored, str]]:
    """Models and artifacts of ``tasks``, each with why its file must stay; nothing if it may go."""
    models = list(_all_models(api, task=[*tasks], only_fields=["id", "name", "uri", "ready", "task"]))
    stored = [*_artifacts(tasks, tasks), *_models(tasks, models)]
    listed = {(each.kind, each.name, each.uri) for each in stored}
    stored += [each for each in _left(tasks) if (each.kind, each.name, each.uri) not in listed]
    published = {model["id"] for model in models if model.get("ready")}
    shared = _shared(api, [each.uri for each in stored if each.uri], {model["id"] for model in models})
    return [(each, _why_not(each, published, shared)) for each in stored]


def _all_models(api: Api, **filters: Any) -> Iterator[dict[str, Any]]:
    """All models that match; the one filter that lists ids or addresses is asked for in chunks."""
    name = next(key for key in filters if key != "only_fields")
    for chunk in chunks(list(filters[name])):
        yield from rows(api, "models", {**filters, name: chunk})


def _best(trials: Sequence[Trial], goal: Goal, top: int) -> list[Trial]:
    """The ``top`` best trials and the Pareto front, the best first."""
    front = {trial.task_id for trial in pareto_front(trials, goal)}
    best = [trial for trial in ranking(trials, goal) if trial.final_values is not None and trial.is_feasible]
    return [trial for index, trial in enumerate(best) if index < top or trial.task_id in front]


def _may_be_touched(task: Mapping[str, Any] | None, study_id: str) -> bool:
    if task is None or task.get("status") in _UNTOUCHABLE:
        return False
    return user_properties(task.get("hyperparams") or {}).get("study") == study_id


def _artifacts(tasks: Mapping[str, Mapping[str, Any]], ids: Iterable[str]) -> Iterator[Stored]:
    for task_id in ids:
        for artifact in (tasks[task_id].get("execution") or {}).get("artifacts") or ():
            if artifact.get("mode", "output") == "output":
                size = artifact.get("content_size")
                yield Stored(task_id, "artifact", artifact.get("key") or "", artifact.get("uri") or "", size or None)


def _left(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[Stored]:
    """Files whose entries are gone already: they could not be deleted, or the controller died before."""
    for task_id, task in tasks.items():
        text = user_properties(task.get("hyperparams") or {}).get(_GOING)
        try:
            found = json.loads(text) if text else []
        except ValueError:  # a user has edited it
            continue
        for item in found if isinstance(found, list) else ():
            if isinstance(item, list) and len(item) == len(_FILE) and item[0] in ("model", "artifact"):
                kind, name, uri = item
                yield Stored(task_id, kind, str(name), str(uri))


def _models(tasks: Mapping[str, Mapping[str, Any]], models: Iterable[Mapping[str, Any]]) -> Iterator[Stored]:
    for model in models:
        task = tasks.get(model.get("task") or "")
        if task is None:
            continue
        output = (task.get("models") or {}).get("output") or ()
        named = (item.get("name") for item in output if item.get("model") == model["id"])
        name = next(filter(None, named), model.get("name") or "")
        yield Stored(task["id"], "model", name, model.get("uri") or "", model_id=model["id"])


def _shared(api: Api, uris: Sequence[str], own: set[str]) -> set[str]:
    """Addresses that models of other tasks have too."""
    models = _all_models(api, uri=uris, only_fields=["id", "uri"])
    return {model["uri"] for model in models if model["id"] not in own and model.get("uri")}


def _why_not(stored: Stored, published: set[str], shared: set[str]) -> str:
    """Why it must stay, or nothing."""
    if stored.model_id in published:
        return PUBLISHED
    if stored.uri in shared:
        return "another model has the same file"
    if stored.uri and not _is_own(stored):
        return "the file is not under the task's own address"
    return ""


def _is_own(stored: Stored) -> bool:
    """Whether the address has the task's id in it, as those that the SDK chooses; a trial may note any address."""
    if stored.uri.startswith("file://"):
        return stored.task_id in str(_path(stored.uri).parent.resolve())
    path = unquote(urlparse(stored.uri).path)
    return stored.task_id in path and ".." not in path.split("/")


def _measured(api: Api, stored: Stored) -> Stored:
    if stored.size is not None or not stored.uri.startswith("http"):
        return stored
    try:
        return replace(stored, size=api.file_server.size(stored.uri) or 0)
    except ServerError:
        return stored


# --- deleting --------------------------------------------------------------------------------------------------------


def delete_stored(api: Api, stored: Stored) -> Stored:
    """Deletes the entry of a model and the file; returns it with the bytes that are free now.

    The file is looked at first, and the server is asked second: it refuses while other tasks use the model.

    Raises:
        ServerError: it has to stay; the message says why.
    """
    size = _size(api, stored.uri) if stored.uri else None
    delete_entry(api, stored)
    if size is not None:
        _delete_file(api, stored.uri)
    return replace(stored, size=size or 0)


def _delete(api: Api, task_id: str, stored: Sequence[Stored]) -> tuple[list[Stored], list[tuple[Stored, str]]]:
    """What is deleted of a task, and what is left and why.

    Entries go before files: one that stays must not name a file that is gone. Meanwhile the property ``going`` names
    the files, so that another attempt finds those that are left.
    """
    # Only what can be looked at goes.
    sizes, left = _attempt(stored, lambda each: _size(api, each.uri) if each.uri else None)
    try:
        set_properties(api, task_id, {_GOING: _as_text(each for each, size in sizes.items() if size is not None)})
        _forget_artifacts(api, task_id, {each.name for each in sizes if each.kind == "artifact"})
    except ApiError as error:
        if is_trouble(error):
            raise
        return [], [*left, *((each, str(error)) for each in sizes)]
    # Entries.
    gone, with_entry = _attempt(sizes, lambda each: delete_entry(api, each))
    # Files.
    deleted, with_file = _attempt(gone, lambda each: _delete_file(api, each.uri) if sizes[each] is not None else None)
    _forget_models(api, task_id, {each.model_id for each in gone if each.model_id})
    kept = {"kept": "no"} if deleted else {}
    set_properties(api, task_id, {_GOING: _as_text(each for each, _ in with_file), **kept})
    return [replace(each, size=sizes[each] or 0) for each in deleted], [*left, *with_entry, *with_file]


def _attempt(
    stored: Iterable[Stored], act: Callable[[Stored], Result]
) -> tuple[dict[Stored, Result], list[tuple[Stored, str]]]:
    """What came of it by what it was done to; and what it could not be done to, and why."""
    done: dict[Stored, Result] = {}
    failed: list[tuple[Stored, str]] = []
    for each in stored:
        try:
            done[each] = act(each)
        except ServerError as error:
            failed.append((each, str(error)))
    return done, failed


def _as_text(stored: Iterable[Stored]) -> str:
    files = [[getattr(each, name) for name in _FILE] for each in stored]
    return json.dumps(files) if files else ""


def delete_entry(api: Api, stored: Stored) -> None:
    """Deletes the entry of a model, if it is one; one that is gone is no error. Raises ServerError: it has to stay."""
    if not stored.model_id:
        return
    try:
        api.call("models.delete", model=stored.model_id)
    except ApiError as error:
        if is_trouble(error):
            raise
        if error.subcode != Subcode.NO_SUCH_MODEL:
            raise ServerError(str(error)) from None


def _size(api: Api, uri: str) -> int | None:
    """Bytes of a file, 0 if that cannot be said; None if it is not there. Raises ServerError."""
    if uri.startswith("file://"):
        return _path(uri).stat().st_size if _path(uri).exists() else None
    return storage.size(api, uri)


def _delete_file(api: Api, uri: str) -> None:
    if uri.startswith("file://"):
        _path(uri).unlink(missing_ok=True)
        return
    storage.delete(api, uri)


def _path(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def _forget_artifacts(api: Api, task_id: str, names: Collection[str]) -> None:
    """Takes artifacts off a task's list."""

    def without(execution: dict[str, Any]) -> dict[str, Any]:
        listed = execution.get("artifacts") or []
        kept = [each for each in listed if each.get("key") not in names or each.get("mode", "output") != "output"]
        return {**execution, "artifacts": kept} if len(kept) < len(listed) else execution

    if names:
        change(api, task_id, "execution", without)


def _forget_models(api: Api, task_id: str, model_ids: Collection[str]) -> None:
    """Takes models that are gone off a task's list, where the server has not done so by itself."""

    def without(models: dict[str, Any]) -> dict[str, Any]:
        listed = models.get("output") or []
        kept = [each for each in listed if each.get("model") not in model_ids]
        if len(kept) == len(listed):
            return models
        both = {"input": models.get("input") or [], "output": kept}
        return {kind: [{"name": e.get("name"), "model": e.get("model")} for e in each] for kind, each in both.items()}

    if model_ids:
        change(api, task_id, "models", without)


def _numbers(trials: Iterable[Trial]) -> str:
    return ", ".join(str(number) for number in dict.fromkeys(trial.number for trial in trials)) or "none"


def _bytes(size: int | None) -> str:
    """``12 B``, ``3.4 kB``, ``1.2 GB``."""
    number, units = float(size or 0), ["B", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.3g} {units[0]}"
