"""The driver: takes a study from the first step of the loop to the last, or leaves it to another controller.

A study file's run (``run.py``) makes one; so do the adapters for ClearML's optimizer (``clearml_optimizer/``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.backoff import Backoff, with_backoff
from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.names import trial_name
from clearml_hpo.backend.template import Templates
from clearml_hpo.backend.trial_records import TrialRecords
from clearml_hpo.backend.trial_tasks import TrialTasks
from clearml_hpo.controller.orders import OrderBook
from clearml_hpo.core.bell import Bell
from clearml_hpo.core.budget import Budget
from clearml_hpo.core.errors import ApiError, HeldError, is_trouble
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.notes import Note
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params
from clearml_hpo.executors import Executor
from clearml_hpo.scheduler import Hooks, Policy, Scheduler, run_loop
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.space import SearchSpace

STOP_ASKED = "a user asked for the study to stop"

_SEE_THE_END_S = 30.0
"""How long a study that was stopped waits for its running trials to end."""

_LOOK_S = 1.0
"""Time between two looks at trials that are about to end."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class InitialTrials:
    """What a study has, or is to try, before the sampler proposes anything.

    Attributes:
        records: the trials of a study that goes on; None for a new one.
        baselines: trials that run already, with the templates' own values.
        first: parameters to try before the sampler's.
    """

    records: TrialRecords | None = None
    baselines: Sequence[Trial] = ()
    first: Sequence[Params] = ()


@dataclass(frozen=True)
class DriverHooks:
    """What the driver calls while it drives, in the thread of :meth:`Driver.run`.

    Attributes:
        on_trial: every change of a trial's state.
        on_note: what the user should know.
        on_step: every step of the loop, with the scheduler as it is then.
        on_budget: a user has ordered other values for these keys of ``budget:``; records and returns the new budget.
        params_of: what a trial that has ended ran with.
    """

    on_trial: Callable[[Trial], None] = field(default=lambda trial: None)
    on_note: Callable[[str], None] = field(default=lambda text: None)
    on_step: Callable[[Scheduler], None] = field(default=lambda scheduler: None)
    params_of: Callable[[Trial], Params] = field(default=lambda trial: trial.params)
    on_budget: Callable[[Mapping[str, Any]], Budget] | None = None


class Driver:
    """Drives one study: :meth:`run` returns when its trials have ended, or it was told to stop.

    While it drives, it renews the lease and does what users ask for on the server (stop, drain, retry). A server in
    trouble is waited for. Whatever ends it, no trial is left without a controller that knows of it: trials are
    stopped, except when another controller has taken over or ``aborts`` says to leave them.

    Attributes:
        scheduler: the trials, and where they stand.
        is_stop_asked: whether a user has asked on the server for the study to stop.
    """

    def __init__(
        self,
        learner: OptunaStudy,
        tasks: TrialTasks,
        executor: Executor,
        goal: Goal,
        policy: Policy,
        *,
        initial: InitialTrials | None = None,
        lease: Lease | None = None,
        hooks: DriverHooks | None = None,
        stopped: threading.Event | None = None,
        bell: Bell | None = None,
        aborts: Callable[[], bool] = lambda: True,
    ) -> None:
        """Nothing is called yet.

        Args:
            lease: of the controller task; None where there is none to be asked, as in scripts for ClearML's optimizer.
            stopped: set by whoever wants the study to stop.
            bell: has a step follow soon.
            aborts: whether that ends trials that run, or leaves them to a successor.
        """
        self._tasks = tasks
        self._initial = initial or InitialTrials()
        self._lease = lease
        self._hooks = hooks or DriverHooks()
        self._stopped = stopped or threading.Event()
        self._bell = bell
        self._aborts = aborts
        self._halted = threading.Event()
        self.is_stop_asked = False
        self.scheduler = Scheduler(
            learner,
            tasks,
            executor,
            goal,
            policy,
            hooks=Hooks(self._hooks.on_trial, self._hooks.on_note, self._record_stopping, self._hooks.params_of),
            driven_since=time.time() - (lease.driven_s if lease else 0.0),
        )
        records = self._initial.records
        self._orders = OrderBook(
            self.scheduler, lease, self._hooks.on_note, self._hooks.on_budget, records.orders if records else {}
        )

    def run(self, poll_s: float) -> None:
        """Drives the study, with a step every ``poll_s`` seconds.

        Raises:
            ApiError: the server refused a call for good; the trials were stopped.
            HeldError: another controller has taken over; the trials were left to it.
        """
        try:
            self._take_up()
            run_loop(
                self.scheduler,
                poll_s,
                self._stopped,
                before_step=self._apply_server_status,
                on_step=self._on_step,
                bell=self._bell,
            )
            if self._stopped.is_set() and not self.scheduler.is_done:
                self._halt()
        except HeldError:
            raise  # the trials are another controller's now
        except Exception:
            with suppress(Exception):  # no controller would look after the trials any more
                self._halt()
            raise
        finally:
            self._halted.set()

    def wait_until_halted(self, seconds: float) -> None:
        """Waits, in another thread, until a study that was told to stop has made the calls that stop its trials."""
        self._halted.wait(seconds)

    # --- the beginning -----------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Puts the trials that exist already before the loop, and the points that users want tried."""
        if self._initial.records is not None:
            self._take_up_records(self._initial.records)
        for baseline in self._initial.baselines:
            self.scheduler.takeover.adopt(baseline)
        for params in self._initial.first:
            self.scheduler.enqueue(params)

        if self._lease is not None and self._initial.records is not None:
            # Before the first step: what a controller was to do that has died is not left to chance.
            self._orders.hear(self._with_backoff(self._lease.ordered))

    def _take_up_records(self, records: TrialRecords) -> None:
        scheduler, tasks = self.scheduler, self._tasks
        told = [t.task_id for t in records.settled if t.state in (TrialState.COMPLETED, TrialState.PRUNED)]
        histories = self._with_backoff(lambda: tasks.histories(told)) if scheduler.prunes else {}
        scheduler.takeover.restore(records.settled, records.earlier, histories)
        scheduler.imports.knows(records.orders)
        scheduler.unasked.keep(records.orders.values())
        for trial in (*records.drafts, *records.unsettled):
            if (finished := records.imports.get(trial.task_id)) is not None:
                self._with_backoff(partial(scheduler.imports.go_on, trial, finished))
        for trial in records.drafts:
            if trial.task_id not in records.imports:
                scheduler.takeover.adopt_draft(trial)
        for trial in records.unsettled:
            if trial.task_id not in records.imports:
                scheduler.takeover.adopt(trial, records.wishes.get(trial.task_id))
        known = [trial.task_id for trial in (*records.latest, *records.earlier)]
        self._with_backoff(lambda: tasks.delete_twins(records.orphans, known))
        # Perhaps it is noted nowhere yet; a third controller could not tell these from aborted ones.
        for trial in records.settled:
            if trial.state is TrialState.STOPPED:
                self._with_backoff(partial(tasks.mark, trial.task_id, state=trial.state.value))

    def _with_backoff(self, call: Callable[[], _Answer]) -> _Answer:
        return with_backoff(call, self._hooks.on_note, self._stopped)

    # --- what users ask for ------------------------------------------------------------------------------------------

    def _apply_server_status(self) -> None:
        """Renews the lease, and does what users ask for on the controller task; raises HeldError."""
        if self._lease is None:
            return
        asked = self._lease.renew()
        self._orders.hear(asked)
        for number in asked.retry:
            self.scheduler.retry(number)
        if asked.stop == "drain" and not self.is_stop_asked:
            self._hooks.on_note("asked to stop: taking back what waits, waiting for what runs (Ctrl-C ends it)")
            self.scheduler.stop(STOP_ASKED, abort=False)
        elif asked.stop == "abort":
            self._stopped.set()
        self.is_stop_asked |= bool(asked.stop)

    def _on_step(self) -> None:
        self._orders.settle()
        self._hooks.on_step(self.scheduler)

    def _record_stopping(self, reason: str) -> None:
        """Notes on the controller task that the trials are about to be stopped, for whoever takes over."""
        if self._lease is None:
            return
        try:
            self._lease.stopping()
        except ApiError as error:
            if is_trouble(error):
                raise
            self._hooks.on_note(Note(f"the controller task cannot be written to: {error}", "warning"))

    # --- the end -----------------------------------------------------------------------------------------------------

    def _halt(self) -> None:
        """Stops the trials, and steps on until they have ended; raises HeldError."""
        if self._lease is not None:
            with suppress(ApiError):  # a server in trouble has no news of another controller
                self._lease.renew(at_once=True)
        aborts = self._aborts()
        ending = "ending what runs" if aborts else "leaving what runs"
        self._hooks.on_note(f"stopping: taking back what waits, {ending} (Ctrl-C once more to leave at once)")
        self.scheduler.stop("the study was stopped", abort=aborts)
        backoff = Backoff(_LOOK_S, self._hooks.on_note)
        until = time.monotonic() + _SEE_THE_END_S
        while time.monotonic() < until:
            try:
                goes_on = self.scheduler.step()
                self._halted.set()  # the calls are made; whether the trials have ended is seen from now on
                self._on_step()
                backoff.succeeded()
                if not (goes_on and aborts):
                    return
            except ApiError as error:
                backoff.failed(error)
            threading.Event().wait(backoff.wait_s)


def trial_tasks(
    api: Api,
    templates: Templates,
    goal: Goal,
    space: SearchSpace,
    *,
    parent_id: str,
    project_id: str,
    fidelity: Fidelity | None = None,
    tag: str = "optimization",
    name_of: Callable[[int, Params], str] | None = None,
) -> TrialTasks:
    """A study's trial tasks: children of ``parent_id``, named by ``name_of``, or ``catboost #12``."""

    def named(number: int, params: Params) -> str:
        model = space.model_of(params)
        return trial_name(model or templates[model].name, number)

    return TrialTasks(
        api,
        templates,
        goal,
        study=parent_id,
        parent_id=parent_id,
        project_id=project_id,
        name_of=name_of or named,
        space=space,
        fidelity=fidelity,
        tags=(tag, f"opt: {parent_id}"),
    )
