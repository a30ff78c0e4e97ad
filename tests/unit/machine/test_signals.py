"""Signals that ask for an end: which are heard, by whom, and how often one wish counts."""

from __future__ import annotations

import os
import signal
import time

import pytest

from clearml_hpo.cli.driving import stop_on_signals
from clearml_hpo.machine import signals


@pytest.fixture(autouse=True)
def as_before():
    before = {number: signal.getsignal(number) for number in signals.ENDS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", signals.ENDS)
def test_each_signal_is_heard_within_the_block_alone(number):
    heard, before = [], signal.getsignal(number)
    with signals.handled({number: lambda: heard.append(number)}):
        os.kill(os.getpid(), number)
    assert heard == [number]
    assert signal.getsignal(number) is before


def test_sighup_stays_ignored_under_nohup():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals.handled(dict.fromkeys(signals.ENDS, signals.interrupt)):
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("first", signals.ENDS)
def test_two_signals_within_a_second_are_one_wish(first, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with stop_on_signals() as stopped:
        os.kill(os.getpid(), first)
        assert stopped.is_set()
        now += 0.3
        os.kill(os.getpid(), signal.SIGINT)
        now += 1.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
