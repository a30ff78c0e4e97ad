"""The template of a study, and the first run by which a script's hyperparameters become known."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import LOST
from clearml_hpo.backend.template import (
    Template,
    Templates,
    create_outside_template,
    create_template,
    faults_of_space,
    find_template_of_code,
    register,
    template_by_id,
    template_by_name,
    update_place,
)
from clearml_hpo.backend.trial_records import TrialRecords
from clearml_hpo.backend.trial_tasks import UNDER_WAY, TaskSnapshot, TrialTasks
from clearml_hpo.controller.advice import end_of_console, what_to_connect, what_to_do
from clearml_hpo.core.errors import InputError, StudyError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.executors import Executor
from clearml_hpo.executors.base import withdraw_at_last
from clearml_hpo.scheduler.endings import ending_of
from clearml_hpo.scheduler.heartbeats import HangDetector
from clearml_hpo.scheduler.reasons import own_words
from clearml_hpo.scripts.code import collect
from clearml_hpo.search.space import Constant, SearchSpace
from clearml_hpo.study_file import StudyFile, TemplateSpec, TemplatesSpec
from clearml_hpo.workers.last_line import could_not_log_in, with_signal

_BEGINS_WITHIN_S = 10.0
"""How long a run that is cancelled as it begins is asked again: clearml-agent starts a task twice, seconds apart."""

_LOOK_S = 0.2
"""Time between two looks at such a run."""

_DEAD = ("failed", "stopped")
_ENDED = ("completed", "published", "closed", "failed", "stopped", "created")


class LostRun(StudyError):
    """The first run ended before it connected anything, and not by a fault of its script."""


def find_template(api: Api, spec: TemplateSpec, project_id: str | None) -> Template | None:
    """The template that a study file names; None for a script that no study has used yet.

    Raises:
        InputError: there is no such task.
    """
    if spec.task:
        return template_by_id(api, spec.task)
    if spec.entry is None:
        return template_by_name(api, str(spec.project), str(spec.name))
    return find_template_of_code(api, collect(spec.entry), project_id) if project_id else None


def find_or_create_template(
    api: Api, spec: TemplateSpec, project_id: str, space: SearchSpace, model: str = ""
) -> Template:
    """As :func:`find_template`; from a new script a template is made, its hyperparameters still unknown.

    One without a script has the hyperparameters of ``space``.

    Raises:
        InputError: there is no such task; the script, or what belongs to it, cannot travel.
    """
    if spec.outside:
        return create_outside_template(api, space, project_id, model)
    if spec.entry is None:
        found = find_template(api, spec, project_id)
        assert found is not None  # else it raises
        return found
    code = collect(spec.entry)
    found = find_template_of_code(api, code, project_id)
    return update_place(api, found, code) if found is not None else create_template(api, code, project_id)


def find_or_create_templates(api: Api, spec: TemplatesSpec, project_id: str, space: SearchSpace) -> Templates:
    """The templates of a study file by model, see :func:`find_or_create_template`."""
    return {model: find_or_create_template(api, one, project_id, space, model) for model, one in spec.by_model.items()}


def first_run_is_trial(file: StudyFile, model: str) -> bool:
    """Whether the first run of a template is a trial: it is none if the search space has constants for it."""
    parameters = file.space.all_parameters
    return not any(isinstance(parameters[name], Constant) for name in file.space.names_in(model))


@dataclass(frozen=True)
class FirstRun:
    """The first run of a new template: a clone that says nothing, so that what the script itself connects shows.

    It is a trial, number 0 of a single template, unless the search space has constants: they would be mistaken for the
    script's own values, so the run is then only looked at (attempt 0), and the baseline is a run of its own.
    """

    api: Api
    template: Template
    file: StudyFile
    tasks: TrialTasks
    executor: Executor
    queue: str
    number: int = 0
    model: str = ""

    @property
    def is_trial(self) -> bool:
        """Whether the run is a trial."""
        return first_run_is_trial(self.file, self.model)

    def create(self, records: TrialRecords | None) -> Trial:
        """Clones the template, as the attempt that follows those of ``records``, or takes up an earlier draft."""
        for trial in records.drafts if records is not None and self.is_trial else ():
            if trial.number == self.number:
                return replace(trial, queue=self.queue)
        before = [trial for trial in records.latest if trial.number == self.number] if records else []
        for trial in before:
            self._note_end(trial, records)
        attempt = max((trial.attempt for trial in before), default=0) + 1 if self.is_trial else 0
        task_id = self.tasks.create(self.number, attempt, {})
        return Trial(self.number, {}, task_id, attempt, queue=self.queue, queued_at=time.time())

    def _note_end(self, trial: Trial, records: TrialRecords | None) -> None:
        """Notes on an earlier attempt how it ended: its controller has ended too, and nothing adopts it any more."""
        unseen = records.unseen.get(trial.task_id) if records is not None else None
        ending = ending_of(trial, unseen, self.file.goal, None) if unseen is not None else None
        state = ending[0] if ending is not None else trial.state
        if not state.is_live:
            self.tasks.mark(trial.task_id, state=state.value)

    def note_stop(self, trial: Trial) -> None:
        """Notes that a run is about to be stopped with its study: a successor would take it for aborted by a user."""
        snapshot = self.tasks.poll([trial.task_id]).get(trial.task_id) if self.is_trial else None
        if snapshot is not None and snapshot.status in UNDER_WAY:
            self.tasks.mark(trial.task_id, state=TrialState.STOPPED.value)

    def submit(self, trial: Trial) -> None:
        """Has it run; again, if the answer was lost, is no second run."""
        self.executor.submit(trial.task_id, self.queue)

    def begun(self, records: TrialRecords | None) -> Trial | None:
        """The first run that an earlier controller has begun, or None."""
        if records is None or not self.is_trial:
            return None
        for trial in records.unsettled:
            unseen = records.unseen.get(trial.task_id)
            if trial.number == self.number and (unseen is None or unseen.status not in (*_DEAD, "created")):
                return trial
        return None  # of one that failed or was stopped there is nothing to be seen

    def look(self, task_id: str, detector: HangDetector) -> Template | None:
        """The template with its hyperparameters, or None while the run may still connect some.

        They are complete once it reports the objective, or ends; if the search space needs no others, once it reports
        anything.

        Raises:
            StudyError: the run ended before it connected anything, or it hangs, as ``detector`` tells; LostRun: the
                script had no part in that.
            InputError: the template lacks parameters of the search space.
        """
        snapshot = self.tasks.poll([task_id]).get(task_id)
        if snapshot is None:
            raise StudyError(f"the first run of {self.template.name}, {task_id}, was deleted while it was looked at")
        if snapshot.status == "in_progress" and detector.hangs(
            task_id, (snapshot.started_at, snapshot.summaries), time.monotonic()
        ):
            raise StudyError(f"the first run of {self.template.name} hangs: {detector}\n{self.tasks.log_tail(task_id)}")
        if snapshot.status not in _ENDED and snapshot.iteration == 0 and not snapshot.summaries:
            return None
        template = register(self.api, self.template, task_id)
        faults = faults_of_space(template, self.file.space, self.model)
        if not template.is_registered or (faults and snapshot.status in ("failed", "stopped", "created")):
            raise (LostRun if self._is_lost(task_id, snapshot) else StudyError)(self._why(task_id, snapshot))
        if faults and snapshot.status not in _ENDED and not snapshot.summaries:
            return None
        if faults:
            raise InputError(self.file.explain(faults))
        return template

    def again(self, lost: Trial) -> Trial:
        """The run once more, in place of one that was lost."""
        if self.is_trial:
            self.tasks.mark(lost.task_id, state=TrialState.LOST.value)
        attempt = lost.attempt + 1 if self.is_trial else 0
        task_id = self.tasks.create(self.number, attempt, {})
        return replace(lost, task_id=task_id, attempt=attempt, queued_at=time.time())

    def cancel(self, task_id: str) -> None:
        """Takes the run back, or stops it; one that begins just then forgets that it is to stop, and is asked again."""
        left = withdraw_at_last(self.executor, [task_id])
        self.end(task_id)
        until = time.monotonic() + _BEGINS_WITHIN_S
        while left and time.monotonic() < until:
            time.sleep(_LOOK_S)
            snapshot = self.tasks.poll([task_id]).get(task_id)
            if snapshot is None or snapshot.status != "in_progress":
                return
            if not snapshot.is_stopping:
                self.end(task_id)
            elif self._has_begun(snapshot):
                return  # it heeds the wish, which nothing undoes any more

    def _has_begun(self, snapshot: TaskSnapshot) -> bool:
        now = time.time() + self.api.server_ahead_s
        return snapshot.started_at is not None and now - snapshot.started_at > _BEGINS_WITHIN_S

    def end(self, task_id: str) -> None:
        """Asks once that the run be stopped."""
        self.executor.abort([task_id], "the study was stopped")

    def _is_lost(self, task_id: str, snapshot: TaskSnapshot) -> bool:
        """Whether the script had no part in its end: a worker died, or the SDK could not log in."""
        if snapshot.status != "failed":
            return False
        return snapshot.reason.startswith(LOST) or could_not_log_in(own_words(self.tasks, task_id, snapshot.reason))

    def _why(self, task_id: str, snapshot: TaskSnapshot) -> str:
        entry = self.file.spec.template.by_model[self.model].entry
        console = end_of_console(self.api, self.template.project_id, task_id)
        code = collect(entry) if entry is not None else None
        if snapshot.status in ("failed", "stopped", "created"):
            reason = with_signal(snapshot.reason) or "it ended before it connected hyperparameters"
            advice = what_to_do(f"{reason}\n{console}", code)
        else:
            reason, advice = "it connected no hyperparameters", what_to_connect(code)
        said = f"the first run of {self.template.name} is {snapshot.status}: {reason}"
        return "\n".join(filter(None, [said, console, advice]))
