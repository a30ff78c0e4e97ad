"""Who serves the queues, and which trials wait in them in vain."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping

from clearml_hpo.core.trial import Trial
from clearml_hpo.executors.base import Executor
from clearml_hpo.scheduler.heartbeats import Heartbeats
from clearml_hpo.scheduler.placement import Placement

_LOOK_S = 60.0
"""How often the workers of the queues, and what waits there, are read."""

_LOOK_FOR_FIRST_WORKER_S = 10.0
"""The same while no queue has a worker."""


class Queues:
    """The queues of a study, looked at now and then.

    Attributes:
        workers: how many trials each queue can run at once, as last seen.
        gone: those that were deleted.
    """

    def __init__(self, executor: Executor, placement: Placement, on_note: Callable[[str], None]) -> None:
        self.workers: Mapping[str, int] = {}
        self.gone: set[str] = set()
        self._executor = executor
        self._placement = placement
        self._on_note = on_note
        self._looked_at = self._looked_into = self._looked_for = -math.inf
        self._heartbeats = Heartbeats()
        self._is_due = False

    def look_anew(self) -> None:
        """Has the next :meth:`look` see who serves them."""
        self._is_due = True

    def look(self, now: float) -> None:
        """Sees who serves them, if that is due; says which of them have lost their workers, or never had any."""
        some = any(self.workers.values())
        if not self._is_due and now - self._looked_at < (_LOOK_S if some else _LOOK_FOR_FIRST_WORKER_S):
            return
        self._is_due = False
        before, found = self.workers, self._executor.workers()
        self.workers = {queue: 0 if queue in self.gone else count for queue, count in found.items()}
        is_first, self._looked_at = self._looked_at == -math.inf, now
        for queue in self._placement.all_queues:
            if queue not in self._placement.outside and not self.workers.get(queue) and (before.get(queue) or is_first):
                gone = "the workers of queue {!r} are gone" if before.get(queue) else "no worker serves the queue {!r}"
                self._on_note(
                    gone.format(queue) + f": its trials wait (start one with `{self._executor.how_to_serve(queue)}`)"
                )

    def lose(self, queue: str) -> None:
        """A queue was deleted: nothing goes there any more."""
        if queue in self.gone:
            return
        self.gone.add(queue)
        self.workers = {**self.workers, queue: 0}
        self._on_note(f"the queue {queue!r} was deleted: nothing goes there any more")

    def was_deleted(self, queue: str, now: float) -> bool:
        """Whether a queue out of which trials were taken is no longer there; asked once for all of the same time."""
        if now > self._looked_for:
            for name in self._executor.deleted():
                self.lose(name)
            self._looked_for = now
        return queue in self.gone

    @property
    def deleted_choice(self) -> tuple[str, ...]:
        """Queues that some trials have to choose from, if all of them were deleted; else empty."""
        return next((queues for queues in self._placement.choices if self.gone.issuperset(queues)), ())

    def missing(self, queued: Collection[Trial], after_s: float | None, now: float) -> list[Trial]:
        """Trials that are queued but in no queue for so long: whoever took them has died before starting them.

        What a user has moved to another queue is left alone.
        """
        if after_s is None or now - self._looked_into < _LOOK_S:
            return []
        queued = [trial for trial in queued if trial.queue not in self._placement.outside]
        waiting = self._executor.waiting() if queued else ()
        self._looked_into = now
        missing = [trial for trial in queued if trial.task_id not in waiting]
        self._heartbeats.listen(now)
        self._heartbeats.forget_others({trial.task_id for trial in missing})
        lost = [t for t in missing if self._heartbeats.silent_s(t.task_id, "missing", now) >= max(after_s, _LOOK_S)]
        elsewhere = self._executor.elsewhere([trial.task_id for trial in lost]) if lost else ()
        return [trial for trial in lost if trial.task_id not in elsewhere]

    def unserved(self, queued: Iterable[Trial]) -> list[Trial]:
        """Trials that wait in a queue without workers, or in one that is none of the study's, and may go elsewhere."""
        return [trial for trial in queued if self._waits_in_vain(trial)]

    def _waits_in_vain(self, trial: Trial) -> bool:
        placement = self._placement
        if trial.queue not in placement.all_queues or trial.queue in self.gone:
            return True
        if self.workers.get(trial.queue) or (trial.attempt > 1 and trial.queue in placement.retry_queues):
            return False  # whoever gave retries a queue of their own wants them there
        return any(self.workers.get(queue) for queue in placement.queues_for(trial.params))
