from __future__ import annotations

from clearml_hpo.fleet.restarts import GIVE_UP_AFTER, LONGEST_DELAY_S, QUICK_S, Restarts


def _after(*lives_s: float) -> Restarts:
    restarts = Restarts()
    for lived_s in lives_s:
        restarts = restarts.after(lived_s)
    return restarts


def test_a_first_death_is_followed_by_a_quick_restart() -> None:
    assert _after(3600).delay_s == 1
    assert _after(0).delay_s == 1


def test_the_delay_doubles_with_each_quick_death() -> None:
    assert [_after(*[0.0] * n).delay_s for n in (1, 2, 3, 4)] == [1, 2, 4, 8]


def test_the_delay_is_bounded() -> None:
    assert _after(*[0.0] * 30).delay_s == LONGEST_DELAY_S


def test_given_up_after_quick_deaths_in_a_row() -> None:
    assert not _after(*[0.0] * (GIVE_UP_AFTER - 1)).given_up
    assert _after(*[0.0] * GIVE_UP_AFTER).given_up


def test_a_life_of_some_length_starts_the_count_again() -> None:
    restarts = _after(*[0.0] * (GIVE_UP_AFTER - 1), QUICK_S, 0.0)
    assert not restarts.given_up
    assert restarts.total == GIVE_UP_AFTER + 1
