"""Scalars, single values, console, plots."""

from __future__ import annotations

import json
import math
from hashlib import md5
from typing import Any

import pytest

from .server_without_sockets import Api, Refused

SINGLE = -(2**31)


def last(api: Api, task: str, metric: str = "m", variant: str = "v") -> dict[str, Any]:
    hashes = [md5(name.encode()).hexdigest() for name in (metric, variant)]
    found: dict[str, Any] = api.get(task)["last_metrics"][hashes[0]][hashes[1]]
    return found


def curve(api: Api, task: str, **request: Any) -> tuple[list[Any], list[float]]:
    points = api.call("events.scalar_metrics_iter_histogram", task=task, **request)["m"]["v"]
    return points["x"], points["y"]


def test_last_metrics(api: Api) -> None:
    task = api.task()
    api.report(task, (1, 1.5))
    # The last one reported, not the one of the highest iteration; a re-report counts again.
    api.report(task, (2, -1.0), (0, 3.0), (2, 1.5), (0, 7.0))
    assert last(api, task) == {
        **{"metric": "m", "variant": "v", "value": 7.0, "count": 5, "mean_value": 2.4},
        **{"min_value": -1.0, "min_value_iteration": 2, "max_value": 7.0, "max_value_iteration": 0},
        **{"first_value": 1.5, "first_value_iteration": 1},
    }
    assert api.get(task)["last_iteration"] == 2


def test_a_later_scalar_overwrites(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 1.0), (1, 2.0))
    api.report(task, (1, 5.0))
    assert curve(api, task) == ([0, 1], [1.0, 5.0])


def test_histograms_are_single_precision_and_last_metrics_double(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 0.04))
    assert curve(api, task)[1] == [0.03999999910593033]
    assert last(api, task)["value"] == 0.04


def test_histograms_are_thinned(api: Api) -> None:
    task = api.task()
    api.report(task, *((i, 1 / (i + 1)) for i in range(50)))
    x, y = curve(api, task, samples=10)
    assert x == list(range(0, 50, 5))
    assert y[0] == pytest.approx(0.45666667)
    assert len(curve(api, task, samples=0)[0]) == 50


def test_a_single_value_is_no_iteration(api: Api) -> None:
    task = api.task()
    api.report(task, (SINGLE, 3.25), metric="Summary", variant="best")
    assert last(api, task, "Summary", "best")["value"] == 3.25
    assert api.get(task)["last_iteration"] == 0
    assert api.call("events.scalar_metrics_iter_histogram", task=task) == {}
    [found] = api.call("events.get_task_single_value_metrics", tasks=[task])["tasks"]
    assert [(value["variant"], value["value"]) for value in found["values"]] == [("best", 3.25)]


def test_nan_and_infinity_stay(api: Api) -> None:
    task = api.task()
    api.report(task, (0, math.nan), (1, math.inf), (2, 1.0))
    x, y = curve(api, task)
    assert x == [0, 1, 2] and math.isnan(y[0]) and y[1:] == [math.inf, 1.0]
    found = last(api, task)
    assert (found["min_value"], found["max_value"], found["value"]) == (1.0, math.inf, 1.0)
    assert math.isnan(found["first_value"]) and math.isnan(found["mean_value"])


def test_an_unknown_task_refuses_only_its_own_events(api: Api) -> None:
    task = api.task()
    with pytest.raises(Refused, match="Events not added: Invalid task id 0=1") as error:
        api.report("0", (0, 1.0))
    assert error.value.code == (400, 131)
    lines = [{"type": "log", "task": each, "msg": "x"} for each in (task, "0")]
    answer = api.send("/events.add_batch", "\n".join(map(json.dumps, lines)).encode(), "application/json-lines")
    assert answer == {"added": 1, "errors": 1, "errors_info": {"Invalid task id 0": 1}}


def test_scalars_of_many_tasks_side_by_side(api: Api) -> None:
    tasks = [api.task(name=f"task number {i}") for i in range(30)]
    for number, task in enumerate(tasks):
        api.report(task, (0, float(number)))
    found = api.call("events.multi_task_scalar_metrics_iter_histogram", tasks=tasks, key="iter")["metrics"]["m"]["v"]
    assert {task: found[task]["y"] for task in tasks} == {task: [float(i)] for i, task in enumerate(tasks)}
    assert found[tasks[3]]["name"] == "task number 3"


def log(api: Api, task: str, messages: list[tuple[int, str]]) -> None:
    lines = [{"type": "log", "task": task, "timestamp": moment, "msg": text} for moment, text in messages]
    api.send("/events.add_batch", "\n".join(map(json.dumps, lines)).encode(), "application/json-lines")


def test_console_forwards_and_backwards(api: Api) -> None:
    task = api.task()
    log(api, task, [(10, "a"), (20, "b"), (20, "c"), (30, "d")])

    def page(**request: Any) -> str:
        answer = api.call("events.get_task_log", task=task, **request)
        assert answer["total"] == 4
        return "".join(event["msg"] for event in answer["events"])

    assert page() == "dcba"
    assert page(order="asc") == "abcd"
    assert page(navigate_earlier=False) == "abcd"
    # Events of one moment are not parted: the next call starts beyond it.
    assert page(navigate_earlier=False, batch_size=2) == "abc"
    assert page(navigate_earlier=False, batch_size=2, from_timestamp=20) == "d"
    assert page(batch_size=2, order="asc") == "bcd"
    assert page(batch_size=2, from_timestamp=20) == "a"


def test_plots_of_the_last_iterations(api: Api) -> None:
    task = api.task()
    for i in range(3):
        api.call("events.add", type="plot", task=task, metric="p", variant="v", iter=i, plot_str="{}")
    plots = api.call("events.get_task_plots", task=task, iters=2, no_scroll=True)
    assert [plot["iter"] for plot in plots["plots"]] == [1, 2]
    assert plots["scroll_id"] is None


def test_all_scalar_events_part_by_part(api: Api) -> None:
    task = api.task()
    api.report(task, *((i, float(i)) for i in range(7)))
    found, scroll = [], None
    while True:
        answer = api.call("events.get_task_events", task=task, batch_size=3, scroll_id=scroll)
        assert answer["total"] == 7
        if not answer["events"]:
            break
        found += [event["value"] for event in answer["events"]]
        scroll = answer["scroll_id"]
    assert found == [0, 1, 2, 3, 4, 5, 6]


def test_a_console_is_read_in_parts(api: Api) -> None:
    task = api.task()
    for number in range(5):
        api.call("events.add", type="log", task=task, msg=str(number), timestamp=number // 2)
    parts, scroll = [], None
    while True:
        answer = api.call("events.get_task_events", task=task, event_type="log", batch_size=2, scroll_id=scroll)
        if not answer["events"]:
            break
        parts.append("".join(event["msg"] for event in answer["events"]))
        scroll = answer["scroll_id"]
    assert (parts, answer["total"]) == (["01", "23", "4"], 5)
