"""What a task keeps, changed in the one way that a server takes whatever the task's status is.

Of a task that has ended a server refuses ``edit_configuration``, ``add_or_update_artifacts`` and their like, forced or
not; it takes user properties, ``tasks.update``, and ``tasks.edit`` with force, which sets a whole field at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import BAD_REQUEST, Subcode
from clearml_hpo.backend.hyperparameters import USER_PROPERTIES
from clearml_hpo.core.errors import ApiError


def set_properties(api: Api, task_id: str, properties: Mapping[str, object]) -> None:
    """Sets user properties of a task; the others stay."""
    api.call(
        "tasks.edit_hyper_params",
        task=task_id,
        force=True,
        replace_hyperparams="none",
        hyperparams=[{"section": USER_PROPERTIES, "name": n, "value": str(v)} for n, v in properties.items()],
    )


def change(api: Api, task_id: str, field: str, changed: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Sets a field of a task to what ``changed`` makes of it, in two calls, or one if it makes nothing new of it.

    Raises:
        ApiError: there is no such task, or the server refused a call.
    """
    before = read(api, task_id, field).get(field) or {}
    after = changed(dict(before))
    if after != before:
        api.call("tasks.edit", task=task_id, force=True, **{field: after})


def read(api: Api, task_id: str, *fields: str) -> dict[str, Any]:
    """These fields of a task.

    Raises:
        ApiError: there is no such task.
    """
    found = api.call("tasks.get_all", id=[task_id], only_fields=["id", *fields], search_hidden=True).get("tasks")
    if not found:
        raise ApiError("tasks.get_all", BAD_REQUEST, Subcode.NO_SUCH_TASK, f"there is no task {task_id}")
    task: dict[str, Any] = found[0]
    return task
