"""The controller task: the study's own entry in the experiment table, with its plots, table and best parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from clearml_hpo.tasks.api import Api
from clearml_hpo.tasks.hyperparameters import USER_PROPERTIES

_SCRIPT = """\
import sys
from clearml_hpo.cli import main
sys.exit(main())
"""


class ControllerTask:
    """A task of type optimizer; parent of the trial tasks."""

    def __init__(self, api: Api, task_id: str, project_id: str) -> None:
        self._api = api
        self.task_id = task_id
        self.project_id = project_id

    @classmethod
    def create(cls, api: Api, *, name: str, project_id: str, study_yaml: str) -> ControllerTask:
        """Creates and starts the task; ``study_yaml`` becomes its configuration ``study``."""
        task_id = api.call(
            "tasks.create",
            name=name,
            type="optimizer",
            project=project_id,
            tags=["clearml-hpo"],
            script={"repository": "", "entry_point": "controller.py", "working_dir": ".", "diff": _SCRIPT},
            configuration={"study": {"name": "study", "type": "yaml", "value": study_yaml}},
        )["id"]
        api.call("tasks.started", task=task_id)
        return cls(api, str(task_id), project_id)

    @property
    def url(self) -> str:
        """Its page."""
        return self._api.task_url(self.project_id, self.task_id)

    def report(
        self,
        *,
        scalars: Sequence[tuple[str, str, int, float]] = (),
        plots: Mapping[tuple[str, str], str] | None = None,
        log: str = "",
    ) -> None:
        """Sends all in one call.

        Args:
            scalars: (title, series, iteration, value).
            plots: Plotly figures as JSON by (title, series).
            log: console text.
        """
        now_ms = int(time.time() * 1000)
        base: dict[str, Any] = {"task": self.task_id, "timestamp": now_ms}
        events: list[dict[str, Any]] = [
            {**base, "type": "training_stats_scalar", "metric": t, "variant": s, "iter": i, "value": v}
            for t, s, i, v in scalars
        ]
        for (title, series), figure in (plots or {}).items():
            events.append({**base, "type": "plot", "metric": title, "variant": series, "iter": 0, "plot_str": figure})
        if log:
            events.append({**base, "type": "log", "level": "info", "msg": log, "worker": "controller"})
        self._api.send_events(events)

    def ping(self) -> None:
        """Tells the server that the study goes on; it stops tasks that are silent for hours."""
        self._api.call("tasks.ping", task=self.task_id)

    def set_configuration(self, **texts: str) -> None:
        """Sets configuration objects (YAML texts) by name; the others stay."""
        self._api.call(
            "tasks.edit_configuration",
            task=self.task_id,
            force=True,
            replace_configuration=False,
            configuration=[{"name": name, "type": "yaml", "value": text} for name, text in texts.items()],
        )

    def set_properties(self, **texts: object) -> None:
        """Sets user properties, which the experiment table can show as columns; the others stay."""
        self._api.call(
            "tasks.edit_hyper_params",
            task=self.task_id,
            force=True,
            replace_hyperparams="none",
            hyperparams=[{"section": USER_PROPERTIES, "name": n, "value": str(v)} for n, v in texts.items()],
        )

    def finish(self, status: str, reason: str = "") -> None:
        """Ends the task: ``status`` is completed, stopped or failed."""
        self._api.call(f"tasks.{status}", task=self.task_id, force=True, status_reason=reason, status_message=reason)
