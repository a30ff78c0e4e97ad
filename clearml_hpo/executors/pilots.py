"""Runs trial tasks in pilots: warm workers that are tasks themselves, so that GPU servers run nothing but agents."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.names import ensure_queue, own_queue_name, workers_by_queue
from clearml_hpo.backend.pilots import Environment, Pilot, create_pilot, pilots_of, withdraw
from clearml_hpo.backend.trial_tasks import log_tail
from clearml_hpo.core.errors import ApiError, StudyError
from clearml_hpo.core.notes import Note
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.workers.last_line import last_words, with_signal

PILOTS = "pilots"
"""The queue that :meth:`PilotExecutor.workers` lists."""
_TAG = "clearml-hpo-pilots"  # on queues that were made for one study
_MOST_FAILURES = 3
_TAIL = 50  # lines of a console that may say why


@dataclass(frozen=True)
class PilotPlan:
    """The pilots of a study.

    Attributes:
        queue: name of the queue that agents serve, where pilots wait for one.
        queue_id: id of that queue.
        count: how many run at once.
        options: of ``clearml-hpo worker``, without the dashes, in addition to the queue.
    """

    queue: str
    queue_id: str
    count: int
    options: Mapping[str, str] = field(default_factory=dict)


class PilotExecutor(QueueExecutor):
    """Pilots of one study, and the study's own queue that they serve.

    They leave when that queue was empty for some time or is deleted, even if this process died before. A pilot that
    has left or died is replaced while trials wait; one that a user has stopped is not.
    """

    def __init__(
        self,
        api: Api,
        plan: PilotPlan,
        *,
        study_id: str,
        project_id: str,
        environment: Environment,
        on_note: Callable[[str], None],
    ) -> None:
        """Enqueues the pilots; those of an earlier controller that still run or wait count."""
        self._queue_id = ensure_queue(api, own_queue_name(PILOTS, study_id), [_TAG])
        super().__init__(api, {PILOTS: self._queue_id})
        self._plan = plan
        self._is_closed = False
        self._study_id = study_id
        self._project_id = project_id
        self._environment = environment
        self._note = on_note
        self._earlier = {pilot.task_id for pilot in self._pilots() if not pilot.is_alive}
        self._failures: dict[str, str] = {}  # reasons by pilot
        self._noted_as_stopped: list[str] = []  # pilots, when the note was printed that none is left
        self._alive = 0
        self._enqueue_missing(self._plan.count)
        if not workers_by_queue(api).get(plan.queue_id):
            text = (
                f"no agent serves the queue {plan.queue!r} yet: the pilots wait "
                f"(start one with `clearml-hpo agents up --queue {plan.queue}`)"
            )
            on_note(Note(text, level="warning", queue=plan.queue))

    def workers(self) -> dict[str, int]:
        """Slots of the running pilots, and at least one for each that waits; in two calls or three.

        Raises:
            StudyError: several pilots in a row failed, or the queue that their agents serve was deleted.
        """
        self._enqueue_missing(None)
        return {PILOTS: max(super().workers()[PILOTS], self._alive)}

    def how_to_serve(self, queue: str) -> str:
        """The command that starts a worker on the pilots' queue."""
        return f"clearml-hpo worker --queue {self._queue_name}"

    def close(self) -> None:
        """Withdraws pilots that have not started and deletes the queue if it is empty; running pilots then exit."""
        is_closed, self._is_closed = self._is_closed, True
        with contextlib.suppress(ApiError):  # it is gone already, or trials wait, which the pilots will run
            if not is_closed and not self.waiting():
                withdraw(self._api, self._pilots())
                self._api.call("queues.delete", queue=self._queue_id)

    def _pilots(self) -> list[Pilot]:
        return pilots_of(self._api, self._study_id)

    def _enqueue_missing(self, most: int | None) -> None:
        """Enqueues missing pilots: at most ``most``, or, if that is None, at most one for each waiting trial."""
        pilots = [pilot for pilot in self._pilots() if pilot.task_id not in self._earlier]
        self._check_failures(pilots)
        self._alive = sum(pilot.is_alive for pilot in pilots)
        stopped = [pilot.task_id for pilot in pilots if pilot.was_stopped]
        missing = self._plan.count - self._alive - len(stopped)
        if missing <= 0:
            if stopped and not self._alive:
                self._note_that_none_is_left(stopped)
            return
        self._enqueue(len(pilots), min(missing, len(self.waiting()) if most is None else most))

    def _note_that_none_is_left(self, stopped: list[str]) -> None:
        """Prints, once for these stopped pilots and only if trials wait, what a user can do."""
        if self._noted_as_stopped == stopped or not self.waiting():
            return
        self._noted_as_stopped = stopped
        url = self._api.task_url(self._project_id, stopped[-1])
        text = (
            "no pilot is left for the waiting trials: a user has stopped them, and they are not replaced (enqueue one "
            f"again at {url}, start a worker with `{self.how_to_serve(PILOTS)}`, or end the study)"
        )
        self._note(Note(text, level="warning", task=stopped[-1]))

    def _enqueue(self, before: int, count: int) -> None:
        for number in range(before + 1, before + count + 1):
            self._enqueue_pilot(f"pilot {number}")
            self._alive += 1
        if count:
            self._note(Note(f"{count} pilot{'s' * (count > 1)} in queue {self._plan.queue!r}", queue=self._plan.queue))

    def _enqueue_pilot(self, name: str) -> None:
        task_id = create_pilot(
            self._api,
            name=name,
            project_id=self._project_id,
            options={"queue": self._queue_name, **self._plan.options},
            parent=self._study_id,
            environment=self._environment,
        )
        try:
            self._api.call("tasks.enqueue", task=task_id, queue=self._plan.queue_id)
        except ApiError as error:
            if error.subcode != Subcode.NO_SUCH_QUEUE:
                raise
            self._api.call("tasks.delete", task=task_id)
            raise StudyError(
                f"the queue {self._plan.queue!r}, in which pilots wait for an agent, was deleted; make it again, "
                "and resume the study"
            ) from None

    @property
    def _queue_name(self) -> str:
        return own_queue_name(PILOTS, self._study_id)

    def _check_failures(self, pilots: list[Pilot]) -> None:
        """Prints a note for each pilot that failed.

        Raises:
            StudyError: several pilots in a row failed.
        """
        for pilot in pilots:
            if pilot.status == "failed" and pilot.task_id not in self._failures:
                words = last_words(log_tail(self._api, pilot.task_id, _TAIL))
                reason = with_signal(pilot.reason)
                self._failures[pilot.task_id] = f"{reason}; its console ends with: {words}" if words else reason
                text = f"pilot {pilot.task_id} failed: {self._failures[pilot.task_id]}"
                self._note(Note(text, level="warning", task=pilot.task_id))
        ended = [pilot for pilot in pilots if not pilot.is_alive][-_MOST_FAILURES:]
        if len(ended) == _MOST_FAILURES and all(pilot.status == "failed" for pilot in ended):
            last = ended[-1].task_id
            url = self._api.task_url(self._project_id, last)
            raise StudyError(f"{_MOST_FAILURES} pilots in a row have failed: {self._failures[last]}; see {url}")
