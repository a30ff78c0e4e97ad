from __future__ import annotations

import socket
import threading

from clearml_hpo.workers.wakeup import Wakeup

_LONG_S = 600.0


def test_it_ends_a_wait_that_has_begun_or_begins_later() -> None:
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    wakeup.wait(_LONG_S)
    waits = threading.Thread(target=wakeup.wait, args=(_LONG_S,))
    waits.start()
    wakeup.set()
    waits.join(60)
    assert not waits.is_alive()


def test_something_to_read_ends_a_wait() -> None:
    wakeup = Wakeup()
    here, there = socket.socketpair()
    with here, there:
        there.send(b"a word")
        wakeup.wait(_LONG_S, [here.fileno()])


def test_more_rings_than_anybody_hears_and_rings_for_nobody() -> None:
    wakeup = Wakeup()
    for _ in range(100_000):
        wakeup.set()
    wakeup.wait(_LONG_S)
    wakeup.close()
    wakeup.set()
