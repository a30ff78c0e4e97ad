from __future__ import annotations

import socket
import threading

from clearml_hpo.workers.bell import Bell

_LONG_S = 600.0


def test_it_ends_a_wait_that_has_begun_or_begins_later() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    bell.wait(_LONG_S)
    waits = threading.Thread(target=bell.wait, args=(_LONG_S,))
    waits.start()
    bell.ring()
    waits.join(60)
    assert not waits.is_alive()


def test_something_to_read_ends_a_wait() -> None:
    bell = Bell()
    here, there = socket.socketpair()
    with here, there:
        there.send(b"a word")
        bell.wait(_LONG_S, [here.fileno()])


def test_more_rings_than_anybody_hears_and_rings_for_nobody() -> None:
    bell = Bell()
    for _ in range(100_000):
        bell.ring()
    bell.wait(_LONG_S)
    bell.close()
    bell.ring()
