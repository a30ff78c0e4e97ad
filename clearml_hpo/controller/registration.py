"""The template of a study, and the baseline run by which a script's hyperparameters become known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from clearml_hpo.errors import InputError, StudyError
from clearml_hpo.executors import Executor
from clearml_hpo.spec import StudyFile, TemplateSpec
from clearml_hpo.tasks import Api, Template, TrialTasks
from clearml_hpo.tasks.template import (
    create_template,
    faults_of_space,
    find_template_of_script,
    register,
    template_by_id,
    template_by_name,
)
from clearml_hpo.trial import Trial

_ENDED = ("completed", "published", "closed", "failed", "stopped", "created")


def find_template(api: Api, spec: TemplateSpec, project_id: str | None) -> Template | None:
    """The template that a study file names; None for a script that no study has used yet.

    Raises:
        InputError: there is no such task.
    """
    if spec.task:
        return template_by_id(api, spec.task)
    if spec.script is None:
        return template_by_name(api, str(spec.project), str(spec.name))
    return find_template_of_script(api, spec.script, project_id) if project_id else None


def find_or_create_template(api: Api, spec: TemplateSpec, project_id: str) -> Template:
    """As :func:`find_template`; from a new script a template is made, its hyperparameters still unknown."""
    found = find_template(api, spec, project_id)
    if found is not None:
        return found
    assert spec.script is not None  # the other two ways find it or raise
    return create_template(api, spec.script, project_id)


@dataclass(frozen=True)
class Baseline:
    """The first run of a new template: it becomes trial 0.

    It uses the values that the script itself has, which reach the server when the script connects them.
    """

    api: Api
    template: Template
    file: StudyFile
    tasks: TrialTasks
    executor: Executor
    on_note: Callable[[str], None] = lambda text: None

    def start(self) -> Trial:
        """Clones the template and has the clone run."""
        task_id = self.tasks.create(0, 1, {})
        self.executor.submit(task_id)
        if self.executor.workers() == 0:
            self.on_note("no worker serves the queue yet: the baseline run waits")
        return Trial(0, {}, task_id, queued_at=time.time())

    def register(self, trial: Trial, poll_s: float, stopped: threading.Event) -> tuple[Template, Trial] | None:
        """Waits until the run has connected its hyperparameters, and gives them to the template.

        They are complete once it reports its first scalar, or ends. Returns None if ``stopped`` came first; the run
        is then stopped too.

        Raises:
            StudyError: the run ended before it connected anything.
            InputError: the template lacks parameters of the search space; the run is stopped.
        """
        while not self._has_connected(trial):
            if stopped.wait(poll_s):
                self.on_note("stopping: ending the baseline run")
                self.cancel(trial)
                return None
        template = register(self.api, self.template, trial.task_id)
        faults = faults_of_space(template, self.file.space)
        if faults:
            self.cancel(trial)
            raise InputError(self.file.explain(faults))
        return template, Trial(0, self.file.space.parse(template.params), trial.task_id, queued_at=trial.queued_at)

    def cancel(self, trial: Trial) -> None:
        """Takes the run back, or stops it."""
        self.executor.withdraw([trial.task_id])
        self.executor.abort([trial.task_id], "the study was stopped")

    def _has_connected(self, trial: Trial) -> bool:
        snapshot = self.tasks.poll([trial.task_id]).get(trial.task_id)
        if snapshot is None:
            raise StudyError(
                f"the baseline run {trial.task_id} was deleted before it had connected its hyperparameters"
            )
        if snapshot.iteration > 0 or snapshot.summary is not None:
            return True
        if snapshot.status not in _ENDED:
            return False
        if snapshot.status in ("failed", "stopped", "created"):
            said = (
                f"the baseline run of {self.template.name} is {snapshot.status}: {snapshot.reason or 'no reason given'}"
            )
            raise StudyError(f"{said}\n{self.tasks.log_tail(trial.task_id)}")
        return True
