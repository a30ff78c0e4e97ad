"""Prepares a Dask worker for trials: ``dask worker ... --preload clearml_hpo.executors.dask.preload``.

A worker without it is prepared by the first controller that finds it.
"""

from __future__ import annotations

import asyncio
import signal

from distributed import Worker

from clearml_hpo.executors.dask.trials import TrialPlace


async def dask_setup(worker: Worker) -> None:
    """Called by Dask before the worker registers with its scheduler.

    The worker answers to its nanny then: ``leave_trials``, ``end_trials`` and ``trials_idle_for``. Ctrl-C in a
    terminal, and SIGTERM of a batch system, reach this process too. It leaves the answer to its nanny, which ends it.
    """
    place = TrialPlace.of(worker)
    if worker.nanny is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _ignored)  # no SIG_IGN: programs that it starts would inherit that

    async def leave_trials() -> str:
        await place.leave()
        return "OK"

    async def end_trials() -> str:
        await asyncio.to_thread(place.close)
        return "OK"

    async def trials_idle_for(seconds: float) -> bool:
        return place.is_idle_for(seconds)

    worker.handlers.update(leave_trials=leave_trials, end_trials=end_trials, trials_idle_for=trials_idle_for)


def _ignored(*_: object) -> None: ...


async def dask_teardown(worker: Worker) -> None:
    """Called by Dask when the worker ends, also because it was retired: its trials end first."""
    await TrialPlace.of(worker).leave()
