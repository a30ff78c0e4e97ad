"""Projects, queues and workers by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.core.errors import ApiError, InputError, nearest

WORKER_SEEN_WITHIN_S = 120
"""Workers that have not reported for longer than this do not count as serving a queue."""
SHORTEST_NAME = 3
"""Characters of the name of a task or queue, and of each part of a project's path, that a ClearML server asks for."""
_LONGER = " (study)"
_SHORTEST_PREFIX = 6  # of an id


def ensure_project(api: Api, name: str) -> str:
    """Id of the project called ``name``, which is created if there is none.

    Raises:
        InputError: a part of its path is too short.
    """
    found = find_project(api, name)
    if found is None:
        if any(len(part.strip()) < SHORTEST_NAME for part in name.strip("/").split("/")):
            raise InputError(f"project {name!r}: each part of a ClearML project's name has three characters or more")
        try:
            found = api.call("projects.create", name=name, description="")["id"]
        except ApiError as error:
            if error.subcode != Subcode.NAME_TAKEN:  # another caller made it in between
                raise
            found = find_project(api, name)
            if found is None:
                raise InputError(f"project: the server has one that it takes for {name!r}, by another name") from None
    return str(found)


def find_project(api: Api, name: str) -> str | None:
    """Id of the project called ``name``, or None."""
    filters = {"name": exactly(name), "only_fields": ["id", "name"], "search_hidden": True}
    projects = api.call("projects.get_all", **filters).get("projects") or []
    return next((str(project["id"]) for project in projects if project.get("name") == name), None)


def find_queues(api: Api, names: Iterable[str], *, key: str = "execution.queue") -> dict[str, str]:
    """Ids of the queues of these names (or ids), in one call if all are names; ``key`` is where a user wrote them.

    They are asked for by name: a list of all queues ends after 500.

    Raises:
        InputError: there is none of some name; the message gives the nearest one.
    """
    wanted = list(names)
    if not wanted:
        return {}
    pattern = f"^({'|'.join(map(re.escape, wanted))})$"
    found = _queues(api, name=pattern)
    others = [name for name in wanted if name not in found]
    ids = set(_queues(api, id=others).values()) if others else set()
    for name in others:
        if name not in ids:
            known = _queues(api)
            raise InputError(
                f"{key}: no queue {name!r} on the server{nearest(name, known)} (there are: "
                f"{', '.join(sorted(known))}; `clearml-hpo agents up --queue {name}` makes it)"
            )
    return {name: found.get(name, name) for name in wanted}


def _queues(api: Api, **filters: Any) -> dict[str, str]:
    """Ids by name."""
    queues = api.call("queues.get_all", only_fields=["id", "name"], **filters).get("queues") or []
    return {queue["name"]: str(queue["id"]) for queue in queues if queue.get("name")}


def ensure_queue(api: Api, name: str, tags: Sequence[str] = ()) -> str:
    """Id of the queue of this name, which is created, with ``tags``, if there is none.

    Raises:
        InputError: the name is too short.
    """
    if len(name.strip()) < SHORTEST_NAME:
        raise InputError(f"queue {name!r}: a ClearML queue's name has three characters or more")

    def found() -> list[dict[str, Any]]:
        queues: list[dict[str, Any]] = api.call("queues.get_all", name=exactly(name), only_fields=["id"])["queues"]
        return queues

    if queues := found():
        return str(queues[0]["id"])
    try:
        return str(api.call("queues.create", name=name, tags=list(tags))["id"])
    except ApiError as error:
        if error.subcode != Subcode.NAME_TAKEN:  # another caller made it in between
            raise
    return str(found()[0]["id"])


def own_queue_name(place: str, study_id: str) -> str:
    """The ClearML queue of one study's own, where an executor has one, by what the study calls it: ``local``."""
    return f"{place}-{study_id}"


def is_own_queue(name: str) -> bool:
    """Whether a ClearML queue looks like one that :func:`own_queue_name` has named."""
    return re.search(r"-[0-9a-f]{32}$", name) is not None


def place_of_queue(name: str, study_id: str) -> str:
    """What a study calls a ClearML queue: one of its own has a short name, any other its own."""
    return name.removesuffix(f"-{study_id}")


def workers_by_queue(api: Api, *, key: str = "id") -> dict[str, list[str]]:
    """Ids of the workers that were heard of lately, by the ``id`` or ``name`` of the queue that they serve."""
    workers: list[dict[str, Any]] = api.call("workers.get_all", last_seen=WORKER_SEEN_WITHIN_S)["workers"]
    serving: dict[str, list[str]] = {}
    for worker in workers:
        for queue in worker.get("queues") or ():
            serving.setdefault(str(queue.get(key)), []).append(worker["id"])
    return serving


def standing_for(text: str, tasks: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tasks of this id or name; if there is none, those whose id begins with ``text``, of six letters or more."""
    tasks = list(tasks)
    found = [task for task in tasks if text in (task.get("name"), task["id"])]
    if found or len(text) < _SHORTEST_PREFIX:
        return found
    return [task for task in tasks if task["id"].startswith(text)]


def trial_name(of: str, number: int) -> str:
    """What a trial task is called: ``catboost #12``; ``of`` is the model, or the template's name."""
    return f"{of} #{number}"


def task_name(study: str) -> str:
    """What a study's controller task is called: a ClearML server asks for three characters."""
    return study if len(study) >= SHORTEST_NAME else f"{study}{_LONGER}"


def study_name(task: str) -> str:
    """The study of which :func:`task_name` has made ``task``."""
    study = task.removesuffix(_LONGER)
    return study if len(study) < SHORTEST_NAME else task


def exactly(name: str) -> str:
    """The regular expression that matches ``name`` alone: names are patterns in ClearML's lists."""
    return f"^{re.escape(name)}$"
