from __future__ import annotations

import socket
import threading

from clearml_hpo.workers.warm.channel import Channel


def _pair() -> tuple[Channel, Channel]:
    here, there = socket.socketpair()
    return Channel(here), Channel(there)


def test_messages_arrive_whole_and_in_order() -> None:
    here, there = _pair()
    long = {f"NAME{i}": "value \udc80\n" * 100 for i in range(2000)}
    sends = threading.Thread(target=lambda: (here.send(a=1), here.send(environ=long)))
    sends.start()
    found = there.received(wait=True)
    while len(found) < 2:
        found += there.received(wait=True)
    sends.join()
    assert found == [{"a": 1}, {"environ": long}]
    assert there.received() == [] and not there.closed


def test_the_other_end_is_gone() -> None:
    here, there = _pair()
    here.send(last="word")
    here.close()
    assert there.received(wait=True) == [{"last": "word"}]
    assert there.received(wait=True) == [] and there.closed
    there.send(too="late")
