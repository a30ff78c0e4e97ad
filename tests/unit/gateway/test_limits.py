"""How often a token and a project may call."""

from __future__ import annotations

import pytest

from clearml_hpo.gateway.auth import Kind, Principal, Rights
from clearml_hpo.gateway.limits import Limits, Pace
from clearml_hpo.gateway.service import LimitError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def who(token: str = "t", project: str = "p") -> Principal:
    return Principal(token, Kind.HOPAAS, "o", project, Rights.parse(["worker"]), 1e12)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock) -> Limits:
    return Limits({"ask": Pace(1.0, 10), "report": Pace(50.0, 10)}, longest_wait_s=30, clock=clock)


def test_a_burst_goes_through_then_each_waits_for_its_turn(limits):
    assert [limits.reserve("ask", who()) for _ in range(10)] == [0] * 10
    assert [limits.reserve("ask", who()) for _ in range(3)] == [1, 2, 3]


def test_who_would_wait_too_long_is_refused_and_does_not_count(limits, clock):
    for _ in range(40):
        limits.reserve("ask", who())
    for _ in range(5):
        with pytest.raises(LimitError, match="1 a second are allowed") as error:
            limits.reserve("ask", who())
        assert error.value.retry_s == pytest.approx(31)
    clock.now = 1.0
    assert limits.reserve("ask", who()) == pytest.approx(30)


def test_a_burst_comes_back_with_time(limits, clock):
    for _ in range(15):
        limits.reserve("ask", who())
    clock.now = 100.0
    assert [limits.reserve("ask", who()) for _ in range(11)] == [0] * 10 + [1]


def test_kinds_and_tokens_do_not_disturb_each_other(limits):
    for _ in range(10):
        limits.reserve("ask", who())
    assert limits.reserve("report", who()) == 0
    assert limits.reserve("ask", who("other")) == 0
    assert limits.reserve("ask", who()) == 1


def test_a_project_has_ten_times_as_much(limits):
    waits = [limits.reserve("ask", who(f"t{number}")) for number in range(120)]
    assert waits[:10] == [0] * 10
    # every token is new; what makes them wait is their project
    assert sum(wait > 0 for wait in waits) > 0
    assert limits.reserve("ask", who("t", "other")) == 0


def test_what_is_over_is_forgotten(limits, clock, monkeypatch):
    monkeypatch.setattr("clearml_hpo.gateway.limits._MOST_KEYS", 50)
    for number in range(1000):
        clock.now += 5
        limits.reserve("ask", who(f"t{number}", f"p{number}"))
    assert len(limits._due) <= 52
