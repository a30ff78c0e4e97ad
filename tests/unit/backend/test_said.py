"""What a controller says, sent to a server that refuses it."""

from __future__ import annotations

import pytest

from clearml_hpo.backend.console_log import ConsoleLog
from clearml_hpo.core.errors import ApiError


class Console:
    """A task whose console takes lines, or refuses them as that of a published one does."""

    def __init__(self):
        self.calls, self.lines, self.refuses = 0, [], True

    def report(self, *, log):
        self.calls += 1
        if self.refuses:
            raise ApiError("events.add_batch", 400, 131, "Events not added")
        self.lines += [text for _, text in log]


def test_what_is_refused_is_sent_again_after_a_while():
    now, console = [1_000.0], Console()
    said = ConsoleLog(console, clock=lambda: now[0])
    said.add("a line")
    now[0] += 16
    with pytest.raises(ApiError):
        said.send()
    said.send()  # a campaign does so four times a second
    assert console.calls == 1
    console.refuses, now[0] = False, now[0] + 16
    said.send()
    assert console.lines == ["a line"]
