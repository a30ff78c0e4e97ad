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
    scroll = "of no scroll"

    def page(**request: Any) -> list[int]:
        nonlocal scroll
        answer = api.call(f"events.{action}", metrics=[{"task": task}], iters=2, scroll_id=scroll, **request)
        [found] = answer["metrics"]
        assert found["task"] == task
        scroll = answer["scroll_id"]
        return [each["iter"] for each in found["iterations"]]

    assert (page(), page(), page(), page()) == ([3, 1], [0], [], [])
    # Who went on beyond the end is still at the last page.
    assert (page(navigate_earlier=False), page(navigate_earlier=None)) == ([3, 1], [])
    assert (page(), page(refresh=True)) == ([0], [3, 1])


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        *[({"iters": iters}, 12) for iters in (0, -1, None)],
        *[({"metrics": metrics}, 12) for metrics in ([], [{}], [{"task": "x", "variants": "v"}])],
        ({"metrics": [{"task": "x"}]}, 101),
        ({"model_events": True}, 201),
    ],
)
def test_pages_that_are_refused(request_: dict[str, Any], code: int, task: str, api: Api) -> None:
    for action in ("debug_images", "plots"):
        with pytest.raises(Refused) as error:
            api.call(f"events.{action}", **{"metrics": [{"task": task}], **request_})
        assert error.value.code == (400, code)


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

    # The server keeps the place: the id stays the same.
    assert place(after()["event"]) == (0, "a", "y")
    assert place(after()["event"]) == (1, "a", "x")
    assert place(after(next_iteration=True)["event"]) == (3, "a", "x")


@pytest.mark.parametrize(("iteration", "found"), [(0, 0), (2, 1), (3, 3), (100, 3), (None, 3), (-1, None)])
def test_the_last_sample_up_to_an_iteration(iteration: int | None, found: int | None, task: str, api: Api) -> None:
    answer = api.call("events.get_debug_image_sample", task=task, metric="a", variant="x", iteration=iteration)
    assert (answer["event"] or {"iter": None})["iter"] == found


def test_from_plot_to_plot(api: Api) -> None:
    task = report(api, "plot", *IMAGES)
    answer = api.call("events.get_plot_sample", task=task, metric="a", iteration=0, navigate_current_metric=False)
    assert [place(event) for event in answer["events"]] == [(0, "a", "x"), (0, "a", "y")]
    answer = api.call("events.next_plot_sample", task=task, scroll_id=answer["scroll_id"], navigate_earlier=False)
    assert [place(event) for event in answer["events"]] == [(0, "b", "x")]


@pytest.mark.parametrize("scroll", ["x", "", None])
def test_an_unknown_scroll_is_the_clients_fault(scroll: str | None, task: str, api: Api) -> None:
    pages = api.call("events.debug_images", metrics=[{"task": task}])["scroll_id"]
    for action, wrong in (("debug_image", scroll), ("plot", scroll), ("debug_image", pages)):
        with pytest.raises(Refused, match="Invalid scroll id") as error:
            api.call(f"events.next_{action}_sample", task=task, scroll_id=wrong)
        assert error.value.code == (400, 1104)
    with pytest.raises(Refused, match="Invalid task id"):
        api.call("events.next_plot_sample", task="x", scroll_id=scroll)


def test_plots_of_some_metrics(api: Api) -> None:
    task = report(api, "plot", *IMAGES)
    metrics = [{"metric": "a", "variants": ["y"]}, {"metric": "b"}]
    plots = api.call("events.get_task_plots", task=task, iters=9, metrics=metrics)["plots"]
    assert [place(event) for event in plots] == [(0, "a", "y"), (3, "b", "x"), (0, "b", "x")]


def test_all_events_of_a_task_forwards_and_backwards(task: str, api: Api) -> None:
    api.report(task, (0, 1.0), (1, 2.0))

    def kinds(**request: Any) -> list[str]:
        found: list[str] = []
        scroll = None
        while True:
            answer = api.call("events.get_task_events", task=task, batch_size=4, scroll_id=scroll, **request)
            assert answer["total"] == 8
            if not answer["events"]:
                return found
            found += [event["type"] for event in answer["events"]]
            scroll = answer["scroll_id"]

    forwards = [*["training_stats_scalar"] * 2, *["training_debug_image"] * 6]
    assert kinds() == forwards
    assert kinds(order="desc") == forwards[::-1]


def test_events_of_a_model_are_removed(api: Api) -> None:
    model = api.model(ready=False)
    event = {"type": "training_stats_scalar", "task": model, "metric": "m", "variant": "v", "value": 1, "iter": 0}
    api.call("events.add", **event, model_event=True)
    assert api.call("events.scalar_metrics_iter_histogram", task=model, model_events=True)["m"]["v"]["y"] == [1.0]
    assert api.call("events.delete_for_model", model=model) == {"deleted": 1}
    assert api.call("events.scalar_metrics_iter_histogram", task=model, model_events=True) == {}
    assert api.call("models.get_by_id", model=model)["model"]["last_metrics"]
