"""How an agent leaves: between two tasks, so that none is cut short and none is lost.

SIGTERM makes the unmodified daemon abort the task that it runs, and a task that it has taken from the queue but
not started would be forgotten. So the signal is sent at the one moment that is safe: while the daemon sleeps
after having found its queue empty. On a queue that has work there is no such moment, hence the gate:

1. the task's process ends: the daemon, which looks every half second, is frozen before it has seen that;
2. the queue is closed (see ``queues.Gates``), the daemon thawed: it ends its task properly, logs and status,
   looks into the queue, may not take anything, says so in its log, and sleeps;
3. it is terminated, the queue opened.

Should the daemon have been quicker than step 1, it has a next task, which is then waited for like the first.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

from clearml_hpo.fleet.agent import Agent, runs
from clearml_hpo.fleet.queues import Gates

PATIENCE_S = 10.0
"""How long a daemon may take to end after SIGTERM: it tells the server about its task first."""
IDLE_PATIENCE_S = 6.0
"""How long a daemon that is to leave at once may take to show that it holds no task; longer than a poll period."""


def leave(
    agent: Agent,
    gates: Gates,
    queue: str,
    *,
    at_once: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Ends an agent; yields while there is something to wait for.

    Args:
        agent: which.
        gates: closes and opens queues.
        queue: id of the queue that the agent serves.
        at_once: whether a running task is to be aborted rather than waited for; may turn true meanwhile.
        clock: seconds.
    """
    while agent.alive:
        agent.phase = "leaving"
        yield from _task_has_ended(agent, at_once)
        if runs(agent.task_process()):
            yield from _terminate(agent, clock)  # the daemon itself stops the task and says so on it
            break
        agent.signal(signal.SIGSTOP)
        with gates.hold(queue):
            yield from _nothing_was_found(agent, at_once, clock)
            if not runs(agent.task_process()):
                yield from _terminate(agent, clock)
                break
    agent.ended()


def _task_has_ended(agent: Agent, at_once: Callable[[], bool]) -> Iterator[None]:
    task = agent.task_process()
    while runs(task) and not at_once():
        agent.look()
        yield


def _nothing_was_found(agent: Agent, at_once: Callable[[], bool], clock: Callable[[], float]) -> Iterator[None]:
    agent.look()
    seen, since = agent.tail.idle, clock()
    agent.signal(signal.SIGCONT)
    while agent.alive and agent.tail.idle == seen and not runs(agent.task_process()):
        if at_once() and clock() - since > IDLE_PATIENCE_S:
            return
        yield
        agent.look()


def _terminate(agent: Agent, clock: Callable[[], float]) -> Iterator[None]:
    agent.signal(signal.SIGTERM)
    deadline = clock() + PATIENCE_S
    while agent.alive and clock() < deadline:
        yield
