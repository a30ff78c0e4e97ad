"""Signals that ask for an end: which are heard, by whom, and how often one wish counts."""

from __future__ import annotations

import os
import signal
import time

import pytest

from clearml_hpo.cli.worker import _Stops
from clearml_hpo.driving.interrupts import stop_on_signals
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
        assert stopped.wait()
        now += 0.3
        os.kill(os.getpid(), signal.SIGINT)
        now += 1.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.timeout(30)
def test_a_signal_that_interrupts_whoever_holds_the_events_lock_is_heard():
    """``Event.set`` in the handler would wait for the thread that it interrupts."""
    with stop_on_signals() as stopped:
        with stopped._cond:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait()


@pytest.mark.timeout(30)
def test_a_worker_hears_of_one_likewise():
    stops = _Stops()
    with signals.handled({signal.SIGTERM: stops.ask}):
        with stops.asked._cond:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stops.asked.wait() and stops.count == 1
