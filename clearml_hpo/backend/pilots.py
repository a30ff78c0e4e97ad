"""Pilots: workers that run as ClearML tasks, on queues that plain agents serve."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from clearml_hpo.backend import withdrawal
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import AGENT_ENDED, STOPPED_BY_USER, STOPPING, is_non_responsive
from clearml_hpo.backend.controller_task import ask_for_time_to_end
from clearml_hpo.backend.lists import rows
from clearml_hpo.core.errors import ApiError, InputError

IDLE_TIMEOUT_S = 300.0
"""A pilot leaves after this long without a task, if no other time is given."""
TAG = "pilot"
SECTION = "worker"
"""Of the hyperparameters: options of ``clearml-hpo worker`` and their values."""
_SCRIPT = """\
from clearml_hpo.cli import main

main(["worker"])
"""


@dataclass(frozen=True)
class Environment:
    """What a pilot needs around it, so that the tasks which it runs find what they ask for.

    Attributes:
        requirements: lines for pip, beside this package.
        container: as ClearML keeps it: image, arguments, setup_shell_script.
    """

    binary: str = f"python{sys.version_info.major}.{sys.version_info.minor}"
    requirements: str = ""
    container: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pilot:
    """A pilot's task, as last seen."""

    task_id: str
    status: str
    reason: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or waits for an agent."""
        return self.status in ("queued", "in_progress")

    @property
    def was_stopped(self) -> bool:
        """Whether a user has stopped it, rather than its machine."""
        is_machine = is_non_responsive(self.reason) or self.reason.startswith(AGENT_ENDED)
        return self.status == "stopped" and not is_machine


def environment_of(api: Api, task_ids: Sequence[str]) -> Environment:
    """What the runs of these tasks ask for, together; the container is that of the first one that asks for one."""
    fields = ["script.binary", "script.requirements", "container"]
    tasks = api.call("tasks.get_all", id=list(task_ids), only_fields=fields, search_hidden=True)["tasks"]
    scripts = [task.get("script") or {} for task in tasks]
    lines = dict.fromkeys(line for script in scripts for line in _requirements(script))
    containers = [{key: text for key, text in _container(task).items() if text} for task in tasks]
    return Environment(
        next((script["binary"] for script in scripts if script.get("binary")), Environment.binary),
        "\n".join(lines),
        next(filter(None, containers), {}),
    )


def _requirements(script: Mapping[str, Any]) -> list[str]:
    """What a script asks pip for; the SDK writes it as text or as a list."""
    asked = (script.get("requirements") or {}).get("pip") or ""
    return asked if isinstance(asked, list) else str(asked).splitlines()


def create_pilot(
    api: Api,
    *,
    name: str,
    project_id: str,
    options: Mapping[str, str],
    parent: str | None = None,
    environment: Environment | None = None,
) -> str:
    """Makes the task of a pilot, and returns its id.

    Args:
        options: of ``clearml-hpo worker``, without the dashes; in the web page they can be changed.
        parent: the study's controller task.
    """
    place = environment or Environment()
    task_id = api.call(
        "tasks.create",
        name=name,
        type="service",
        project=project_id,
        tags=["clearml-hpo", TAG],
        hyperparams={SECTION: {key: {"section": SECTION, "name": key, "value": text} for key, text in options.items()}},
        script={
            "binary": place.binary,
            "repository": "",
            "entry_point": "pilot.py",
            "working_dir": ".",
            "diff": _SCRIPT,
            "requirements": {"pip": f"clearml-hpo=={version('clearml-hpo')}\n{place.requirements}".strip()},
        },
        **({"parent": parent} if parent else {}),
        **({"container": dict(place.container)} if place.container else {}),
    )["id"]
    return str(task_id)


def pilots_of(api: Api, study_id: str) -> list[Pilot]:
    """The pilots of a study, in the order in which they were made; a call for every 500."""
    found = rows(api, "tasks", {"parent": study_id, "tags": [TAG], "only_fields": ["id", "status", "status_reason"]})
    return [Pilot(task["id"], task["status"], task.get("status_reason") or "") for task in found]


def withdraw(api: Api, pilots: Sequence[Pilot]) -> None:
    """Takes pilots that no agent has taken out of their queue, and deletes their tasks."""
    waiting = [pilot.task_id for pilot in pilots if pilot.status == "queued"]
    left = withdrawal.withdraw(api, waiting)
    if taken_back := [task_id for task_id in waiting if task_id not in left]:
        api.call("tasks.delete_many", ids=taken_back)  # without force: drafts alone, and none that has run


class OwnTask:
    """The task around the process of a pilot.

    Attributes:
        image: of the container that it runs in; empty outside of one.
    """

    def __init__(self, api: Api, task_id: str) -> None:
        """An agent that is to abort it leaves the pilot some time to say what becomes of its tasks."""
        self._api = api
        self._task_id = task_id
        task = self._read(f"hyperparams.{SECTION}", "container")
        self._options = (task.get("hyperparams") or {}).get(SECTION) or {}
        self.image = str(_container(task).get("image") or "")
        ask_for_time_to_end(api, task_id)

    def arguments(self) -> list[str]:
        """What its hyperparameters say that ``clearml-hpo worker`` is to do.

        Raises:
            InputError: they name no queue.
        """
        values = {name: str(entry.get("value") or "").strip() for name, entry in self._options.items()}
        if not values.get("queue"):
            raise InputError(f"{SECTION}/queue: task {self._task_id} does not say which queue its worker is to serve")
        queues = [queue.strip() for queue in values.pop("queue").split(",")]
        options = [("queue", queue) for queue in queues] + [(name, value) for name, value in values.items() if value]
        return [f"--{name}={value}" for name, value in options]

    def is_to_end(self) -> bool:
        """True if a user or the controller wants it to end, or has ended it."""
        task = self._read("status", "status_message")
        return task.get("status") != "in_progress" or task.get("status_message") == STOPPING

    def end(self) -> None:
        """Says that it has ended as it was asked to, if it was; else its agent says how."""
        with suppress(ApiError):
            task = self._read("status", "status_message", "started")
            is_asked = task.get("status") == "in_progress" and task.get("status_message") == STOPPING
            if is_asked or withdrawal.is_spoilt(task):
                self._api.call("tasks.stopped", task=self._task_id, force=True, status_reason=STOPPED_BY_USER)

    def _read(self, *fields: str) -> Mapping[str, Any]:
        found = self._api.call("tasks.get_all", id=[self._task_id], only_fields=list(fields), search_hidden=True)
        return found["tasks"][0] if found["tasks"] else {}


def _container(task: Mapping[str, Any]) -> Mapping[str, Any]:
    return task.get("container") or {}
