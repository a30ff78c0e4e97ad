"""The loop: steps of the scheduler, one after the other, as long as there is something to do."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from clearml_hpo.backend.backoff import Backoff
from clearml_hpo.core.bell import Bell
from clearml_hpo.core.errors import ApiError, is_trouble
from clearml_hpo.scheduler.scheduler import Scheduler

_LOOKS_APART_S = 0.3
"""Least time between two looks at the trials, if a bell wakes the loop: what asks for a trial needs none."""
_LONGEST_PAUSE_S = 15.0
"""How often ``before_step`` is called at least, however long the poll period."""


def run_loop(
    scheduler: Scheduler,
    poll_s: float,
    stopped: threading.Event,
    *,
    before_step: Callable[[], None] = lambda: None,
    on_step: Callable[[], None] = lambda: None,
    bell: Bell | None = None,
) -> None:
    """Steps every ``poll_s`` seconds until all is done or ``stopped`` is set.

    A server that is in trouble (out of reach, 5xx, 429) is asked again, less and less often.

    Args:
        before_step: called every 15 s at least; if it stops the study or retries a trial, a step follows at once. What
            it raises ends the loop, unless the server is in trouble.
        on_step: called after each step.
        bell: has a step follow soon, which looks at the workers anew.

    Raises:
        ApiError: the server refused a call for good.
    """
    backoff = Backoff(poll_s, scheduler.note)
    pause = stopped.wait if bell is None else bell.wait
    # Seconds since the last look are those of the clock, or of the pauses: in a simulated world these take no time.
    goes_on, looked_at, waited_s, apart_s = True, -math.inf, 0.0, 0.0
    try:
        while goes_on and not stopped.is_set():
            wait = pause
            try:
                before_step()
                if stopped.is_set():
                    return
                now = time.monotonic()
                since_s = max(now - looked_at, 0.0 if bell else waited_s)
                looks = since_s >= apart_s
                goes_on = scheduler.step(looks=looks)
                on_step()
                backoff.succeeded()
                if looks:
                    looked_at, since_s, waited_s = now, 0.0, 0.0
                    apart_s = scheduler.looks_apart_s(poll_s) if bell is None else _LOOKS_APART_S
                wait_s = scheduler.pause_s(poll_s)
                if not looks:
                    wait_s = min(wait_s, apart_s - since_s)
                if bell is None and scheduler.is_thinking:
                    wait = scheduler.wait_for_point
            except ApiError as error:
                backoff.failed(error)
                wait_s, apart_s = backoff.wait_s, 0.0
            if goes_on:
                paused_s = _wait(scheduler, wait_s, wait, before_step)
                waited_s += paused_s if wait is pause else 0.0  # a point may be there at once
    finally:
        scheduler.close()


def _wait(
    scheduler: Scheduler, seconds: float, pause: Callable[[float], bool], before_step: Callable[[], None]
) -> float:
    """Returns after so many seconds, and how many they were; infinite if a step is wished for at once."""
    all_s = seconds
    while not (is_over := pause(min(seconds, _LONGEST_PAUSE_S))) and seconds > _LONGEST_PAUSE_S:
        seconds -= _LONGEST_PAUSE_S
        try:
            before_step()
        except ApiError as error:
            if not is_trouble(error):  # the next step tells of trouble
                raise
        if scheduler.is_hurried:
            return math.inf
    if is_over:
        scheduler.look_at_workers()
    return math.inf if is_over else all_s
