"""What bench-pruning makes of the studies of all sets."""

from __future__ import annotations

from benchmarks.pruning import PRUNERS, interval, summary


def of_set(name, regret_pct):
    found = {"compute": 0.5, "regret_pct": regret_pct, "best_ended_pct": 10.0}
    return {"set": name, "pruners": dict.fromkeys(PRUNERS, found)}


def test_a_half_has_the_mean_of_its_sets_and_how_far_another_choice_of_sets_could_be_from_it():
    told = summary([of_set("a", 0.0), of_set("b", 4.0), of_set("other", 90.0)], ["a", "b"])["falling"]
    assert told == {"compute": 0.5, "regret_pct": 2.0, "best_ended_pct": 10.0, "regret_interval": (0.0, 4.0)}
    assert summary([of_set("other", 1.0)], ["a"]) == {}


def test_the_interval_narrows_with_the_number_of_values():
    low, high = interval([0.0, 1.0] * 200)
    assert 0.4 < low < 0.5 < high < 0.6
