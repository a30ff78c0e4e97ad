"""What ``--local`` starts and stops: the embedded server and, with ``--agents``, agents on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clearml_hpo import fleet
from clearml_hpo.machine.settings import ServerAddress, Settings
from clearml_hpo.server import process as server_process


@contextmanager
def embedded_server(settings: Settings, say: Callable[[str], None]) -> Iterator[ServerAddress]:
    """The embedded server, for at least as long as the block lasts.

    One that runs already is used. It ends with the last run that uses it, unless it was started to stay.
    """
    data_dir = settings.home / "server"
    server = server_process.start(data_dir, with_parent=True)
    say(f"embedded server: {server.address.web} (data in {data_dir})")
    fleet.lose_tasks_of_killed_runs(server.address)
    try:
        yield server.address
    finally:
        server_process.release(data_dir)


@contextmanager
def local_agents(
    settings: Settings, server: ServerAddress, queue: str, count: int, say: Callable[[str], None]
) -> Iterator[str]:
    """``count`` agents that serve a queue of their own for as long as the block lasts.

    Runs at the same time share the server; on a shared queue their agents would take each other's trials, and abort
    them at their end. Yields the name of the queue, which is made from ``queue`` and is removed at the end.
    """
    own = f"{queue}-local-{os.getpid()}"
    slots = fleet.default_slots(own, count)
    name = f"run-{os.getpid()}"
    say(f"starting {len(slots)} agent{'' if len(slots) == 1 else 's'} for queue {own!r}")
    fleet.forget_queue(server, own)  # one that a killed run of the same pid has left
    try:
        fleet.up(settings.home, server, slots, name=name, with_parent=True)
        yield own
    finally:
        try:
            fleet.down(settings.home, name=name, now=True)
        finally:
            fleet.forget_queue(server, own)
