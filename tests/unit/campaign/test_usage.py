"""How busy the resources of a campaign were, whatever has interrupted it."""

from __future__ import annotations

import pytest

from clearml_hpo.backend.campaigns import CampaignRecord, Run
from clearml_hpo.campaign.usage import most_at_once, use_of


def ran(start, end, worker="w", study="s"):
    return Run("t", study, 0, 1, "gpu0", worker, "completed", start, end)


def use(runs, *, takes=1, driven=((0.0, 100.0),), work_until=None):
    return use_of("gpu0", runs, takes=takes, models={"s": "xgb", "r": "cat"}, driven=driven, work_until=work_until)


def test_how_many_ran_at_once():
    assert most_at_once([]) == 0
    assert most_at_once([ran(0, 5), ran(5, 9), ran(None, None)]) == 1
    assert most_at_once([ran(0, 5), ran(4, None), ran(6, 7)]) == 2


def test_busy_is_what_ran_while_there_was_work():
    found = use([ran(10, 40), ran(40, 60, study="r"), ran(None, None)])
    assert (found.trials, found.busy_s, found.work_s, found.busy_share) == (2, 50.0, 100.0, 0.5)
    assert found.trials_of_model == {"xgb": 1, "cat": 1}
    assert use([ran(10, 40), ran(40, 60)], work_until=60.0).busy_share == pytest.approx(50 / 60)
    assert use([ran(10, 40), ran(40, 60)], takes=2).busy_share == 0.25
    assert use([]).busy_share == use([], driven=()).busy_share == 0.0


def test_a_pause_is_no_idleness_and_what_was_lost_in_it_is_not_busy():
    driven = [(0.0, 50.0), (1000.0, 1050.0)]
    lost, again = ran(40, 1001), ran(1001, 1050)  # nobody saw its end before the campaign went on
    found = use([ran(0, 40), lost, again], driven=driven)
    assert (found.busy_s, found.work_s, found.busy_share) == (100.0, 100.0, 1.0)


def test_what_still_runs_is_busy_for_as_long_as_the_campaign_is_seen_to_be_driven():
    assert use([ran(20, None)]).busy_share == 0.8


def test_a_queue_takes_as_many_as_workers_have_served_it_together():
    first, second = [ran(0, 10, "a"), ran(30, 40, "a")], [ran(15, 20, "b")]
    assert use([*first, *second], takes=None).takes == 2, "the first one was there all the time"
    assert use([ran(0, 10, "a"), ran(10, 20, "b"), ran(20, 30, "c")], takes=None).takes == 1, "each replaces another"
    assert use([], takes=None).takes == 1


def test_when_a_campaign_was_driven():
    now = {"holder": "", "driven_s": "95.5"}  # it has ended
    record = CampaignRecord(*"abcdefg", sessions=[(100.0, 0.0), (1000.0, 30.0), (2000.0, 80.0)], properties=now)
    assert record.driven == [(100.0, 130.0), (1000.0, 1050.0), (2000.0, 2015.5)]
    holder = "host pid 1 since 1970-01-01T00:33:20.000+00:00 #x-1"  # 2000 s
    record = CampaignRecord(*"abcdefg", sessions=record.sessions, properties={"holder": holder, "driven_s": "80"})
    assert record.driven_s > 10**6, "no sign of life is known"
    record = CampaignRecord(
        *"abcdefg",
        sessions=record.sessions,
        properties={"holder": holder, "driven_s": "80"},
        updated_at=2033.0,
    )
    assert record.driven[-1] == (2000.0, 2033.0)
