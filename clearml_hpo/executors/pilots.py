"""Runs trial tasks in pilots: warm workers that are tasks themselves, so that GPU servers run nothing but agents."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.codes import Subcode
from clearml_hpo.backend.names import ensure_queue, workers_by_queue
from clearml_hpo.backend.pilots import Environment, Pilot, create_pilot, pilots_of, withdraw
from clearml_hpo.backend.trial_tasks import log_tail
from clearml_hpo.core.errors import ApiError, StudyError
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.workers.last_line import last_words, with_signal

PILOTS = "pilots"
"""The queue that :meth:`PilotExecutor.workers` lists."""
_TAG = "clearml-hpo-pilots"  # on queues that are of no use to anybody else
_MOST_FAILURES = 3
_TAIL = 50  # lines of a console that may say why


@dataclass(frozen=True)
class PilotPlan:
    """Which pilots a study has.

    Attributes:
        queue: name of the queue that agents serve, where pilots wait for one.
        count: how many run at once.
        options: of ``clearml-hpo worker``, without the dashes, beside the queue.
    """

    queue: str
    queue_id: str
    count: int
    options: Mapping[str, str] = field(default_factory=dict)


class PilotExecutor(QueueExecutor):
    """Pilots of one study, and the queue of its own that they serve.

    They leave when that queue was empty for some time or is deleted, whatever becomes of this process. One that has
    left or died while trials wait is followed by another; one that a person has stopped is not.
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
        """Has the pilots wait for agents; those of an earlier controller that are still there count."""
        self._queue_id = ensure_queue(api, f"trials-{study_id}", [_TAG])
        super().__init__(api, {PILOTS: self._queue_id})
        self._plan = plan
        self._is_closed = False
        self._study_id = study_id
        self._project_id = project_id
        self._environment = environment
        self._note = on_note
        self._before = {pilot.task_id for pilot in self._pilots() if not pilot.is_alive}
        self._why: dict[str, str] = {}  # they have failed
        self._said_of: list[str] = []  # pilots that were stopped, when it was said that none is left
        self._alive = 0
        self._call_in(self._plan.count)
        if not workers_by_queue(api).get(plan.queue_id):
            on_note(
                f"no agent serves the queue {plan.queue!r} yet: the pilots wait "
                f"(start one with `clearml-hpo agents up --queue {plan.queue}`)"
            )

    def workers(self) -> dict[str, int]:
        """Slots of the pilots that have come, at least one for each that is to come; in two calls or three.

        Raises:
            StudyError: pilots fail one after the other, or the queue that their agents serve was deleted.
        """
        self._call_in(None)
        return {PILOTS: max(super().workers()[PILOTS], self._alive)}

    def how_to_serve(self, queue: str) -> str:
        """A worker anywhere may serve the pilots' queue, too."""
        return f"clearml-hpo worker --queue {self._queue_name}"

    def close(self) -> None:
        """Takes back pilots that still wait, and deletes the queue if it is empty: those that run leave then."""
        is_closed, self._is_closed = self._is_closed, True
        with contextlib.suppress(ApiError):  # it is gone already, or something waits, which the pilots see to
            if not is_closed and not self.waiting():
                withdraw(self._api, self._pilots())
                self._api.call("queues.delete", queue=self._queue_id)

    def _pilots(self) -> list[Pilot]:
        return pilots_of(self._api, self._study_id)

    def _call_in(self, most: int | None) -> None:
        """Enqueues pilots that are lacking: at most as many as trials wait, or ``most``."""
        pilots = [pilot for pilot in self._pilots() if pilot.task_id not in self._before]
        self._hear_of_failures(pilots)
        self._alive = sum(pilot.is_alive for pilot in pilots)
        stopped = [pilot.task_id for pilot in pilots if pilot.was_stopped]
        lacking = self._plan.count - self._alive - len(stopped)
        if not self._alive and lacking <= 0 and stopped and self._said_of != stopped and self.waiting():
            self._said_of = stopped
            url = self._api.task_url(self._project_id, stopped[-1])
            self._note(
                "no pilot is left to run what waits: a user has stopped them, so no other one is started (enqueue one "
                f"again at {url}, start a worker with `{self.how_to_serve(PILOTS)}`, or end the study)"
            )
        if lacking > 0:
            lacking = min(lacking, len(self.waiting()) if most is None else most)
        for number in range(len(pilots) + 1, len(pilots) + lacking + 1):
            self._enqueue(number)
            self._alive += 1
        if lacking > 0:
            self._note(f"{lacking} pilot{'s' * (lacking > 1)} in queue {self._plan.queue!r}")

    def _enqueue(self, number: int) -> None:
        task_id = create_pilot(
            self._api,
            name=f"pilot {number}",
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
        return f"trials-{self._study_id}"

    def _hear_of_failures(self, pilots: list[Pilot]) -> None:
        for pilot in pilots:
            if pilot.status == "failed" and pilot.task_id not in self._why:
                said = last_words(log_tail(self._api, pilot.task_id, _TAIL))
                reason = with_signal(pilot.reason)
                self._why[pilot.task_id] = f"{reason}; its console ends with: {said}" if said else reason
                self._note(f"pilot {pilot.task_id} failed: {self._why[pilot.task_id]}")
        ended = [pilot for pilot in pilots if not pilot.is_alive][-_MOST_FAILURES:]
        if len(ended) == _MOST_FAILURES and all(pilot.status == "failed" for pilot in ended):
            url = self._api.task_url(self._project_id, ended[-1].task_id)
            raise StudyError(f"{_MOST_FAILURES} pilots in a row have failed: {self._why[ended[-1].task_id]}; see {url}")
