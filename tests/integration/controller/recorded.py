"""A study on the server as a controller leaves it, made by hand: whatever state its tasks are to be in."""

from __future__ import annotations

import time
import uuid

from clearml_hpo.backend.editing import change
from clearml_hpo.backend.names import ensure_project
from clearml_hpo.backend.template import Template
from clearml_hpo.backend.trial_records import read_trials
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.search.space import Categorical, Float, Int, SearchSpace

GOAL = Goal((Objective("validation", "loss"),))
SPACE = SearchSpace({"General/x": Float(0, 1), "General/depth": Int(2, 8), "General/kind": Categorical(("a", "b"))})
STUDY = """\
study: {name}
project: {project}
template: {{task: {template}}}
search_space:
  General/x: {{type: float, low: 0.0, high: 1.0}}
  General/depth: {{type: int, low: 2, high: 8}}
  General/kind: {{type: categorical, choices: [a, b]}}
objective: {{metric: validation/loss, direction: minimize}}
budget: {{trials: 10}}
execution: {{queue: {queue}}}
"""


class RecordedStudy:
    """A controller task and its trial tasks, written by the calls that a controller and agents make."""

    def __init__(self, api, queue, *, name="quadratic"):
        self.api = api
        self.name = name
        self.project = f"tests/{uuid.uuid4().hex[:8]}"
        self.project_id = ensure_project(api, self.project)
        self.queue_id = api.call("queues.get_all", name=f"^{queue}$", only_fields=["id"])["queues"][0]["id"]
        hyperparams = {
            "General": {
                key: {"section": "General", "name": key, "value": text, "type": kind}
                for key, kind, text in (("x", "float", "0.9"), ("depth", "int", "4"), ("kind", "str", "a"))
            }
        }
        self.template_id = api.call(
            "tasks.create",
            name="template",
            type="training",
            project=self.project_id,
            hyperparams=hyperparams,
            script={"repository": "", "entry_point": "train.py", "working_dir": ".", "diff": "print()\n"},
        )["id"]
        text = STUDY.format(name=name, project=self.project, template=self.template_id, queue=queue)
        self.study_id = api.call(
            "tasks.create",
            name=name,
            type="optimizer",
            project=self.project_id,
            tags=["clearml-hpo"],
            configuration={"study": {"name": "study", "type": "yaml", "value": text}},
        )["id"]
        template = Template(self.template_id, "template", self.project_id, hyperparams)
        self.tasks = TrialTasks(
            api,
            {"": template},
            GOAL,
            study=self.study_id,
            parent_id=self.study_id,
            project_id=self.project_id,
            name_of=lambda number, params: f"trial {number}",
        )

    def trial(self, number, status="completed", loss=None, *, attempt=1, reason="", x=0.25, **marks):
        """A trial task in this status, which has reported ``loss`` and been marked with ``marks``; its id."""
        task_id = self.tasks.create(number, attempt, {"General/x": x, "General/depth": 3, "General/kind": "b"})
        if status != "created":
            self.api.call("tasks.enqueue", task=task_id, queue=self.queue_id)
        if status not in ("created", "queued"):
            self.api.call("queues.remove_task", queue=self.queue_id, task=task_id)  # as who takes it does
            self.api.call("tasks.started", task=task_id, force=True)
        if loss is not None:
            scalar = {"type": "training_stats_scalar", "task": task_id, "metric": "validation", "variant": "loss"}
            self.api.send_events([{**scalar, "value": loss, "iter": 7, "timestamp": int(time.time() * 1000)}])
        if status not in ("created", "queued", "in_progress"):
            self.api.call(f"tasks.{status}", task=task_id, force=True, status_reason=reason)
        if marks:
            self.tasks.mark(task_id, **marks)
        return task_id

    def artifact(self, task_id, key, uri, **more):
        """Lists an artifact on a trial task, whatever its status."""
        artifact = {"key": key, "type": "custom", "uri": uri, "mode": "output", **more}

        def with_it(execution):
            return {**execution, "artifacts": [*(execution.get("artifacts") or []), artifact]}

        change(self.api, task_id, "execution", with_it)

    def held(self, by="somewhere pid 1"):
        """Has a controller drive it."""
        self.api.call("tasks.started", task=self.study_id, force=True)
        self.tasks.mark(self.study_id, holder=by)

    def read(self, **options):
        return read_trials(self.api, self.study_id, SPACE, GOAL, **options)

    def status_of(self, task_id):
        (task,) = self.api.call("tasks.get_all", id=[task_id], only_fields=["status"])["tasks"]
        return task["status"]
