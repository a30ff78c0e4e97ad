"""How long to wait for a server in trouble."""

from __future__ import annotations

import random

import pytest

from clearml_hpo.backend.backoff import Backoff
from clearml_hpo.core.errors import ApiError


def trouble(code=503):
    return ApiError("tasks.get_all", code, 0, "in trouble")


def waits(poll_s, failures, jitter):
    notes: list[str] = []
    backoff = Backoff(poll_s, notes.append, jitter=jitter)
    found = []
    for _ in range(failures):
        backoff.failed(trouble())
        found.append(backoff.wait_s)
    return found, notes


def test_each_wait_is_up_to_twice_as_long_up_to_a_minute():
    found, _ = waits(2.0, 8, lambda: 1.0)
    assert found == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0]


def test_controllers_that_lost_the_same_server_do_not_come_back_at_once():
    early, _ = waits(2.0, 8, lambda: 0.0)
    assert early == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    drawn = {tuple(waits(2.0, 5, random.Random(seed).random)[0]) for seed in range(20)}
    assert len(drawn) == 20


def test_a_poll_period_of_minutes_is_never_shortened():
    found, _ = waits(300.0, 3, lambda: 0.0)
    assert found == [300.0] * 3


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_trouble_is_waited_out(code):
    backoff = Backoff(1.0, lambda text: None)
    backoff.failed(trouble(code))
    assert backoff.wait_s >= 1.0


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_a_refusal_is_raised_again(code):
    error = trouble(code)
    with pytest.raises(ApiError) as raised:
        Backoff(1.0, lambda text: None).failed(error)
    assert raised.value is error


def test_after_an_answer_all_is_as_before():
    notes: list[str] = []
    backoff = Backoff(2.0, notes.append, jitter=lambda: 1.0)
    for _ in range(3):
        backoff.failed(trouble())
    backoff.succeeded()
    assert backoff.wait_s == 2.0
    assert notes[-1] == "the server answers again"
    backoff.succeeded()
    backoff.failed(trouble())
    backoff.succeeded()
    assert backoff.wait_s == 2.0 and notes.count("the server answers again") == 1, "one failure is no outage"


def test_an_outage_of_hours_is_said_now_and_then():
    found, notes = waits(2.0, 120, lambda: 1.0)
    assert sum(found) > 3600
    assert 10 < len(notes) < 25
    assert notes[0].endswith("in trouble; asking again in 4 s")
