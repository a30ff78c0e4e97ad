"""Workers and queues over time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from .server_without_sockets import Api, Refused


def period(api: Api, minutes: int = 10, **more: Any) -> dict[str, Any]:
    """The minutes before now, one by one, and the one that has begun."""
    now = int(api.now.timestamp())
    return {"from_date": now - minutes * 60, "to_date": now + 60, "interval": 60, **more}


def later(api: Api, **time: float) -> None:
    api.now += timedelta(**time)


def test_workers_are_counted_while_they_report(api: Api) -> None:
    api.call("workers.register", worker="a")
    api.call("workers.register", worker="b")
    for minute in range(4):
        later(api, minutes=1)
        task = {"task": api.task()} if minute in (1, 2) else {}
        api.call("workers.status_report", worker="a", timestamp=1, **task)
    report = api.call("workers.get_activity_report", **period(api, 6))
    assert report["total"]["dates"] == report["active"]["dates"]
    assert report["total"]["counts"] == [0, 0, 2, 1, 1, 1, 1]
    assert report["active"]["counts"] == [0, 0, 0, 0, 1, 1, 1]
    first, second = report["total"]["dates"][:2]
    assert second - first == 60_000 and first % 60_000 == 0


def test_a_worker_that_was_silent_for_long_was_away(api: Api) -> None:
    api.call("workers.register", worker="a")
    later(api, minutes=5)
    api.call("workers.status_report", worker="a", timestamp=1)
    assert api.call("workers.get_activity_report", **period(api, 6))["total"]["counts"] == [0, 1, 0, 0, 0, 0, 1]


def test_queues_are_looked_at_when_they_change(api: Api) -> None:
    queue, other = api.queue(), api.queue()
    for _ in range(3):
        api.call("tasks.enqueue", task=api.task(), queue=queue)
        later(api, minutes=1)
    api.call("tasks.enqueue", task=api.task(), queue=other)
    later(api, minutes=2)
    api.call("queues.get_next_task", queue=queue)
    [found] = api.call("queues.get_queue_metrics", **period(api, queue_ids=[queue]))["queues"]
    assert (found["queue"], found["queue_lengths"]) == (queue, [1, 2, 3, 2])
    assert [round(each) for each in found["avg_waiting_times"]] == [0, 30, 60, 210]
    [total] = api.call("queues.get_queue_metrics", **period(api))["queues"]
    assert (total["queue"], total["queue_lengths"]) == ("total", [1, 2, 3, 1, 2])
    assert total["dates"][0] % 60_000 == 0


def test_a_queue_is_not_looked_at_more_than_once_a_second(api: Api) -> None:
    queue = api.queue()
    for _ in range(20):
        api.call("tasks.enqueue", task=api.task(), queue=queue)
    seen = api.call("queues.get_queue_metrics", **period(api, queue_ids=[queue]))["queues"][0]["queue_lengths"]
    assert seen == [1]


def test_what_is_old_is_forgotten(api: Api) -> None:
    queue = api.queue()
    api.call("workers.register", worker="a")
    api.call("tasks.enqueue", task=api.task(), queue=queue)
    then = period(api)
    later(api, days=31)
    api.bearer = api.basic  # the token has expired
    api.call("workers.register", worker="b")
    api.call("tasks.enqueue", task=api.task(), queue=queue)
    assert not any(api.call("workers.get_activity_report", **then)["total"]["counts"])
    assert api.call("queues.get_queue_metrics", **then)["queues"][0]["dates"] == []


@pytest.mark.parametrize("odd", [{"interval": 0}, {"interval": 1, "from_date": 0}, {"from_date": -1e9, "to_date": 0}])
def test_odd_periods_are_refused(odd: dict[str, Any], api: Api) -> None:
    for endpoint in ("workers.get_activity_report", "queues.get_queue_metrics"):
        with pytest.raises(Refused) as refused:
            api.call(endpoint, **{**period(api), **odd})
        assert refused.value.code == (400, 12)


def test_a_period_that_ends_before_it_begins_is_refused(api: Api) -> None:
    with pytest.raises(Refused) as refused:
        api.call("queues.get_queue_metrics", **{**period(api), "to_date": 0})
    assert refused.value.code == (400, 16)
