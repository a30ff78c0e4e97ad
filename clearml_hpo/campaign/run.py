"""A campaign, from start or from where it was left, to its end: one thread for each study that is open."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.backoff import Backoff, with_backoff
from clearml_hpo.backend.console_log import ConsoleLog
from clearml_hpo.backend.study_records import StudyRecord
from clearml_hpo.campaign.folder import leave_on
from clearml_hpo.campaign.opening import OpenedCampaign
from clearml_hpo.campaign.order import Order
from clearml_hpo.campaign.progress import CampaignProgress, ResourceProgress, StudyProgress
from clearml_hpo.campaign.report import read_campaign_state
from clearml_hpo.campaign.resources import Resources
from clearml_hpo.campaign.serving import Serving, on_this_machine
from clearml_hpo.campaign.session import Session
from clearml_hpo.campaign.view import CampaignView, ToldView
from clearml_hpo.core.errors import ApiError, ClearmlHpoError, HeldError, is_trouble
from clearml_hpo.core.notes import Note
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.study_file import Member

_TICK_S = 0.25
"""Pause between two steps of a campaign."""
_PUBLISH_S = 30.0
"""Least time between two updates of the campaign's reports."""
_AHEAD_S = 4.0
"""A study whose time budget ends within this makes way: the next one takes as long to open and start a trial."""
_AHEAD_PART = 0.05


@dataclass(frozen=True)
class CampaignOutcome:
    """How a run of a campaign ended.

    Attributes:
        status: completed, stopped (by a user) or failed (a study has).
        reason: in a line for each study that did not complete.
    """

    status: str
    reason: str
    progress: CampaignProgress
    campaign_id: str
    url: str


class CampaignRun:
    """Drives one opened campaign to its end."""

    def __init__(
        self,
        opened: OpenedCampaign,
        api: Api,
        view: CampaignView,
        stopped: threading.Event,
        *,
        all_here: bool = False,
    ) -> None:
        """``stopped`` ends the run early; if ``all_here``, resources that are queues are slots of this machine too."""
        self._opened = opened
        self._file = opened.file
        self._api = api
        self._said = ConsoleLog(opened.task)
        self._view = ToldView(view, self._said.add)
        self._stopped = stopped
        spec = opened.file.spec
        self._specs = on_this_machine(spec.resources) if all_here else dict(spec.resources)
        self._finished = {member.name: opened.finished(member.name) for member in self._file.members}
        self._sessions: dict[str, Session] = {}
        self._started_at = time.time()
        self._published_at = self._started_at
        self._is_asked_to_stop = False

    def run(self) -> CampaignOutcome:
        """Drives it.

        Raises:
            InputError: the server has no such queue, or this machine no such GPU.
            HeldError: another process has taken over.
        """
        task, name = self._opened.task, self._file.spec.campaign
        self._view.note(f"campaign {name}: {task.url}")
        try:
            if all(self._finished.values()):
                self._view.note(f"campaign {name} is finished; a larger budget continues it, --new starts another")
                self._pool = Resources(())
            else:
                self._drive()
        except KeyboardInterrupt:
            raise  # the user is in a hurry
        except HeldError:
            with suppress(ApiError):  # then the controller that has taken over waits until the lease has run out
                self._opened.lease.leave()
            raise
        except BaseException as error:
            self._note_end()
            self._finish("failed", str(error).partition("\n")[0] or type(error).__name__)
            raise
        status, reason = self._conclude()
        try:
            self._note_end()
            if self._sessions:  # else nothing is new
                self._leave_summary(status)  # first: of a task that has ended a server takes no artifacts
        except HeldError:
            with suppress(ApiError):
                self._opened.lease.leave()
            raise
        self._finish(status, reason.partition("\n")[0])
        return CampaignOutcome(status, reason, self._seen(), task.task_id, task.url)

    def _leave_summary(self, status: str) -> None:
        """What stays, as artifacts of the campaign's task; without them the campaign has ended all the same."""
        task = self._opened.task
        try:
            state = read_campaign_state(self._api, task.task_id, about_to_be=status)
            if any(study.trials for study in state.progress.studies):
                is_hurried = self._stopped.is_set()  # the logs stay on the trials' tasks
                missing = leave_on(
                    self._api,
                    task,
                    state,
                    logs=not is_hurried,
                    on_note=self._view.note,
                    on_step=self._opened.lease.renew,
                )
                for message in missing:
                    self._view.note(message)
        except HeldError:
            raise
        except Exception as error:  # of whatever kind: the studies are complete, and the end is still to be noted
            self._view.note(
                f"no summary: {error}; it can be written later: clearml-hpo campaign report {task.task_id} --output DIR"
            )

    def _drive(self) -> None:
        execution = self._file.spec.execution
        task, name = self._opened.task, self._file.spec.campaign
        with self._api.asking_again(self._view.note, self._stopped):
            self._serving = Serving(
                self._api, task.task_id, name, self._specs, on_note=self._view.note, stopped=self._stopped
            )
        is_displaced = False
        try:
            self._pool = Resources(
                self._serving.resources,
                prefetch=execution.prefetch,
                lately_s=2.5 * execution.poll_interval + 1.0,
            )
            self._with_backoff(
                lambda: task.note_session(self._opened.record, self._serving.queue_ids, self._opened.lease)
            )
            self._loop()
        except HeldError:
            is_displaced = True
            self._end(Session.leave)
            raise
        except Exception:
            self._end(Session.stop)  # no thread would look after the studies any more
            raise
        finally:
            self._serving.close(keeps_queues=is_displaced)

    def _loop(self) -> None:
        order = Order(member for member in self._file.members if not self._finished[member.name])
        backoff, heed_at = Backoff(_TICK_S, self._view.note), 0.0
        while not (order.is_through and not self._alive):
            if time.monotonic() >= heed_at:
                try:
                    self._heed()
                    backoff.succeeded()
                except ApiError as error:
                    backoff.failed(error)
                heed_at = time.monotonic() + backoff.wait_s
            if self._stopped.is_set() or self._is_asked_to_stop:
                self._view.note("stopping: every study ends its trials (Ctrl-C once more to leave at once)")
                self._end(Session.stop, on_tick=lambda: self._view.progress(self._seen()))
                return
            self._open_due(order)
            self._view.progress(self._seen())
            self._stopped.wait(_TICK_S)

    def _heed(self) -> None:
        """Shows that the campaign is driven, and sees whether a user wants it to stop; raises HeldError."""
        self._is_asked_to_stop |= bool(self._opened.lease.renew().stop)
        if time.time() - self._published_at >= _PUBLISH_S:
            self._published_at = time.time()
            self._publish()
        self._send_lines()

    def _publish(self) -> None:
        """User properties, which the experiment table can show as columns."""
        seen = self._seen()
        states = Counter(study.state for study in seen.studies)
        try:
            self._opened.task.set_properties(
                studies=", ".join(f"{count} {state}" for state, count in states.items()),
                trials=seen.trials,
                trials_per_hour=round(seen.trials_per_hour or 0),
            )
        except ApiError as error:
            if is_trouble(error):
                raise
            self._view.note(Note(f"the campaign's task cannot be written to: {error}", level="warning"))

    # --- studies -----------------------------------------------------------------------------------------------------

    @property
    def _alive(self) -> list[Session]:
        return [session for session in self._sessions.values() if session.is_alive]

    def _open_due(self, order: Order) -> None:
        alive = self._alive
        for session in alive:
            left_s, limit_s = session.left_s, session.member.file.budget.wall_s
            ahead_s = min(_AHEAD_S, _AHEAD_PART * limit_s + 1.0) if limit_s else 0.0
            session.share.is_ending = session.is_concluding or (left_s is not None and left_s <= ahead_s)
        due = order.next(
            self._specs,
            self._pool.runs_dry,
            {_template_of(session.member) for session in alive if not session.share.has_begun},
            _template_of,
            nothing_is_open=not alive,
        )
        for member in due:
            share = self._pool.join(member.resources, rank=member.rank, weight=member.weight)
            session = Session(
                member,
                self._opened.task.task_id,
                share,
                self._serving,
                self._view.note,
                take_over=self._opened.take_over,
            )
            self._sessions[member.name] = session
            session.start()

    def _end(self, how: Callable[[Session], None], on_tick: Callable[[], None] = lambda: None) -> None:
        """Returns when no study is driven here any more."""
        for session in self._alive:
            how(session)
        while self._alive:
            on_tick()
            time.sleep(_TICK_S)

    # --- what is seen ------------------------------------------------------------------------------------------------

    def _seen(self) -> CampaignProgress:
        now = time.time()
        trials = [trial for session in self._sessions.values() for trial in session.trials]
        ended = sum(_has_ended(trial, self._started_at) for trial in trials)
        hours = (now - self._started_at) / 3600
        return CampaignProgress(
            self._file.spec.campaign,
            self._opened.lease.driven_s,
            now,
            tuple(self._resources()),
            tuple(self._study(member) for member in self._file.members),
            ended / hours if ended else None,
        )

    def _resources(self) -> Iterator[ResourceProgress]:
        running = [found for session in self._alive for found in session.running()]
        for resource in self._serving.resources if self._sessions else ():
            own = tuple(run for queue, run in running if queue == resource.queue)
            waiting = max(0, self._pool.live_on(resource.name) - len(own))
            yield ResourceProgress(resource.name, resource.takes, own, waiting)

    def _study(self, member: Member) -> StudyProgress:
        session, record = self._sessions.get(member.name), self._finished[member.name]
        if session is not None:
            return session.seen()
        return study_progress(member, record)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _conclude(self) -> tuple[str, str]:
        if self._stopped.is_set() or self._is_asked_to_stop:
            return "stopped", "interrupted" if self._stopped.is_set() else "a user asked for it to stop"
        if failures := self._failures():
            names: dict[str, list[str]] = {}
            for name, reason in failures.items():
                names.setdefault(reason, []).append(name)
            return "failed", "\n".join(f"{', '.join(alike)}: {reason}" for reason, alike in names.items())
        return "completed", f"all {len(self._file.members)} studies have ended"

    def _failures(self) -> dict[str, str]:
        """Why studies have failed, in a line each, by name."""
        ended = [session for session in self._sessions.values() if not session.is_alive]
        return {s.member.name: s.reason.partition("\n")[0] for s in ended if s.status == "failed"}

    def _finish(self, status: str, reason: str) -> None:
        self._said.add(f"{status}: {reason}")

        def finish() -> None:
            if self._opened.lease.is_mine():
                self._send_lines(at_once=True)
                self._opened.task.finish(status, reason)
                self._opened.lease.release(reason)

        self._recorded(finish)

    def _note_end(self) -> None:
        """Puts on record how the studies stand, and why some have failed."""

        def note() -> None:
            if self._opened.lease.is_mine():
                self._publish()
                self._opened.task.note_failures(self._failures())

        self._recorded(note)

    def _recorded(self, call: Callable[[], object]) -> None:
        try:
            self._with_backoff(call)
        except ClearmlHpoError as error:
            self._view.note(Note(f"the campaign's end is not on record: {error}", level="warning"))

    def _send_lines(self, *, at_once: bool = False) -> None:
        try:
            self._said.send(at_once=at_once)
        except ApiError as error:  # without them the campaign goes on all the same
            if is_trouble(error):
                raise

    def _with_backoff(self, call: Callable[[], object]) -> None:
        with_backoff(call, self._view.note, self._stopped)


def _has_ended(trial: Trial, since: float) -> bool:
    """True if it has ended by itself since then (seconds since the epoch)."""
    is_over = not trial.state.is_live and trial.state is not TrialState.STOPPED
    return is_over and (trial.ended_at or 0.0) >= since


def study_progress(member: Member, record: StudyRecord | None) -> StudyProgress:
    """A study that is not driven here, as its controller task tells of it."""
    objective = member.file.goal.objectives[0]
    waiting = StudyProgress(member.name, member.dataset, member.model, objective.metric, objective.direction)
    if record is None:
        return waiting
    return StudyProgress(
        *(waiting.name, waiting.dataset, waiting.model, waiting.metric, waiting.direction),
        state="running" if record.status == "in_progress" else record.status,
        trials=record.ended_trials or 0,
        best=record.best_value,
        reason=record.reason,
        study_id=record.study_id,
    )


def _template_of(member: Member) -> str:
    return member.file.spec.template.model_dump_json()
