"""Scalars as curves, as points and as single values."""

from __future__ import annotations

from typing import Any

import pytest

from .server_without_sockets import Api, Refused

SINGLE = -(2**31)
CURVES = ("scalar_metrics_iter_histogram", "multi_task_scalar_metrics_iter_histogram")


def curve(api: Api, task: str, **request: Any) -> tuple[list[Any], list[float]]:
    points = api.call("events.scalar_metrics_iter_histogram", task=task, **request)["m"]["v"]
    return points["x"], points["y"]


def test_a_later_scalar_overwrites(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 1.0), (1, 2.0))
    api.report(task, (1, 5.0))
    assert curve(api, task) == ([0, 1], [1.0, 5.0])


def test_curves_are_single_precision(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 0.04), (1, 1e300))
    assert curve(api, task)[1] == [0.03999999910593033, float("inf")]


@pytest.mark.parametrize(
    ("iterations", "samples", "xs", "ys"),
    [
        (range(10), 9, [0, 2, 4, 6, 8], [0.5, 2.5, 4.5, 6.5, 8.5]),
        (range(10), 10, range(10), range(10)),
        (range(10), 1, [0], [4.5]),
        # The starts of intervals, also where no point lies; of fewer points than samples each stays as it is.
        (range(0, 50, 10), 4, [0, 11, 22, 33], [0.5, 2, 3, 4]),
        (range(0, 50, 10), 5, [0, 9, 18, 27, 36], range(5)),
        (range(0, 50, 10), 11, range(0, 50, 10), range(5)),
    ],
)
def test_curves_are_means_of_intervals(iterations: range, samples: int, xs: Any, ys: Any, api: Api) -> None:
    task = api.task()
    api.report(task, *((x, float(y)) for y, x in enumerate(iterations)))
    assert curve(api, task, samples=samples) == (list(xs), list(ys))


def test_two_thousand_samples_where_no_number_is_given(api: Api) -> None:
    task = api.task()
    api.report(task, *((x, float(x)) for x in range(7000)))
    assert len(curve(api, task)[0]) == 1750
    assert len(curve(api, task, samples=6000)[0]) == 3500


def test_points_of_one_moment_are_one(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 1.0), (1, 3.0))
    assert curve(api, task, key="timestamp")[1] == [2.0]
    assert curve(api, task, key="iso_time")[1] == [2.0]


@pytest.mark.parametrize("action", CURVES)
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        *[({"samples": samples}, 12) for samples in (0, -1, 6001, None)],
        *[({"key": key}, 12) for key in ("nope", None)],
        *[({"metrics": metrics}, 12) for metrics in (["m"], [{}], [{"metric": "m", "variants": [5]}])],
        ({"task": "x", "tasks": ["x"]}, 101),
        ({"model_events": True}, 201),
    ],
)
def test_curves_that_are_refused(action: str, request_: dict[str, Any], code: int, api: Api) -> None:
    task = api.task()
    with pytest.raises(Refused) as error:
        api.call(f"events.{action}", **{"task": task, "tasks": [task], **request_})
    assert error.value.code == (400, code)


def test_scalars_of_up_to_100_tasks_side_by_side(api: Api) -> None:
    tasks = [api.task(name=f"task number {i}") for i in range(101)]
    for number, task in enumerate(tasks):
        api.report(task, (0, float(number)))
    found = api.call("events.multi_task_scalar_metrics_iter_histogram", tasks=tasks[:100])["metrics"]["m"]["v"]
    assert {task: found[task]["y"] for task in tasks[:100]} == {task: [float(i)] for i, task in enumerate(tasks[:100])}
    assert found[tasks[3]]["name"] == "task number 3"
    for wrong in (tasks, []):
        with pytest.raises(Refused, match="tasks") as error:
            api.call("events.multi_task_scalar_metrics_iter_histogram", tasks=wrong)
        assert error.value.code == (400, 12)


def test_a_single_value_is_no_iteration(api: Api) -> None:
    task = api.task()
    api.report(task, (SINGLE, 3.25), metric="Summary", variant="best")
    assert api.get(task)["last_iteration"] == 0
    assert api.call("events.scalar_metrics_iter_histogram", task=task) == {}
    [found] = api.call("events.get_task_single_value_metrics", tasks=[task])["tasks"]
    assert [(value["variant"], value["value"]) for value in found["values"]] == [("best", 3.25)]
    assert api.call("events.get_task_single_value_metrics", tasks=[task], metrics=[{"metric": "m"}]) == {"tasks": []}
    kind = "training_stats_scalar"
    assert api.call("events.get_task_metrics", tasks=[task], event_type=kind)["metrics"][0]["metrics"] == []
    assert api.call("events.get_scalar_metrics_and_variants", task=task)["metrics"] == {"Summary": ["best"]}


def test_the_latest_values(api: Api) -> None:
    task = api.task()
    api.report(task, *((i, float(i)) for i in range(20)))
    answer = api.call("events.get_task_latest_scalar_values", task=task)
    assert answer["metrics"] == [
        {"name": "m", "variants": [{"name": "v", "last_value": 19.0, "last_10_value": 14.5}]},
    ]
    # Of the task itself ClearML's server says the same of all.
    assert (answer["last_iter"], answer["name"], answer["status"]) == (19, None, "created")


def test_points_of_an_iteration_are_not_parted(api: Api) -> None:
    task = api.task()
    for variant in ("v", "w", "x"):
        api.report(task, *((i, float(i)) for i in range(4)), variant=variant)

    def page(**request: Any) -> dict[str, Any]:
        return api.call("events.scalar_metrics_iter_raw", task=task, metric={"metric": "m"}, **request)

    first = page(batch_size=4, count_total=True)
    assert (first["returned"], first["total"]) == (6, 12)
    rest = page(batch_size=0, key=None, scroll_id=first["scroll_id"])
    assert rest["variants"] == {name: {"iter": [2, 3], "y": [2.0, 3.0]} for name in ("v", "w", "x")}
    for wrong in ({"batch_size": -1}, {"key": "nope"}):
        with pytest.raises(Refused):
            page(**wrong)


def test_the_scalars_of_one_metric_as_events(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 1.0), (1, 2.0))
    api.report(task, (0, 3.0), metric="another")
    answer = api.call("events.get_scalar_metric_data", task=task, metric="m")
    assert ([event["value"] for event in answer["events"]], answer["total"]) == ([2.0, 1.0], 2)


def test_vectors(api: Api) -> None:
    task = api.task()
    for i in range(3):
        api.call(
            "events.add", type="training_stats_vector", task=task, metric="m", variant="v", iter=i, values=[i, i + 1]
        )
    assert api.call("events.get_vector_metrics_and_variants", task=task) == {"metrics": {"m": ["v"]}}
    assert api.call("events.vector_metrics_iter_histogram", task=task, metric="m", variant="v") == {
        **{"metric": "m", "variant": "v", "vectors": [[0, 1], [1, 2], [2, 3]], "iterations": [0, 1, 2]},
    }
