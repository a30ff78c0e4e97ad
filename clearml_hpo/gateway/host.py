"""A host: one open study, driven by a thread as ``run`` drives one, its trials handed out to outside workers.

What it answers is in the gateway's database before the answer. ClearML's server hears of it a moment later, from a
second thread, so no call to that server stands between a request and its answer. The loop learns how trials have ended
from their tasks, as it does of any other trial.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from clearml_hpo.backend import outside_tasks
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.backoff import with_backoff
from clearml_hpo.backend.codes import IDLE, LOST
from clearml_hpo.backend.names import ensure_queue, own_queue_name
from clearml_hpo.controller.executors import MakeExecutor, executor_of
from clearml_hpo.controller.opening import Opened, Opening
from clearml_hpo.controller.policy import policy_of
from clearml_hpo.controller.run import Outcome, StudyRun
from clearml_hpo.core.bell import Bell
from clearml_hpo.core.errors import ClearmlHpoError, InputError
from clearml_hpo.core.notes import note_of
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.executors.outside import OUTSIDE, OutsideExecutor
from clearml_hpo.gateway.db import handouts, outbox, studies
from clearml_hpo.gateway.db.database import Database
from clearml_hpo.gateway.db.handouts import State
from clearml_hpo.gateway.db.studies import StudyRow
from clearml_hpo.gateway.handing import Given, Handing
from clearml_hpo.gateway.idling import IDLE_S, Idling
from clearml_hpo.gateway.reading import Reading
from clearml_hpo.gateway.service import ConflictError, UnavailableError
from clearml_hpo.gateway.writing import Writing
from clearml_hpo.scheduler import Import, Scheduler
from clearml_hpo.study_file import StudyFile
from clearml_hpo.views.display import Progress, View
from clearml_hpo.views.screen import Untaken

_IDLE_REASON = f"{IDLE} nobody has asked for {IDLE_S / 60:.0f} min; the gateway goes on with it at the next ask"
_AGAIN_S = 5.0
"""After how long a client comes again whose trials are not all added yet."""
_TOLD = (State.DONE, State.LATE)
"""States in which a hand-out has the values that its worker told."""


class NothingToGive(ConflictError):
    """The study hands out no trials any more; the text says why."""


class Host(Untaken):
    """Drives one study from :meth:`start` to :meth:`stop`; it is its own view. Any thread may call the other methods.

    Attributes:
        handing: what workers are given and say.
        outcome: how the study has ended; None while it is driven.
        error: why it could not be driven.
        on_progress: told of all trials after each step, in the thread that drives.
    """

    def __init__(
        self,
        study: StudyRow,
        file: StudyFile,
        database: Database,
        on_note: Callable[[str], None],
        *,
        log_in: Callable[[], Api] = Api,
        before: Host | None = None,
        clock: Callable[[], float] = time.monotonic,
        view: View | None = None,
        find: Callable[[Opening], Opened] | None = None,
        take_over: bool = False,
        aborts: bool = False,
    ) -> None:
        """Nothing runs yet.

        Args:
            log_in: connects to ClearML's server, once for each of the two threads.
            before: the host that is letting go of the study.
            clock: seconds, by which the study is idle.
            view: is shown what the study does, in place of ``on_note``.
            find: opens the study; default: by its task, or, the first time, from ``file``.
            take_over: displaces a controller that drives it elsewhere.
            aborts: whether what runs when it is stopped is aborted, or left to the next host.
        """
        self.study = study
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self._file = file
        self._database = database
        self._on_note = on_note
        self._log_in = log_in
        self.on_progress: Callable[[Sequence[Trial]], None] = lambda trials: None
        self._before = before
        self._clock = clock
        self._idling = Idling(clock)
        self._view = view
        self._find = find or self._found
        self._take_over = take_over
        self._aborts = aborts
        self._stopped = threading.Event()
        self._bell = Bell(self._stopped)
        self._is_left = False
        self._is_seen = threading.Event()
        if not study.controller:
            self._is_seen.set()  # a new study has no trials
        self._is_open = threading.Event()
        self._write_soon = threading.Event()
        self._run: StudyRun | None = None
        self._executor: OutsideExecutor | None = None
        self._progress = Progress((), 0, 0.0)
        self.handing = Handing(study.id, database, write_soon=self._write_soon.set, trials=lambda: self.trials)
        self._driving = threading.Thread(target=self._drive, name=f"study {study.name}", daemon=True)
        self._writing = threading.Thread(target=self._write, name=f"writing {study.name}", daemon=True)

    def start(self) -> None:
        """Opens the study, and drives it."""
        self._driving.start()

    def stop(self) -> None:
        """Lets go of the study: what outside workers have goes on, and is taken up by the next host."""
        self._is_left |= self.outcome is None
        self._stopped.set()
        self._bell.ring()
        self._is_open.set()

    def join(self) -> None:
        """Waits until all is written, or cannot be."""
        if self._driving.ident is not None:
            self._driving.join()

    @property
    def is_alive(self) -> bool:
        """Whether the study is driven, or is about to be."""
        return not self._stopped.is_set() and (self._driving.ident is None or self._driving.is_alive())

    @property
    def is_closed(self) -> bool:
        """Whether all is written that can be, and the study is let go of."""
        return self._stopped.is_set() and not self._driving.is_alive()

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials, as last seen."""
        return self._progress.trials

    @property
    def trials_now(self) -> Sequence[Trial]:
        """All trials, as the loop has them now."""
        scheduler = self.handing.scheduler
        return self.trials if scheduler is None else scheduler.trials

    @property
    def ended(self) -> str:
        """Why the study gives no trials any more; empty while it does."""
        try:
            self._check_ended()
        except NothingToGive as error:
            return str(error)
        return ""

    @property
    def over(self) -> str:
        """Why the study is not driven any more, and all its trials are as they stay; empty while it is."""
        if self.error is not None:
            return f"the study cannot be driven: {self.error}"
        return self.outcome.reason if self.outcome is not None and not self._is_left else ""

    @property
    def reading(self) -> Reading:
        """What the study's file and its trials, as last seen, amount to."""
        return Reading(self._file, self.trials)

    def best_now(self) -> Trial | None:
        """The best completed trial, also by what was told just now and the loop has not seen. Raises GatewayError."""
        told = {handout.task: handout.outcome or {} for handout in self.handing.handed_out() if handout.state in _TOLD}
        return Reading(self._file, self.trials_now).best_with(told)

    def best_wire(self) -> int | None:
        """The number on the wire of :meth:`best_now`; None if there is none, or if there are several objectives."""
        best = self.best_now() if self._file.goal.is_single else None
        return handouts.wire_number(best.number, best.attempt) if best is not None else None

    def live_trial(self, task: str) -> Trial | None:
        """The trial of this task, if it waits or runs."""
        scheduler = self._run.scheduler if self._run is not None else None
        return scheduler.live_trial(task) if scheduler is not None else None

    def wait_seen(self, wait_s: float) -> None:
        """Waits until the trials are known. Raises UnavailableError: they are not within so many seconds."""
        if not self._is_seen.wait(wait_s):
            raise UnavailableError("the study is not open yet", _AGAIN_S)

    # --- when nobody asks --------------------------------------------------------------------------------------------

    def tend(self) -> bool:
        """Gives up what is ready if nobody has asked for it for 10 minutes, and lets go of a study that is idle.

        A study is idle if nobody has asked for 10 minutes, nothing of it is out or waits, and outside workers alone
        run its trials; one that has ended, too.

        Returns:
            Whether it has let go, now or before; then another host is to be made at the next ask.

        Raises:
            GatewayError: the database is away.
        """
        if not self._idling.let_go(self._is_free):
            return False
        self.stop()
        return True

    @property
    def is_idle(self) -> bool:
        """Whether it has let go of its study, for which nobody had asked."""
        return self._idling.is_over

    def _is_free(self) -> bool:
        """Whether nothing is out or waits, once what is ready is given up."""
        if self.error is not None:
            return False
        if self._driving.ident is None or not self._driving.is_alive():
            return True
        scheduler, executor = self.handing.scheduler, self._executor
        if scheduler is None or executor is None:
            return False  # it is being opened
        if executor.has_ready and not self._idling.has_given_up:
            self._idling.has_given_up = True
            scheduler.unasked.give_up()
            self._bell.ring()
        runs = any(trial.state is TrialState.RUNNING for trial in scheduler.trials)
        if not self._is_outside_alone or scheduler.unasked.is_wanted or executor.has_out or runs:
            return False
        with self._database.read() as connection:
            return not outbox.count(connection, self.study.id)

    @property
    def _is_outside_alone(self) -> bool:
        placement = policy_of(self._file).placement
        return {*placement.all_queues} <= placement.outside

    def _stopped_as(self) -> str:
        return _IDLE_REASON if self.is_idle else "interrupted"

    # --- what outside workers ask and say ----------------------------------------------------------------------------

    def ask(
        self,
        *,
        token: str,
        lease_s: float,
        wait_s: float,
        worker: Mapping[str, Any] | None = None,
        keep: Callable[[sa.Connection, Given], None] = lambda connection, given: None,
    ) -> Given | None:
        """Hands one trial out; None if there is none within ``wait_s`` seconds.

        Args:
            keep: called in the transaction in which it is handed out.

        Raises:
            NothingToGive: the study has ended, or could not be opened.
            IdleError: another host is to be made.
            GatewayError: the database is away.
        """
        until = time.monotonic() + wait_s
        with self._idling.used():
            return self._asked(until, token, lease_s, worker or {}, keep)

    def _asked(
        self,
        until: float,
        token: str,
        lease_s: float,
        worker: Mapping[str, Any],
        keep: Callable[[sa.Connection, Given], None],
    ) -> Given | None:
        while True:
            executor, scheduler = self._opened(until)
            task = executor.take(max(0.0, until - time.monotonic())) if executor is not None else None
            if task is None or executor is None or scheduler is None:
                self._check_ended()
                return None
            trial = scheduler.live_trial(task)
            if trial is None:  # not one of the study's, or a user has just ended it
                executor.ended(task)
                continue
            try:
                return self.handing.give(trial, token, lease_s, worker, keep)
            except IntegrityError:  # a task that a user has enqueued again: its number is used up
                self.note(f"trial {trial.number} was handed out before, and is not again: retry it as a new attempt")
            except BaseException:
                executor.give_back(task)
                raise

    def add(self, imports: Sequence[Import], wait_s: float) -> list[int]:
        """Has trials that ended elsewhere become trials of the study; returns their numbers.

        Raises:
            NothingToGive: the study has ended, or its budget has no room for all.
            IdleError: another host is to be made.
            UnavailableError: not within ``wait_s`` seconds; the same ones may be added again.
        """
        until = time.monotonic() + wait_s
        try:
            with self._idling.used():
                _, scheduler = self._opened(until)
                if scheduler is None:
                    raise UnavailableError("the study is not open yet", _AGAIN_S)
                done = scheduler.imports.add(imports)
                self._bell.ring()
                return done.result(max(0.0, until - time.monotonic()))
        except InputError as error:
            raise NothingToGive(str(error)) from None
        except (TimeoutError, CancelledError):
            raise UnavailableError("not all trials are added yet; send the same request again", _AGAIN_S) from None

    # --- view of the study -------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Passes it on; with the study's name, where there may be several."""
        if self._view is not None:
            self._view.note(text)
        else:
            self._on_note(note_of(self.study.name, text))

    def trial(self, trial: Trial) -> None:
        """A trial that has ended by whatever gives its place free; its worker hears of it when it reports next."""
        if self._view is not None:
            self._view.trial(trial)
        if trial.state.is_live or self._executor is None:
            return
        self.handing.has_ended(trial)
        self._executor.ended(trial.task_id)

    def progress(self, progress: Progress) -> None:
        """A step was made: trials can be handed out."""
        self._progress = progress
        self._is_seen.set()
        self.on_progress(progress.trials)
        if self._view is not None:
            self._view.progress(progress)
        if self._run is not None and self._run.scheduler is not None:
            self.handing.scheduler = self._run.scheduler
            self._is_open.set()

    # --- the thread that drives --------------------------------------------------------------------------------------

    def _drive(self) -> None:
        try:
            self._open_and_drive()
        except KeyboardInterrupt:
            pass  # stopped before it began
        except ClearmlHpoError as error:
            self.error = error
            self.note(f"the study cannot be driven: {error}")
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._stopped.set()
            self._is_open.set()
            self._is_seen.set()
            self._write_soon.set()
            if self._executor is not None:
                self._executor.close()
            if self._writing.ident is not None:
                self._writing.join()

    def _open_and_drive(self) -> None:
        if self._before is not None:
            self._before.join()
            self._before = None
        api = with_backoff(self._log_in, self.note, self._stopped)
        opening = Opening(api, self._place, self._stopped, self.note, take_over=self._take_over)
        with api.asking_again(self.note, self._stopped):
            if self.study.controller:
                self._flush_before(api)
            opened = self._find(opening)
        self._file, self.handing.judged = opened.file, opened.file.goal.pruning_objective
        if opened.lease is None:
            self._run = StudyRun(opened, api, self, self._stopped)
            self.outcome = self._run.run()
            return
        self._writing.start()
        self._run = StudyRun(
            opened,
            api,
            self,
            self._stopped,
            aborts=lambda: self._aborts,
            bell=self._bell,
            stopped_as=self._stopped_as,
        )
        self.outcome = self._run.run()

    def _found(self, opening: Opening) -> Opened:
        return opening.by_id(self.study.controller) if self.study.controller else opening.from_file(self._file)

    def _place(self, api: Api, file: StudyFile) -> tuple[StudyFile, MakeExecutor]:
        def outside(study_id: str) -> OutsideExecutor:
            if study_id != self.study.controller:
                with self._database.write() as connection:
                    studies.set_controller(connection, self.study.id, study_id)
                self.study = replace(self.study, controller=study_id)
            queue = own_queue_name(OUTSIDE, study_id)
            self._lose_unknown(api, study_id)
            out = {*self.handing.take_up()}
            self.handing.give_up(ended := outside_tasks.ended(api, out))
            self._executor = OutsideExecutor(
                api, self._bell, queue=queue, out=out - ended, on_abort=self.handing.abort, clock=self._clock
            )
            return self._executor

        return file, executor_of(file, api, self.note, outside)

    def _lose_unknown(self, api: Api, study_id: str) -> None:
        """Ends what was handed out by a database of which this one is an older state, or by another one.

        Nobody can report of it any more, and it would count as a busy worker.
        """
        known = {handout.task for handout in self.handing.handed_out()}
        for task in outside_tasks.running(api, study_id) - known:
            outside_tasks.end(api, task, "failed", f"{LOST} the gateway does not know any more whom it was given to")

    def _flush_before(self, api: Api) -> None:
        """What was said while nobody drove the study is written before its trials are read."""
        queue = own_queue_name(OUTSIDE, self.study.controller)
        Writing(api, self._database, self.study.id, ensure_queue(api, queue), self.note).flush(is_first=True)

    # --- the thread that writes --------------------------------------------------------------------------------------

    def _write(self) -> None:
        api = with_backoff(self._log_in, self.note, self._stopped)
        name = own_queue_name(OUTSIDE, self.study.controller)
        queue_id = with_backoff(lambda: ensure_queue(api, name), self.note, self._stopped)
        Writing(api, self._database, self.study.id, queue_id, self.note).run(
            self.handing, self._write_soon, self._stopped, self._bell
        )

    # --- parts -------------------------------------------------------------------------------------------------------

    def _opened(self, until: float) -> tuple[OutsideExecutor | None, Scheduler | None]:
        """What hands out and what knows the trials, once the study is open; None if it is not in time, or has ended."""
        self._is_open.wait(max(0.0, until - time.monotonic()))
        self._check_ended()
        return self._executor, self._run.scheduler if self._run is not None else None

    def _check_ended(self) -> None:
        if self.error is not None:
            raise NothingToGive(f"the study cannot be driven: {self.error}")
        if self.outcome is not None:
            raise NothingToGive(f"the study has ended: {self.outcome.reason}")
        scheduler = self._run.scheduler if self._run is not None else None
        if scheduler is not None and scheduler.ended and not (self._executor and self._executor.has_ready):
            raise NothingToGive(f"the study gives no more trials: {scheduler.ended}")
