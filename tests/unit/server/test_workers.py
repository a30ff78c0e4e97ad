"""Workers found by their tags, and what they say of their machines."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from .server_without_sockets import Api, Refused

STATS = {
    "cpu_usage": [10.0, 30.0],
    "gpu_usage": [50.0, 70.0],
    "memory_used": 100,
    "odd": "text",
    "empty": [],
    "n": None,
}


def report(api: Api, worker: str = "w:0", **stats: Any) -> None:
    api.call("workers.status_report", worker=worker, timestamp=1, machine_stats={**STATS, **stats})


def stats(api: Api, *items: tuple[str, str], **request: Any) -> list[dict[str, Any]]:
    now = api.now.timestamp()
    asked = [{"key": key, "aggregation": aggregation} for key, aggregation in items]
    period = {"from_date": now - 3600, "to_date": now + 60, "interval": 60}
    found: list[dict[str, Any]] = api.call("workers.get_stats", **{**period, "items": asked, **request})["workers"]
    return found


def test_statistics_in_steps(api: Api) -> None:
    for used in (100, 300):
        report(api, memory_used=used)
    api.now += timedelta(minutes=5)
    report(api, memory_used=700)
    [worker] = stats(api, ("memory_used", "avg"), ("memory_used", "max"), ("cpu_usage", "min"))
    cpu, memory = worker["metrics"]
    assert (worker["worker"], cpu["metric"], memory["metric"]) == ("w:0", "cpu_usage", "memory_used")
    assert cpu["stats"] == [{"aggregation": "min", "values": [20.0, 20.0]}]
    assert memory["stats"] == [
        {"aggregation": "avg", "values": [200.0, 700.0]},
        {"aggregation": "max", "values": [300.0, 700.0]},
    ]
    first, second = memory["dates"]
    assert second - first == 300_000 and first % 60_000 == 0


def test_statistics_of_each_card(api: Api) -> None:
    report(api)
    [together] = stats(api, ("gpu_usage", "avg"))[0]["metrics"]
    assert together["stats"][0]["values"] == [60.0] and "variant" not in together
    each = stats(api, ("gpu_usage", "avg"), split_by_variant=True)[0]["metrics"]
    assert [(card["variant"], card["stats"][0]["values"]) for card in each] == [("0", [50.0]), ("1", [70.0])]


def test_statistics_of_some_workers_and_what_there_is(api: Api) -> None:
    report(api)
    report(api, "w:1", memory_used=None)
    assert [each["worker"] for each in stats(api, ("cpu_usage", "avg"))] == ["w:0", "w:1"]
    assert [each["worker"] for each in stats(api, ("cpu_usage", "avg"), worker_ids=["w:1"])] == ["w:1"]
    assert api.call("workers.get_metric_keys", worker_ids=["w:1"])["categories"] == [
        {"name": "cpu", "metric_keys": ["cpu_usage"]},
        {"name": "gpu", "metric_keys": ["gpu_usage"]},
    ]


def test_statistics_are_kept_for_two_days(api: Api) -> None:
    report(api)
    api.now += timedelta(days=2, minutes=1)
    report(api, "w:1")
    everything = {"from_date": api.now.timestamp() - 3 * 86400, "to_date": api.now.timestamp() + 60}
    assert [each["worker"] for each in stats(api, ("memory_used", "avg"), **everything)] == ["w:1"]


def test_an_unknown_aggregation_is_the_clients_fault(api: Api) -> None:
    with pytest.raises(Refused, match="one of avg, min, max") as error:
        stats(api, ("memory_used", "median"))
    assert error.value.code == (400, 12)


def test_steps_longer_than_time(api: Api) -> None:
    report(api)
    assert stats(api, ("memory_used", "avg"), interval=2**62) == []


def test_workers_are_found_by_their_tags(api: Api) -> None:
    for worker, tags in (("w:0", ["a", "b"]), ("w:1", ["b"]), ("w:2", [])):
        api.call("workers.register", worker=worker, tags=tags)
    api.call("workers.status_report", worker="w:2", timestamp=1, tags=["c"], system_tags=["s"])

    def found(**request: Any) -> list[str]:
        return [worker["id"] for worker in api.call("workers.get_all", **request)["workers"]]

    assert found() == ["w:0", "w:1", "w:2"]
    assert found(tags=["a", "c"]) == ["w:0", "w:2"]
    assert found(tags=["-b"]) == found(system_tags=["s"]) == ["w:2"]
