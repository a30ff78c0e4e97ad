"""Tells users what becomes of one study. Nothing here delays, breaks or fails the study."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial
from clearml_hpo.notify.channels import channels_of
from clearml_hpo.notify.events import About, Events
from clearml_hpo.notify.sender import Outbox
from clearml_hpo.study_file.notify import NotifySpec

_END_S = 15.0
"""Longest wait for messages that are being sent when a study has ended."""


class Notifier:
    """Finds the events of a study that are wanted, and has each channel send them."""

    def __init__(
        self,
        spec: NotifySpec,
        about: About,
        goal: Goal,
        known: Iterable[Trial] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``known``: trials of earlier controllers, whose values are no news."""
        self._events = Events(spec.events, about, goal, known, clock=clock)
        self._outboxes = [Outbox(channel) for channel in channels_of(spec)]

    def trial(self, trial: Trial) -> None:
        """A trial has changed its state."""
        self._events.trial(trial)

    def progress(self, trials: Sequence[Trial], workers: Mapping[str, int]) -> None:
        """Where the study stands; ``workers``: how many serve each queue."""
        self._events.progress(trials, workers)
        self._send()

    def ended(self, status: str, reason: str) -> None:
        """The study has ended; waits some seconds at most for messages that are being sent."""
        self._events.ended(status, reason)
        self._send()
        until = time.monotonic() + _END_S
        for outbox in self._outboxes:
            outbox.put(None)
        for outbox in self._outboxes:
            outbox.close(until)

    def faults(self) -> Iterator[str]:
        """A line for each channel of which a message did not go, once."""
        return filter(None, (outbox.fault() for outbox in self._outboxes))

    def _send(self) -> None:
        for message in self._events.due():
            for outbox in self._outboxes:
                outbox.put(message)
