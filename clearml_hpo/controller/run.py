"""A study, from start or from where it was left, to its result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from clearml_hpo.backend import cleanup
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.patience import Patience, patiently
from clearml_hpo.backend.said import Said
from clearml_hpo.backend.template import Template, faults_of_objectives, metrics_of, register
from clearml_hpo.backend.trial_records import TrialRecords
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.clearml_optimizer.objectives import clearml_objective, sign_of
from clearml_hpo.clearml_optimizer.optimizer import StudyOptimizer
from clearml_hpo.clearml_optimizer.strategy import OptunaStrategy, StudyContext
from clearml_hpo.controller.advice import warning
from clearml_hpo.controller.first_points import faults_of_first_points, first_points, own_point
from clearml_hpo.controller.opening import Opened
from clearml_hpo.controller.policy import policy_of
from clearml_hpo.controller.registration import FirstRun, LostRun
from clearml_hpo.core.best_effort import BestEffort, reason_of
from clearml_hpo.core.budget import Spent
from clearml_hpo.core.errors import ApiError, ClearmlHpoError, HeldError, InputError
from clearml_hpo.core.trial import Trial, TrialState, best_trial
from clearml_hpo.core.values import MODEL, Params
from clearml_hpo.executors import Executor
from clearml_hpo.report import Publisher, StudySummary, study_result, summary_page, summary_text
from clearml_hpo.scheduler import FindRoom, Room, Scheduler
from clearml_hpo.scheduler.watch import Silence
from clearml_hpo.search.mirror import Mirror, StorageTrouble
from clearml_hpo.search.pruners import build_pruner
from clearml_hpo.search.samplers import build_sampler, choose_sampler
from clearml_hpo.search.space import Constant, SearchSpace
from clearml_hpo.study_file import StudyFile
from clearml_hpo.views.display import Progress, ToldView, View

_LOOK_AT_WORKERS_S = 10.0


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: completed, stopped (by a person) or failed (no trial completed).
        reason: in a line, or with the tail of a log.
        result: as ``report.study_result`` makes it.
    """

    status: str
    reason: str
    trials: tuple[Trial, ...]
    best: Trial | None
    url: str
    result: dict[str, Any]


@dataclass(frozen=True)
class _Ended:
    status: str
    reason: str
    trials: tuple[Trial, ...] = ()
    earlier: tuple[Trial, ...] = ()


class StudyRun:
    """Drives one opened study to its end.

    Attributes:
        is_concluding: whether all trials have ended, and only reports are left to be made.
    """

    def __init__(
        self,
        opened: Opened,
        api: Api,
        view: View,
        stopped: threading.Event,
        *,
        aborts: Callable[[], bool] = lambda: True,
        room: FindRoom = Room,
    ) -> None:
        """Nothing is called yet.

        Args:
            stopped: ends the run early.
            aborts: whether trials that run then are aborted, or left to a successor.
            room: how much there is for trials, where the study is one among others.
        """
        self._opened = opened
        self._file: StudyFile = opened.file
        self._controller = opened.controller
        self._api = api
        self._said = Said(opened.controller)
        self._view = ToldView(view, opened.file.goal, self._said.add)
        self._effort = BestEffort(self._view.note)
        self._stopped = stopped
        self._aborts = aborts
        self._policy = replace(policy_of(opened.file), room=room)
        self._mirror: Mirror | None = None
        self.is_concluding = False
        self._started_at = time.time()
        self._templates = dict(opened.templates)
        self._reporting = {*opened.reporting}
        self._first_runs: dict[int, FirstRun] = {}
        self._baselines: dict[int, Trial] = {}
        self._unregistered: dict[int, str] = {}
        self._fault: ClearmlHpoError | None = None
        self._storage_trouble = ""
        self._curves: Mapping[str, list[tuple[int, float]]] = {}

    def run(self) -> Outcome:
        """Drives it.

        Raises:
            InputError: the template lacks a parameter or the metric; nothing goes on running.
            StudyError: the first run of a new template failed.
            HeldError: another controller has taken over; the trials go on under it.
        """
        hold, executor = self._opened.hold, self._opened.executor
        if hold is None or executor is None:
            return self._finished_earlier()
        self._executor: Executor = executor
        self._view.note(f"study {self._file.spec.study}: {self._controller.url}")
        try:
            ended = self._drive(hold)
        except KeyboardInterrupt:
            raise  # somebody is in a hurry: no more calls
        except HeldError:
            executor.close()
            with suppress(ApiError):  # then whoever has taken over waits until the lease has run out
                hold.leave()
            raise
        except BaseException as error:
            self._said.add(f"failed: {error}")
            with suppress(ClearmlHpoError):
                self._finish(hold, "failed", str(error).partition("\n")[0] or type(error).__name__)
            raise
        self._leave_summary(ended, hold)
        self._said.add(f"{ended.status}: {ended.reason}")
        self._finish(hold, ended.status, ended.reason.partition("\n")[0])
        return self._outcome(ended)

    def _leave_summary(self, ended: _Ended, hold: Lease) -> None:
        """Page and text as artifacts of the controller task; without them the study has ended all the same."""
        if not ended.trials:
            return
        controller, file = self._controller, self._file
        summary = StudySummary(
            name=file.spec.study,
            study_id=controller.task_id,
            project=file.spec.project,
            url=controller.url,
            status=ended.status,
            reason=ended.reason,
            goal=file.goal,
            space=file.space,
            trials=ended.trials,
            earlier=ended.earlier,
            driven_s=hold.driven_s,
            at=time.time(),
            url_of=lambda trial: self._api.task_url(controller.project_id, trial.task_id),
            histories=self._curves,
        )
        later = f"it can be written later: clearml-hpo study report {controller.task_id}"
        for kind, name, render in (("html", "summary.html", summary_page), ("plain", "summary.txt", summary_text)):
            try:
                text = render(summary.name, [summary])
                controller.upload_artifact(name, text, name, content_type=f"text/{kind}")
            except Exception as error:  # of whatever kind: the study is complete, and its end is still to be noted
                self._view.note(f"no {name}: {reason_of(error)}; {later}")

    def _finish(self, hold: Lease, status: str, reason: str) -> None:
        """Asks a server in trouble again for a while: the end of a week's study must not be lost."""

        def finish() -> None:
            if hold.is_mine():  # else the study is another controller's, and goes on
                self._effort.attempt("the console is behind", lambda: self._said.send(at_once=True))
                self._controller.finish(status, reason)
                hold.release(reason)

        self._patiently(finish)

    def _finished_earlier(self) -> Outcome:
        records = self._opened.records
        trials = sorted(records.settled, key=lambda trial: trial.number) if records else ()
        self._view.note(
            f"study {self._file.spec.study} is finished ({self._opened.finished}); a larger budget continues it, "
            "--new starts another"
        )
        earlier = records.earlier if records else ()
        return self._outcome(_Ended("completed", self._opened.finished, tuple(trials), tuple(earlier)))

    def _drive(self, hold: Lease) -> _Ended:
        records = self._opened.records
        if records is not None:
            self._show_progress(records.latest, {}, records.earlier)
        ended = self._register()
        if ended is not None:
            return ended
        self._mirror = _mirror(self._opened)
        strategy = self._strategy(hold)
        optimizer = self._optimizer(strategy)
        publisher = Publisher(
            self._controller,
            self._file.goal,
            strategy.url_of,
            self._effort,
            clock=time.time,
            space=self._file.space,
            budget=self._file.budget.trials,
            histories=lambda task_ids: self._read_curves(strategy, task_ids),
        )
        strategy.on_trial = self._trial_changed
        strategy.on_note = self._view.note
        strategy.on_step = lambda scheduler: self._step_done(scheduler, publisher)
        optimizer.run()
        self.is_concluding = True
        scheduler = strategy.scheduler
        assert scheduler is not None  # run() made it
        self._follow(scheduler, to_the_end=True)
        self._effort.attempt("the report is behind", lambda: self._publish(scheduler, publisher, final=True))
        if self._fault is not None:
            raise self._fault
        return self._conclude(scheduler, strategy)

    # --- the first runs of new templates -----------------------------------------------------------------------------

    def _register(self) -> _Ended | None:
        """Waits until the first run of each new template has shown its hyperparameters; how the study ended, if so."""
        started: list[tuple[FirstRun, Trial]] = []
        try:
            for model in self._file.space.used_models:
                if not self._templates[model].is_registered:
                    started.append(self._start(model))
                    ended = self._wait_out(started, self._file.spec.failures.lost.retries)
                    if ended is not None:
                        self._stop_first_runs(started, leaves=ended.status == "stopped" and not self._aborts())
                        return ended
        except HeldError:
            raise  # the runs are another controller's now
        except Exception:
            for first, trial in started:
                with suppress(ClearmlHpoError):
                    first.cancel(trial.task_id)
            raise
        return None

    def _start(self, model: str) -> tuple[FirstRun, Trial]:
        """The first run of a template, which an earlier controller may have begun."""
        template, records = self._templates[model], self._opened.records
        self._view.note(f"{template.name} is new: its first run makes its hyperparameters known")
        script = self._file.spec.template.by_model[model].script
        if script is not None and (said := warning(script)):
            self._view.note(said)
        queue = self._policy.placement.queues_for({MODEL: model} if model else {})[0]
        tasks, number = self._first_tasks(template, model), self._number_of_first(model)
        first = FirstRun(self._api, template, self._file, tasks, self._executor, queue, number, model)
        trial = first.begun(records)
        if trial is None:
            made = trial = patiently(lambda: first.create(records), self._view.note, self._stopped)
            patiently(lambda: first.submit(made), self._view.note, self._stopped)
        return first, trial

    def _number_of_first(self, model: str) -> int:
        """The number that the first run of a template has, or the next free one."""
        space, records = self._file.space, self._opened.records
        latest = records.latest if records is not None else ()
        of_model = [trial.number for trial in latest if space.model_of(trial.params) == model]
        taken = [*(trial.number for trial in latest), *self._baselines]
        return min(of_model, default=max(taken, default=-1) + 1)

    def _wait_out(self, started: list[tuple[FirstRun, Trial]], retries: int) -> _Ended | None:
        """Waits for the last of ``started``, which runs again, as often as a trial does, where it is lost."""
        first, trial = started[-1]
        try:
            return self._wait_for(first, trial)
        except LostRun as error:
            if not retries:
                raise
            line, _, _ = str(error).partition("\n")
            self._view.note(f"{line}; it runs once more")
        again = patiently(lambda: first.again(trial), self._view.note, self._stopped)
        patiently(lambda: first.submit(again), self._view.note, self._stopped)
        started[-1] = (first, again)
        return self._wait_out(started, retries - 1)

    def _wait_for(self, first: FirstRun, trial: Trial) -> _Ended | None:
        """Returns once the template is complete; how the study has ended, if it did before that."""
        hold = self._opened.hold
        assert hold is not None  # nothing is waited for in a finished study
        workers = patiently(self._executor.workers, self._view.note, self._stopped)
        if not workers.get(trial.queue):
            self._view.note(f"no worker serves the queue {trial.queue!r} yet: the first run waits")
        patience, looked_at = Patience(self._file.spec.execution.poll_interval, self._view.note), time.monotonic()
        silence = Silence(self._policy.failures.silent_after_s, first.tasks.output)
        while True:
            try:
                silence.listen(time.monotonic(), {trial.task_id})
                asked = hold.renew()
                if time.monotonic() - looked_at >= _LOOK_AT_WORKERS_S:
                    workers, looked_at = self._executor.workers(), time.monotonic()
                registered = first.look(trial.task_id, silence)
                if registered is not None:
                    self._has_registered(first, trial, registered)
                    return None
                self._effort.attempt("the console is behind", self._said.send)
                patience.succeeded()
                if asked.stop:
                    self._stopped.set()
            except ApiError as error:
                patience.failed(error)
            shown = [*self._baselines.values(), trial]
            self._show_progress(shown, workers)
            spent = self._file.budget.reached(Spent(wall_s=hold.driven_s))
            if spent or self._stopped.wait(patience.wait_s):
                reason, now = spent or "interrupted", time.time()
                ended = [replace(one, state=TrialState.STOPPED, reason=reason, ended_at=now) for one in shown]
                return _Ended("failed" if spent else "stopped", reason, tuple(ended))

    def _stop_first_runs(self, started: Iterable[tuple[FirstRun, Trial]], *, leaves: bool) -> None:
        """Ends them; what is a trial, and is to be left, a successor takes up."""
        self._view.note(f"stopping: {'leaving' if leaves else 'ending'} the first run")
        for first, trial in started:
            if not (leaves and first.is_trial):
                first.cancel(trial.task_id)

    def _has_registered(self, first: FirstRun, trial: Trial, template: Template) -> None:
        """Goes on with the first run as a trial, if it is one."""
        self._templates[first.model] = template
        if first.is_trial:
            self._first_runs[trial.number] = first
            self._baselines[trial.number] = replace(trial, params=own_point(self._file, template, first.model))
        else:
            first.end(trial.task_id)

    def _first_tasks(self, template: Template, model: str) -> TrialTasks:
        space = SearchSpace({MODEL: Constant(model)}, models=(model,)) if model else SearchSpace()
        return TrialTasks(
            self._api,
            {model: template},
            self._file.goal,
            study=self._controller.task_id,
            parent_id=self._controller.task_id,
            project_id=self._controller.project_id,
            name_of=lambda number, params: f"{template.name}: baseline",
            space=space,
            tags=("optimization", f"opt: {self._controller.task_id}"),
        )

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _strategy(self, hold: Lease) -> OptunaStrategy:
        file, spec = self._file, self._file.spec
        trials, concurrency = file.budget.trials, self._policy.placement.concurrency
        choice = choose_sampler(spec.sampler.name, space=file.space, goal=file.goal, trials=trials, workers=concurrency)
        if choice.name != spec.sampler.name:
            self._view.note(str(choice))
        seed, records = spec.sampler.seed, self._opened.records
        if seed is not None and records is not None:
            seed = (seed + len(records.latest)) % 2**32  # the points that this seed begins with are known
        sampler = build_sampler(
            spec.sampler.name,
            seed=seed,
            options=spec.sampler.options,
            space=file.space,
            goal=file.goal,
            trials=trials,
            workers=concurrency,
        )
        return OptunaStrategy(
            base_task_id=self._templates[file.space.used_models[0]].task_id,
            hyper_parameters=file.space,
            objective_metric=clearml_objective(file.goal),
            execution_queue=self._policy.placement.queues[0],
            num_concurrent_workers=concurrency,
            total_max_jobs=file.budget.trials,
            pool_period_min=spec.execution.poll_interval / 60,
            optuna_sampler=sampler,
            optuna_pruner=build_pruner(spec.pruner.name, options=spec.pruner.options),
            context=StudyContext(
                self._api,
                self._templates,
                parent_id=self._controller.task_id,
                project_id=self._controller.project_id,
                goal=file.goal,
                policy=self._policy,
                executor=self._executor,
                baselines=[*self._baselines.values()],
                first=self._first_points(),
                known=self._opened.known,
                records=self._other_records(),
                hold=hold,
                stopped=self._stopped,
                aborts=self._aborts,
                is_checked=True,
            ),
        )

    def _first_points(self) -> Sequence[Params]:
        """The templates' own values, unless they run already, and what the file lists."""
        file, records = self._file, self._opened.records
        faults = faults_of_first_points(file, self._templates)
        if faults:
            raise InputError(file.explain(faults))
        known = [trial.params for trial in records.latest] if records is not None else []
        begun = {file.space.model_of(trial) for trial in (*known, *(one.params for one in self._baselines.values()))}
        own = [own_point(file, self._templates[model], model) for model in file.space.used_models if model not in begun]
        return [*own, *(point for point in first_points(file, self._templates).values() if point not in known)]

    def _other_records(self) -> TrialRecords | None:
        """The records, without the trials that are first runs of templates."""
        records, baselines = self._opened.records, self._baselines
        if records is None or not baselines:
            return records
        before = [trial for trial in records.latest if trial.number in baselines]
        return replace(
            records,
            settled=tuple(trial for trial in records.settled if trial.number not in baselines),
            unsettled=tuple(trial for trial in records.unsettled if trial.number not in baselines),
            drafts=tuple(trial for trial in records.drafts if trial.number not in baselines),
            earlier=(*records.earlier, *(t for t in before if t.task_id != baselines[t.number].task_id)),
        )

    def _optimizer(self, strategy: OptunaStrategy) -> StudyOptimizer:
        objectives = self._file.goal.objectives
        return StudyOptimizer(
            base_task_id=strategy.base_task_id,
            hyper_parameters=self._file.space,
            objective_metric_title=[objective.title for objective in objectives],
            objective_metric_series=[objective.series for objective in objectives],
            objective_metric_sign=[sign_of(objective) for objective in objectives],
            optimizer_class=strategy,
            execution_queue=self._policy.placement.queues[0],
            auto_connect_task=False,
        )

    def _trial_changed(self, trial: Trial) -> None:
        self._view.trial(trial)
        if trial.state.is_live:
            return
        if trial.number in self._first_runs:
            self._unregistered[trial.number] = trial.task_id
        model = self._file.space.model_of(trial.params)
        if trial.state is TrialState.COMPLETED:
            self._reporting.add(model)
        if trial.state is TrialState.NO_OBJECTIVE and model not in self._reporting and self._fault is None:
            # No run of this template is known to have reported the objective: more trials would only be waste.
            faults = faults_of_objectives(metrics_of(self._api, trial.task_id), self._file.goal, model)
            if faults:
                self._fault = InputError(self._file.explain(faults))
                self._stopped.set()

    def _step_done(self, scheduler: Scheduler, publisher: Publisher) -> None:
        self._show_progress(scheduler.trials, scheduler.workers, scheduler.earlier_attempts, scheduler.stranded)
        self._effort.attempt("the template is not complete", self._complete_templates)
        self._effort.attempt("the console is behind", self._said.send)
        self._effort.attempt("the report is behind", lambda: self._publish(scheduler, publisher))
        self._follow(scheduler)

    def _complete_templates(self) -> None:
        """What the script connected after its first report belongs to the template too."""
        for number, task_id in [*self._unregistered.items()]:
            register(self._api, self._first_runs[number].template, task_id)
            del self._unregistered[number]

    def _follow(self, scheduler: Scheduler, *, to_the_end: bool = False) -> None:
        """Keeps the copy in a storage up to date, step by step; one that does not answer is no reason to stop."""
        if self._mirror is None:
            return
        try:
            trials = (*scheduler.earlier_attempts, *scheduler.trials)
            while not self._mirror.follow(trials) and to_the_end:
                pass
            self._storage_trouble = ""
        except StorageTrouble as error:
            if str(error) != self._storage_trouble:
                self._view.note(f"the storage is behind: {error}")
            self._storage_trouble = str(error)

    def _publish(self, scheduler: Scheduler, publisher: Publisher, *, final: bool = False) -> None:
        def publish() -> None:
            remaining = self._file.budget.remaining(scheduler.spent, len(scheduler.trials))
            publisher.publish(scheduler.trials, scheduler.earlier_attempts, final=final, remaining=remaining)

        if final:
            self._patiently(publish)
        else:
            publish()

    def _show_progress(
        self, trials: Sequence[Trial], workers: Mapping[str, int], earlier: Sequence[Trial] = (), stranded: int = 0
    ) -> None:
        hold = self._opened.hold
        elapsed_s = hold.driven_s if hold else 0.0
        budget, in_all = self._file.budget, sum(workers.values())
        self._view.progress(
            Progress(trials, in_all, elapsed_s, budget.trials, workers, earlier, stranded, budget.wall_s)
        )

    # --- the end -----------------------------------------------------------------------------------------------------

    def _read_curves(self, strategy: OptunaStrategy, task_ids: Sequence[str]) -> Mapping[str, list[tuple[int, float]]]:
        self._curves = strategy.trial_tasks().histories(task_ids)
        return self._curves

    def _conclude(self, scheduler: Scheduler, strategy: OptunaStrategy) -> _Ended:
        trials, earlier = scheduler.trials, scheduler.earlier_attempts
        if self._stopped.is_set() or strategy.stop_asked:
            return _Ended("stopped", "interrupted" if not strategy.stop_asked else scheduler.ended, trials, earlier)
        self._patiently(lambda: self._delete_twins(strategy))
        if scheduler.failure:
            return _Ended("failed", scheduler.failure, trials, earlier)
        if scheduler.best is None:
            return _Ended("failed", "no trial completed with a value", trials, earlier)
        self._keep((*trials, *earlier))
        return _Ended("completed", scheduler.ended, trials, earlier)

    def _keep(self, trials: Sequence[Trial]) -> None:
        """Deletes or archives what the file does not want kept."""
        given = self._file.spec.keep
        if given is None:
            return

        def keep() -> None:
            plan = cleanup.plan(self._api, self._controller.task_id, trials, self._file.goal, given.top)
            self._view.note(str(cleanup.apply(self._api, plan, given.others, self._view.note)))

        self._patiently(keep)

    def _delete_twins(self, strategy: OptunaStrategy) -> None:
        """Clones that a server made twice, because its first answer was lost."""
        scheduler = strategy.scheduler
        assert scheduler is not None  # the study has run
        known = {trial.task_id for trial in (*scheduler.trials, *scheduler.earlier_attempts)}
        tasks = strategy.trial_tasks()
        tasks.delete_twins(tasks.drafts() - known, known)

    def _patiently(self, call: Callable[[], object]) -> None:
        patiently(call, self._view.note, self._stopped)

    def _outcome(self, ended: _Ended) -> Outcome:
        result = study_result(
            study=self._file.spec.study,
            study_id=self._controller.task_id,
            goal=self._file.goal,
            trials=ended.trials,
            earlier=ended.earlier,
            status=ended.status,
            reason=ended.reason,
            api_calls=self._api.calls,
            wall_s=time.time() - self._started_at,
        )
        best = best_trial(ended.trials, self._file.goal)
        return Outcome(ended.status, ended.reason, ended.trials, best, self._controller.url, result)


def _mirror(opened: Opened) -> Mirror | None:
    file = opened.file
    if file.spec.storage is None:
        return None
    return Mirror(file.spec.storage, file.spec.study, opened.controller.task_id, file.goal, file.space)
