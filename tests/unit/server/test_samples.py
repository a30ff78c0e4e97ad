"""Plots and images by iteration, and all events of a task."""

from __future__ import annotations

from typing import Any

import pytest

from .server_without_sockets import Api, Refused

IMAGES = [(0, "a", "x"), (0, "a", "y"), (0, "b", "x"), (1, "a", "x"), (3, "a", "x"), (3, "b", "x")]


def report(api: Api, kind: str, *places: tuple[int, str, str]) -> str:
    task = api.task()
    for iteration, metric, variant in places:
        api.call("events.add", type=kind, task=task, metric=metric, variant=variant, iter=iteration, url="u")
    return task


def place(event: dict[str, Any]) -> tuple[int, str, str]:
    return event["iter"], event["metric"], event["variant"]


@pytest.fixture
def task(api: Api) -> str:
    return report(api, "training_debug_image", *IMAGES)


@pytest.mark.parametrize(("action", "kind"), [("debug_images", "training_debug_image"), ("plots", "plot")])
def test_iterations_page_by_page_and_back(action: str, kind: str, api: Api) -> None:
    task = report(api, kind, *IMAGES)

    def page(scroll: str | None, **request: Any) -> tuple[list[int], str]:
        answer = api.call(f"events.{action}", metrics=[{"task": task}], iters=2, scroll_id=scroll, **request)
        [found] = answer["metrics"]
        assert found["task"] == task
        return [each["iter"] for each in found["iterations"]], answer["scroll_id"]

    first, scroll = page(None)
    second, scroll = page(scroll)
    third, past = page(scroll)
    assert (first, second, third) == ([3, 1], [0], [])
    assert page(scroll, navigate_earlier=False)[0] == [3, 1]
    assert page(past, refresh=True)[0] == [3, 1]


def test_images_of_a_variant(task: str, api: Api) -> None:
    wanted = {"task": task, "metric": "a", "variants": ["x"]}
    [found] = api.call("events.debug_images", metrics=[wanted], iters=5)["metrics"]
    assert [place(event) for each in found["iterations"] for event in each["events"]] == [
        (3, "a", "x"),
        (1, "a", "x"),
        (0, "a", "x"),
    ]


def test_from_image_to_image(task: str, api: Api) -> None:
    answer = api.call(
        "events.get_debug_image_sample", task=task, metric="a", variant="x", navigate_current_metric=False
    )
    assert place(answer["event"]) == (3, "a", "x")
    assert (answer["min_iteration"], answer["max_iteration"]) == (0, 3)
    found = []
    while answer["event"]:
        answer = api.call("events.next_debug_image_sample", task=task, scroll_id=answer["scroll_id"])
        found.append(answer["event"] and place(answer["event"]))
    assert found == [(1, "a", "x"), (0, "b", "x"), (0, "a", "y"), (0, "a", "x"), None]


def test_from_image_to_image_of_one_metric_or_to_the_next_iteration(task: str, api: Api) -> None:
    answer = api.call("events.get_debug_image_sample", task=task, metric="a", variant="x", iteration=0)

    def after(**request: Any) -> Any:
        scroll = answer["scroll_id"]
        return api.call(
            "events.next_debug_image_sample", task=task, scroll_id=scroll, navigate_earlier=False, **request
        )

    assert place(after()["event"]) == (0, "a", "y")
    assert place(after(next_iteration=True)["event"]) == (1, "a", "x")


def test_from_plot_to_plot(api: Api) -> None:
    task = report(api, "plot", *IMAGES)
    answer = api.call("events.get_plot_sample", task=task, metric="a", iteration=0, navigate_current_metric=False)
    assert [place(event) for event in answer["events"]] == [(0, "a", "x"), (0, "a", "y")]
    answer = api.call("events.next_plot_sample", task=task, scroll_id=answer["scroll_id"], navigate_earlier=False)
    assert [place(event) for event in answer["events"]] == [(0, "b", "x")]


@pytest.mark.parametrize("scroll", ["x", "ff", b"[1]".hex(), b'["a", null, 1e999, 0]'.hex(), f"{2**40:x}"])
def test_an_unknown_scroll_is_the_clients_fault(scroll: str, task: str, api: Api) -> None:
    with pytest.raises(Refused, match="unknown scroll_id") as error:
        api.call("events.next_debug_image_sample", task=task, scroll_id=scroll)
    assert error.value.code == (400, 12)


def test_plots_of_some_metrics(api: Api) -> None:
    task = report(api, "plot", *IMAGES)
    metrics = [{"metric": "a", "variants": ["y"]}, {"metric": "b"}]
    plots = api.call("events.get_task_plots", task=task, iters=9, metrics=metrics)["plots"]
    assert [place(event) for event in plots] == [(0, "a", "y"), (0, "b", "x"), (3, "b", "x")]


def test_all_events_of_a_task_forwards_and_backwards(task: str, api: Api) -> None:
    api.report(task, (0, 1.0), (1, 2.0))
    api.call("events.add", type="log", task=task, msg="a line")

    def kinds(**request: Any) -> list[str]:
        found: list[str] = []
        scroll = None
        while True:
            answer = api.call("events.get_task_events", task=task, batch_size=4, scroll_id=scroll, **request)
            assert answer["total"] == 9
            if not answer["events"]:
                return found
            found += [event["type"] for event in answer["events"]]
            scroll = answer["scroll_id"]

    forwards = [*["training_stats_scalar"] * 2, "log", *["training_debug_image"] * 6]
    assert kinds() == forwards
    assert kinds(order="desc") == forwards[::-1]


def test_the_scalars_of_one_metric(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 1.0), (1, 2.0))
    api.report(task, (0, 3.0), metric="another")
    answer = api.call("events.get_scalar_metric_data", task=task, metric="m")
    assert ([event["value"] for event in answer["events"]], answer["total"]) == ([1.0, 2.0], 2)


def test_events_of_a_model_are_removed(api: Api) -> None:
    model = api.model()
    event = {"type": "training_stats_scalar", "task": model, "metric": "m", "variant": "v", "value": 1}
    api.call("events.add", **event, model_event=True)
    assert api.call("models.get_by_id", model=model)["model"]["last_metrics"]
    assert api.call("events.delete_for_model", model=model)["deleted"]
    assert api.call("models.get_by_id", model=model)["model"]["last_metrics"] == {}
