"""The controller task: the study's own entry in the experiment table, with its plots, table and best parameters."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearml_hpo.backend.api import PLOTS, Api
from clearml_hpo.backend.editing import change, read, set_properties
from clearml_hpo.backend.hyperparameters import with_user_properties
from clearml_hpo.backend.lists import by_id, rows
from clearml_hpo.backend.names import task_name
from clearml_hpo.backend.outputs import store
from clearml_hpo.backend.withdrawal import forget_entry
from clearml_hpo.machine import settings

if TYPE_CHECKING:
    from typing_extensions import Self  # of mypy

BEST_TAG = "best"
_TIME_TO_END_S = 120.0
"""An agent that aborts a controller gives it this long to end its trials."""
_LONGEST_PREVIEW = 64_000
_SCRIPT = """\
from clearml_hpo.cli import main

main({arguments})
"""


class ControllerTask:
    """A task of type optimizer; parent of the trial tasks.

    Attributes:
        kind: ClearML's type of the task.
        tags: by which it is found.
        file: the configuration that keeps the study file.
        view: of its page, that has most to show.
        arguments: of the command by which an agent that runs the task goes on with it.
    """

    kind = "optimizer"
    tags: Sequence[str] = ("clearml-hpo",)
    file = "study"
    arguments: Sequence[str] = ("resume",)
    view = PLOTS

    def __init__(self, api: Api, task_id: str, project_id: str) -> None:
        self._api = api
        self.task_id = task_id
        self.project_id = project_id

    @classmethod
    def draft(
        cls,
        api: Api,
        *,
        name: str,
        project_id: str,
        study_yaml: str,
        properties: Mapping[str, str] | None = None,
        parent: str = "",
    ) -> Self:
        """Creates the task; ``study_yaml`` becomes its configuration, ``parent`` is the campaign that it is of.

        It holds all that is needed to drive the study: an agent that runs it, or a copy of it, resumes it.
        """
        task_id = api.call(
            "tasks.create",
            name=task_name(name),
            type=cls.kind,
            project=project_id,
            tags=list(cls.tags),
            script={
                "binary": f"python{sys.version_info.major}.{sys.version_info.minor}",
                "repository": "",
                "entry_point": "controller.py",
                "working_dir": ".",
                "diff": _SCRIPT.format(arguments=json.dumps(list(cls.arguments))),
                "requirements": {"pip": f"clearml-hpo=={version('clearml-hpo')}"},
            },
            configuration={cls.file: {"name": cls.file, "type": "yaml", "value": study_yaml}},
            hyperparams=with_user_properties({}, properties or {}),
            **({"parent": parent} if parent else {}),
        )["id"]
        return cls(api, str(task_id), project_id)

    @classmethod
    def create(
        cls,
        api: Api,
        *,
        name: str,
        project_id: str,
        study_yaml: str,
        properties: Mapping[str, str],
        parent: str = "",
    ) -> Self:
        """As :meth:`draft`, and starts the task: the caller drives the study."""
        task = cls.draft(
            api, name=name, project_id=project_id, study_yaml=study_yaml, properties=properties, parent=parent
        )
        api.call("tasks.started", task=task.task_id, force=True)  # perhaps once more: the first answer was lost
        return task

    def go_on(self, study_yaml: str) -> None:
        """Starts an existing task again, with the study as it is now.

        Started first: a controller that dies in between leaves a study without a controller and with its old file.
        An agent has started the task that it runs: once more, and a user's wish that it stop would be taken back.
        """
        is_of_agent = settings.load().task_id == self.task_id
        if not (is_of_agent and read(self._api, self.task_id, "status").get("status") == "in_progress"):
            self._api.call("tasks.started", task=self.task_id, force=True)
            # A start leaves it there: an agent would begin a second controller, and fail the task when that is refused.
            forget_entry(self._api, self.task_id)
        self.set_configuration(**{self.file: study_yaml})
        ask_for_time_to_end(self._api, self.task_id)

    @property
    def url(self) -> str:
        """Its page."""
        return self._api.task_url(self.project_id, self.task_id, self.view)

    def report(
        self,
        *,
        scalars: Sequence[tuple[str, str, int, float]] = (),
        plots: Mapping[tuple[str, str], str] | None = None,
        log: Sequence[tuple[float, str]] = (),
    ) -> None:
        """Sends all in one call; one more if scalars are not finite, which are left out, to say so on the console.

        Args:
            scalars: (title, series, iteration, value).
            plots: Plotly figures as JSON by (title, series).
            log: lines for the console, and when they were said, in seconds since the epoch.
        """
        now_ms = int(time.time() * 1000)
        base: dict[str, Any] = {"task": self.task_id, "timestamp": now_ms}
        events: list[dict[str, Any]] = [
            {**base, "type": "training_stats_scalar", "metric": t, "variant": s, "iter": i, "value": v}
            for t, s, i, v in scalars
        ]
        for (title, series), figure in (plots or {}).items():
            events.append({**base, "type": "plot", "metric": title, "variant": series, "iter": 0, "plot_str": figure})
        line = {**base, "type": "log", "level": "info", "worker": "controller"}
        events += [{**line, "timestamp": int(at * 1000), "msg": f"{text}\n"} for at, text in log]
        left_out = self._api.send_events(events)
        if left_out:
            said = f"{left_out} of {len(scalars)} scalars are not finite, and are left out"
            self._api.send_events([{**line, "msg": f"{said}\n"}])

    def set_configuration(self, **texts: str) -> None:
        """Sets configuration objects (YAML texts) by name; the others stay."""
        new = {name: {"name": name, "type": "yaml", "value": text} for name, text in texts.items()}
        change(self._api, self.task_id, "configuration", lambda before: {**before, **new})

    def set_properties(self, **texts: object) -> None:
        """Sets user properties, which the experiment table can show as columns; the others stay."""
        set_properties(self._api, self.task_id, texts)

    def tag_best(self, task_ids: Iterable[str]) -> None:
        """Has these trial tasks of the study bear the tag ``best``, and no others: two calls, one for each change."""
        best = set(task_ids)
        tagged = {"tags": [BEST_TAG], "hyperparams.properties.study.value": [self.task_id]}
        query = {"only_fields": ["id", "tags"], "search_hidden": True, **tagged}
        tasks = [*rows(self._api, "tasks", query)]
        tasks += by_id(self._api, "tasks", sorted(best), ["tags"], search_hidden=True).values()
        for task_id, tags in {task["id"]: task.get("tags") or [] for task in tasks}.items():
            if (task_id in best) != (BEST_TAG in tags):
                others = [tag for tag in tags if tag != BEST_TAG]
                self._api.call("tasks.update", task=task_id, tags=others + [BEST_TAG] * (task_id in best))

    def upload_artifact(self, name: str, text: str, file_name: str, content_type: str = "text/yaml") -> str:
        """Puts a text of some megabytes at most on the file server as an artifact of the task; returns its address.

        Raises:
            ServerError: the file server did not take it.
        """
        preview = text if len(text) <= _LONGEST_PREVIEW else ""
        return self._store(name, file_name, text.encode(), content_type, preview)

    def upload_file(self, name: str, path: Path, content_type: str) -> str:
        """Puts a file on the file server as an artifact of the task; returns its address.

        Raises:
            ServerError: the file server did not take it.
        """
        return self._store(name, path.name, path.read_bytes(), content_type)

    def _store(self, name: str, file_name: str, content: bytes, content_type: str, preview: str = "") -> str:
        uri = f"{self._api.files}/{self.task_id}/artifacts/{name}/{file_name}"
        artifact = store(self._api, uri, name, content, content_type, preview)

        def with_it(execution: dict[str, Any]) -> dict[str, Any]:
            others = [each for each in execution.get("artifacts") or () if each.get("key") != name]
            return {**execution, "artifacts": [*others, artifact]}

        change(self._api, self.task_id, "execution", with_it)
        return uri

    def drop_artifacts(self, prefix: str, but: Collection[str]) -> None:
        """Takes artifacts whose names begin with ``prefix`` off the task, but for these; their files stay."""

        def without(execution: dict[str, Any]) -> dict[str, Any]:
            listed = execution.get("artifacts") or []
            old = [each for each in listed if str(each.get("key")).startswith(prefix) and each.get("key") not in but]
            return {**execution, "artifacts": [each for each in listed if each not in old]} if old else execution

        change(self._api, self.task_id, "execution", without)

    def finish(self, status: str, reason: str = "") -> None:
        """Ends the task: ``status`` is completed, stopped or failed."""
        self._api.call(f"tasks.{status}", task=self.task_id, force=True, status_reason=reason, status_message=reason)


def ask_for_time_to_end(api: Api, task_id: str) -> None:
    """An agent that is to abort the task lets it end its trials first; otherwise it would kill it at once."""
    wish = {"_abort_callback_timeout": _TIME_TO_END_S, "_abort_poll_freq": 5.0}
    change(api, task_id, "runtime", lambda runtime: {**runtime, **wish})
