"""Sends messages in the background, so that nothing waits for a receiver."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from clearml_hpo.notify.channels import THREAD, Channel, NotSentError
from clearml_hpo.notify.events import Message

_WAITS_S = (1.0, 5.0)
"""Waits before a message that did not go is tried once more, and another time."""

_MOST = 20  # messages that wait; older ones are dropped


class Outbox:
    """Sends to one channel, in a thread of its own that begins with the first message."""

    def __init__(self, channel: Channel) -> None:
        self._name = channel.name
        self._channel = channel
        self._waiting: queue.Queue[Message | None] = queue.Queue(_MOST)
        self._thread = threading.Thread(target=self._run, name=f"{THREAD} {channel.name}", daemon=True)
        self._trouble = ""  # of the last attempt
        self._fault = ""
        self._is_said = False

    def put(self, message: Message | None) -> None:
        """Has a message sent; None ends the thread. If many wait, the oldest is dropped."""
        if self._waiting.full():
            with suppress(queue.Empty):
                self._waiting.get_nowait()
        self._waiting.put_nowait(message)
        if not self._thread.ident:
            self._thread.start()

    def close(self, until: float) -> None:
        """Waits for what is being sent, ``until`` a time of the monotonic clock."""
        if not self._thread.ident:
            return
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._fault = self._fault or self._trouble or "no answer in time"

    def fault(self) -> str:
        """Why a message did not go, the first time that one did not; else empty."""
        if not self._fault or self._is_said:
            return ""
        self._is_said = True
        return f"notifications by {self._name} do not arrive: {self._fault}"

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            for wait_s in (0.0, *_WAITS_S):
                time.sleep(wait_s)
                self._trouble, is_final = _tried(self._channel, message)
                if is_final:
                    break
            self._fault = self._fault or self._trouble


def _tried(channel: Channel, message: Message) -> tuple[str, bool]:
    """Sends a message: why it did not go, or empty; and whether trying again is of no use."""
    try:
        channel.send(message)
    except NotSentError as error:
        return str(error), error.is_final
    except Exception as error:  # of whatever kind: its text may hold a secret
        return type(error).__name__, True
    return "", True


def try_channels(channels: Iterable[Channel], message: Message) -> Iterator[tuple[str, str]]:
    """Sends a message by each channel at once, and once only; yields each one's name, and why it did not go."""
    chosen = [*channels]
    with ThreadPoolExecutor(max(1, len(chosen)), thread_name_prefix=THREAD) as pool:
        faults = pool.map(lambda channel: _tried(channel, message)[0], chosen)
        yield from zip((channel.name for channel in chosen), faults, strict=True)
