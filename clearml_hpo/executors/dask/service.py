"""``clearml-hpo dask worker``: Dask workers on this machine, from their start until all of them have left.

A worker that dies is started again by its nanny. If the scheduler goes, its workers finish their trials and end; new
ones wait for a scheduler at the same place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Nanny
from distributed.core import Status

from clearml_hpo.executors.dask.cluster import security_of
from clearml_hpo.executors.dask.plan import Tls
from clearml_hpo.executors.dask.slots import SlotNanny, groups_of, worker_options
from clearml_hpo.workers.slots import Slot

_LOOK_S = 0.5
"""Pause between two looks at the workers."""
_AGAIN_S = 5.0
"""The time between two tries to reach a scheduler."""
_IDLE_LOOK_S = 2.0
"""How often workers are asked whether they are idle, if that matters."""
_CONNECT_S = 15.0
"""How long a new worker waits for the scheduler."""


@dataclass(frozen=True)
class Serving:
    """What is served, and where.

    Attributes:
        where: the arguments of a nanny that say where the scheduler is: ``scheduler_ip`` or ``scheduler_file``.
        scheduler: the same in messages.
        slots: of the workers; see ``groups_of``.
        name: of the only worker, or what the names of several begin with.
        resources: what each worker has, besides a GPU.
        drain_s: how long trials may go on after the first signal; infinity: until they end.
        idle_s: the workers leave after so long without a trial; None: never.
    """

    where: Mapping[str, str]
    scheduler: str
    slots: Sequence[Slot]
    name: str
    resources: Mapping[str, float] = field(default_factory=dict)
    tls: Tls | None = None
    drain_s: float = float("inf")
    idle_s: float | None = None


class Service:
    """Workers of one machine. Signals call :meth:`ask_to_end`."""

    def __init__(self, serving: Serving, say: Callable[[str], None]) -> None:
        """Starts nothing yet; ``say`` prints a line for the user."""
        self._serving = serving
        self._say = say
        self._nannies: list[Nanny] = []
        self._pids: dict[Any, int | None] = {}
        self._asked = 0
        self._idle_since: float | None = None

    def ask_to_end(self) -> None:
        """Once: no more trials, those that run go on. Twice: those end too, and count as lost."""
        self._asked += 1

    async def run(self) -> bool:
        """Serves until all have left; False if trials had to be ended."""
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said here, in a line
        self._say(f"looking for the Dask scheduler at {self._serving.scheduler}")
        is_there, alone_since = True, time.monotonic()
        while not self._asked:
            try:
                await self._unless_asked(self._start())
            except (OSError, TimeoutError, RuntimeError) as error:
                if is_there:
                    self._say(f"no Dask scheduler answers at {self._serving.scheduler} yet ({_short(error)}): waiting")
                is_there = False
                await self._close()
                await self._sleep(_AGAIN_S)
                if self._serving.idle_s is not None and time.monotonic() - alone_since >= self._serving.idle_s:
                    self._say("no scheduler for a while: leaving")
                    break
                continue
            if self._asked:
                break
            self._say(f"{len(self._serving.slots)} slot(s) at {self._serving.scheduler}; Ctrl-C to leave")
            is_there = True
            if await self._until_gone_or_asked():
                self._say(
                    f"the Dask scheduler at {self._serving.scheduler} is gone: trials that ran have ended; waiting"
                )
                is_there, alone_since = False, time.monotonic()
        is_drained = await self._drain()
        await self._close()
        return is_drained

    async def _unless_asked(self, work: Coroutine[Any, Any, None]) -> None:
        """Does it, until this is asked to end."""
        task = asyncio.ensure_future(work)
        while not task.done() and not self._asked:
            await asyncio.wait([task], timeout=_LOOK_S)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            return
        await task

    async def _start(self) -> None:
        file = self._serving.where.get("scheduler_file")
        if file is not None and not Path(file).is_file():
            raise FileNotFoundError(f"there is no file {file}")
        serving, groups = self._serving, groups_of(self._serving.slots)
        more = {"security": security_of(serving.tls), "death_timeout": _CONNECT_S}
        self._nannies = [
            SlotNanny(
                **serving.where,
                **worker_options(
                    slots, f"{serving.name}-{end}" if len(groups) > 1 else serving.name, serving.resources, **more
                ),
            )
            for end, slots in groups.items()
        ]
        await asyncio.gather(*(_started(nanny) for nanny in self._nannies))
        self._pids = {nanny.name: nanny.pid for nanny in self._nannies}

    async def _until_gone_or_asked(self) -> bool:
        """True if the workers have left by themselves, as they do when the scheduler is gone."""
        self._idle_since, idle_at = None, 0.0
        while not self._asked:
            self._nannies = [nanny for nanny in self._nannies if nanny.status not in _OVER]
            if not self._nannies:
                return True
            self._say_restarts()
            if self._serving.idle_s is not None and time.monotonic() >= idle_at:
                idle_at = time.monotonic() + _IDLE_LOOK_S
                if all(await self._ask("trials_idle_for", seconds=self._serving.idle_s)):
                    self._say("no trial for a while: leaving")
                    self._asked += 1
            await asyncio.sleep(_LOOK_S)
        return False

    def _say_restarts(self) -> None:
        for nanny in self._nannies:
            if (pid := nanny.pid) is not None and pid != self._pids.get(nanny.name):
                self._say(f"Dask worker {nanny.name} has died, and was started again; what it ran is lost")
                self._pids[nanny.name] = pid

    async def _drain(self) -> bool:
        """Lets trials end; True if none had to be ended."""
        ending = asyncio.ensure_future(self._ask("leave_trials"))
        ends_at, asked = time.monotonic() + self._serving.drain_s, self._asked
        said = False
        while not ending.done() and self._asked == asked and time.monotonic() < ends_at:
            await asyncio.wait([ending], timeout=_LOOK_S)
            if not said and not ending.done():
                self._say("waiting for running trials; Ctrl-C or SIGTERM again ends them")
                said = True
        if ending.done():
            return True
        ending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ending
        await self._ask("end_trials")
        return False

    async def _ask(self, operation: str, **given: Any) -> list[Any]:
        """What the workers answer; those that are gone do not count."""
        answers = await asyncio.gather(*(_answer(nanny, operation, given) for nanny in self._nannies))
        return [answer for answer in answers if answer is not None]

    async def _close(self) -> None:
        await asyncio.gather(*(nanny.close() for nanny in self._nannies), return_exceptions=True)
        self._nannies = []

    async def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._asked and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)


_OVER = (Status.closed, Status.closing, Status.failed)


async def _started(nanny: Awaitable[Any]) -> None:
    await nanny


async def _answer(nanny: Nanny, operation: str, given: Mapping[str, Any]) -> Any:
    if nanny.worker_address is None:
        return None
    try:
        async with nanny.rpc(nanny.worker_address) as worker:
            return await getattr(worker, operation)(**given)
    except OSError:
        return None


def _short(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
