"""The first runs of a study's new templates, one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.backoff import Backoff, with_backoff
from clearml_hpo.backend.configurations import is_held
from clearml_hpo.backend.editing import change
from clearml_hpo.backend.hyperparameters import with_values
from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.template import Template, register
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.controller.advice import remarks
from clearml_hpo.controller.closing import Ended
from clearml_hpo.controller.console import StudyConsole
from clearml_hpo.controller.driver import trial_tasks
from clearml_hpo.controller.first_points import own_point
from clearml_hpo.controller.opening import Opened
from clearml_hpo.controller.registration import FirstRun, LostRun, first_run_is_trial
from clearml_hpo.controller.suggestions import learn
from clearml_hpo.core.budget import Spent
from clearml_hpo.core.errors import ApiError, ClearmlHpoError, HeldError
from clearml_hpo.core.notes import Note
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import MODEL
from clearml_hpo.executors import Executor
from clearml_hpo.scheduler import Policy
from clearml_hpo.scheduler.heartbeats import HangDetector
from clearml_hpo.scheduler.scheduler import SHORTEST_POLL
from clearml_hpo.scripts.code import collect
from clearml_hpo.search.space import Constant, SearchSpace

_LOOK_AT_WORKERS_S = 10.0
"""How often the workers of the first run's queue are read while it is waited for."""

_SPEAK_S = 2.0
"""A first run that has reported nothing by then is spoken of: its libraries are imported, or an agent installs them."""

_Answer = TypeVar("_Answer")


class FirstRuns:
    """Runs each new template once, without hyperparameters, so that those of the script itself become known.

    Attributes:
        templates: the study's templates by model; all are complete once :meth:`run` has returned None.
        baselines: the first runs that are trials, by number; the loop adopts them.
    """

    def __init__(
        self,
        opened: Opened,
        lease: Lease,
        executor: Executor,
        api: Api,
        policy: Policy,
        console: StudyConsole,
        stopped: threading.Event,
        aborts: Callable[[], bool],
    ) -> None:
        """Nothing is called yet; see :class:`~clearml_hpo.controller.run.StudyRun` for the arguments."""
        self._opened = opened
        self._file = opened.file
        self._lease = lease
        self._executor = executor
        self._api = api
        self._policy = policy
        self._console = console
        self._stopped = stopped
        self._aborts = aborts
        self.templates = dict(opened.templates)
        self.baselines: dict[int, Trial] = {}
        self._runs: dict[int, FirstRun] = {}
        self._unregistered: dict[int, str] = {}

    def run(self) -> Ended | None:
        """Waits until the first run of each new template has shown its hyperparameters.

        Returns:
            How the study ended, if a user or the time budget ended it meanwhile; else None.

        Raises:
            StudyError: a first run failed, or connected nothing.
            InputError: a template lacks parameters of the search space.
            HeldError: another controller has taken over; the runs are left to it.
        """
        started: list[tuple[FirstRun, Trial]] = []
        try:
            for model in self._file.space.used_models:
                if not self.templates[model].is_registered:
                    started.append(self._start(model))
                    ended = self._wait_out(started, self._file.spec.failures.lost.retries)
                    if ended is not None:
                        self._stop(started, leaves=ended.status == "stopped" and not self._aborts())
                        return ended
        except HeldError:
            raise  # the runs are another controller's now
        except Exception:
            for first, trial in started:
                with suppress(ClearmlHpoError):
                    first.cancel(trial.task_id)
            raise
        return None

    def trial_ended(self, trial: Trial) -> None:
        """Remembers that a first run has ended: what its script connected late belongs to the template too."""
        if trial.number in self._runs:
            self._unregistered[trial.number] = trial.task_id

    def complete_templates(self) -> None:
        """Adds to the templates what first runs that have ended connected after their first report.

        What such a run has in configuration objects alone is added to its hyperparameters, where clones have it: tables
        of tasks show that.

        Raises:
            ApiError: the server is in trouble; the next call makes up for it.
        """
        for number, task_id in [*self._unregistered.items()]:
            register(self._api, self._runs[number].template, task_id)
            self._keep_point(number, task_id)
            del self._unregistered[number]

    def _keep_point(self, number: int, task_id: str) -> None:
        own = self._file.space.in_task(self.baselines[number].params)
        if held := {name: value for name, value in own.items() if is_held(name)}:
            change(self._api, task_id, "hyperparams", lambda hyperparams: with_values(hyperparams, held))

    def _start(self, model: str) -> tuple[FirstRun, Trial]:
        """The first run of a template, which an earlier controller may have begun."""
        template, records = self.templates[model], self._opened.records
        self._console.note(f"{template.name} is new: its first run makes its hyperparameters known")
        entry = self._file.spec.template.by_model[model].entry
        for text in remarks(collect(entry)) if entry is not None else ():
            self._console.note(text)
        queue = self._policy.placement.queues_for({MODEL: model} if model else {})[0]
        tasks, number = self._tasks(template, model), self._number_of(model)
        first = FirstRun(self._api, template, self._file, tasks, self._executor, queue, number, model)
        trial = first.begun(records)
        if trial is None:
            made = trial = self._with_backoff(lambda: first.create(records))
            self._with_backoff(lambda: first.submit(made))
        return first, trial

    def _tasks(self, template: Template, model: str) -> TrialTasks:
        space = SearchSpace({MODEL: Constant(model)}, models=(model,)) if model else SearchSpace()
        controller = self._opened.controller
        # Not as trial 0, which would be taken for made twice.
        is_trial, name = first_run_is_trial(self._file, model), f"{template.name}: first run"
        return trial_tasks(
            self._api,
            {model: template},
            self._file.goal,
            space,
            parent_id=controller.task_id,
            project_id=controller.project_id,
            name_of=None if is_trial else lambda number, params: name,
        )

    def _number_of(self, model: str) -> int:
        """The number that the first run of a template has, or the next free one."""
        space, records = self._file.space, self._opened.records
        latest = records.latest if records is not None else ()
        of_model = [trial.number for trial in latest if space.model_of(trial.params) == model]
        taken = [*(trial.number for trial in latest), *self.baselines]
        return min(of_model, default=max(taken, default=-1) + 1)

    def _wait_out(self, started: list[tuple[FirstRun, Trial]], retries: int) -> Ended | None:
        """Waits for the last of ``started``; runs it again if it is lost, as often as a trial."""
        first, trial = started[-1]
        try:
            return self._wait_for(first, trial)
        except LostRun as error:
            if not retries:
                raise
            line, _, _ = str(error).partition("\n")
            self._console.note(Note(f"{line}; it runs once more", "warning", trial=trial.number, task=trial.task_id))
        again = self._with_backoff(lambda: first.again(trial))
        self._with_backoff(lambda: first.submit(again))
        started[-1] = (first, again)
        return self._wait_out(started, retries - 1)

    def _wait_for(self, first: FirstRun, trial: Trial) -> Ended | None:
        """Returns once the template is complete; how the study has ended, if it did before that."""
        workers = self._with_backoff(self._executor.workers)
        if not workers.get(trial.queue):
            text = f"no worker serves the queue {trial.queue!r} yet: the first run waits"
            self._console.note(Note(text, "warning", queue=trial.queue))
        poll_s = self._file.spec.execution.poll_interval
        backoff = Backoff(poll_s, self._console.note)
        began_at = looked_at = time.monotonic()
        is_told = False
        console_url = self._api.task_url(self._opened.controller.project_id, trial.task_id)
        detector = HangDetector(self._policy.failures.silent_after_s, first.tasks.output)
        while True:
            try:
                detector.listen(time.monotonic(), {trial.task_id})
                asked = self._lease.renew()
                if time.monotonic() - looked_at >= _LOOK_AT_WORKERS_S:
                    workers, looked_at = self._executor.workers(), time.monotonic()
                registered = first.look(trial.task_id, detector)
                if registered is not None:
                    self._has_registered(first, trial, registered)
                    return None
                self._console.send()
                backoff.succeeded()
                if asked.stop:
                    self._stopped.set()
            except ApiError as error:
                backoff.failed(error)
            shown = [*self.baselines.values(), trial]
            self._console.progress(shown, workers)
            waited_s = time.monotonic() - began_at
            if waited_s >= _SPEAK_S and not is_told:
                self._console.note(f"waiting until {first.template.name} reports; its console: {console_url}")
                is_told = True
            spent = self._file.budget.reached(Spent(wall_s=self._lease.driven_s))
            pause_s = min(backoff.wait_s, max(waited_s, poll_s * SHORTEST_POLL))  # it may be a short one
            if spent or self._stopped.wait(pause_s):
                reason, now = spent or "interrupted", time.time()
                ended = [replace(one, state=TrialState.STOPPED, reason=reason, ended_at=now) for one in shown]
                return Ended("failed" if spent else "stopped", reason, tuple(ended))

    def _has_registered(self, first: FirstRun, trial: Trial, template: Template) -> None:
        """Keeps the complete template; goes on with its first run as a trial, if it is one."""
        self.templates[first.model] = template
        learn(self._file, template.hyperparams)
        if first.is_trial:
            self._runs[trial.number] = first
            self.baselines[trial.number] = replace(trial, params=own_point(self._file, template, first.model))
        else:
            first.end(trial.task_id)

    def _stop(self, started: Iterable[tuple[FirstRun, Trial]], *, leaves: bool) -> None:
        """Cancels the first runs. If it ``leaves`` those that are trials, a successor adopts these."""
        self._console.note(f"stopping: {'leaving' if leaves else 'ending'} the first run")
        for first, trial in started:
            if not (leaves and first.is_trial):
                with suppress(ApiError):
                    first.note_stop(trial)
                first.cancel(trial.task_id)

    def _with_backoff(self, call: Callable[[], _Answer]) -> _Answer:
        return with_backoff(call, self._console.note, self._stopped)
