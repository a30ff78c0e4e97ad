"""Events as they are taken in, the console, plots, and all events of a task."""

from __future__ import annotations

import json
from hashlib import md5
from typing import Any

import pytest

from .server_without_sockets import Api, Refused

SINGLE = -(2**31)
SCALAR = {"type": "training_stats_scalar", "metric": "m", "variant": "v", "iter": 1, "value": 0.5}


def last(api: Api, task: str, metric: str = "m", variant: str = "v") -> dict[str, Any]:
    hashes = [md5(name.encode()).hexdigest() for name in (metric, variant)]
    found: dict[str, Any] = api.get(task)["last_metrics"].get(hashes[0], {}).get(hashes[1], {})
    return found


def log(api: Api, task: str, messages: list[tuple[int, str]]) -> None:
    api.add({"type": "log", "task": task, "timestamp": moment, "msg": text} for moment, text in messages)


# --- last_metrics -----------------------------------------------------------------------------------------------------


def test_last_metrics(api: Api) -> None:
    task = api.task()
    api.report(task, (1, 1.5))
    api.report(task, (2, -1.0))
    # The latest report wins, even at a lower iteration; a re-report counts again.
    api.report(task, (0, 7))
    assert last(api, task) == {
        **{"metric": "m", "variant": "v", "value": 7, "count": 3, "mean_value": 2.5},
        **{"min_value": -1.0, "min_value_iteration": 2, "max_value": 7, "max_value_iteration": 0},
        **{"first_value": 1.5, "first_value_iteration": 1},
    }
    assert api.get(task)["last_iteration"] == 2


def test_a_batch_is_taken_in_by_iteration(api: Api) -> None:
    task = api.task()
    api.report(task, (2, 5.0), (1, 9.0), (3, 4.0), (2, 6.0))
    found = last(api, task)
    assert (found["first_value"], found["value"]) == (9.0, 4.0)


def test_metrics_are_in_the_order_of_their_first_iterations(api: Api) -> None:
    task = api.task()
    reported = [("a", 5), ("b", 3), ("c", 9), ("a", 3), ("d", 1)]
    api.add({**SCALAR, "task": task, "metric": metric, "iter": iteration} for metric, iteration in reported)
    [found] = api.call("tasks.get_all", id=[task], only_fields=["unique_metrics"])["tasks"]
    assert found["unique_metrics"] == ["d/v", "b/v", "a/v", "c/v"]


def test_whole_numbers_stay_whole(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 3))
    shown = {name: repr(value) for name, value in last(api, task).items()}
    assert {name: shown[name] for name in ("value", "min_value", "max_value", "first_value", "mean_value")} == {
        **{"value": "3", "min_value": "3", "max_value": "3"},
        **{"first_value": "3.0", "mean_value": "3.0"},
    }
    [event] = api.call("events.get_task_events", task=task)["events"]
    assert repr(event["value"]) == "3"


def test_the_label_of_the_x_axis_is_there_if_it_was_given(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 1.0), x_axis_label="epoch")
    assert last(api, task)["x_axis_label"] == "epoch"


def test_a_reader_between_the_two_writes_of_last_metrics_sees_what_is_there(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 1.0))
    with api.store.db.transaction():
        api.store.db.execute("UPDATE series SET count = 0, min_value = NULL, max_value = NULL, first_value = NULL")
    assert last(api, task).keys() & {"value", "min_value", "max_value", "first_value", "count", "mean_value"} == {
        "value"
    }


# --- what is added, and what is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"type": None}, "Event must have a 'type' field"),
        ({"type": "another"}, "Invalid event type another"),
        ({"task": None}, "Event must have a 'task' field"),
        ({"task": "0"}, "Invalid task id 0"),
        ({"task": 5}, "Invalid task id 5"),
        ({"task": "0", "model_event": True}, "Invalid model id 0"),
    ],
)
def test_an_event_is_refused_by_itself(changed: dict[str, Any], text: str, api: Api) -> None:
    good = {**SCALAR, "task": api.task()}
    bad = {name: value for name, value in {**good, **changed}.items() if value is not None}
    for call in (lambda: api.call("events.add", **bad), lambda: api.add([bad, bad])):
        with pytest.raises(Refused, match=f"^Events not added: {text}=[12]$") as error:
            call()
        assert error.value.code == (400, 131)
    assert api.add([good, bad, bad]) == {"added": 1, "errors": 2, "errors_info": {text: 2}}


@pytest.mark.parametrize(
    "changed",
    [
        *('"value": NaN', '"value": Infinity', '"value": 1e400', '"value": "0.5"', '"value": true', '"value": []'),
        *(
            f'"value": {2**63}',
            f'"value": {2**64}',
            '"iter": "x"',
            f'"iter": {2**63}',
            '"timestamp": "2020-01-01"',
            '"metric": 5',
        ),
    ],
)
def test_a_value_of_a_wrong_kind_refuses_the_whole_batch(changed: str, api: Api) -> None:
    task = api.task()
    good = json.dumps({**SCALAR, "task": task})
    bad = f"{good[:-1]}, {changed}}}"
    with pytest.raises(Refused, match="no event was added") as error:
        api.send("/events.add_batch", f"{good}\n{bad}".encode(), "application/json-lines")
    assert error.value.code == (400, 0)
    assert (api.get(task)["last_metrics"], api.get(task)["last_iteration"]) == ({}, 0)
    assert api.call("events.get_task_events", task=task)["total"] == 0


@pytest.mark.parametrize(
    ("changed", "points", "iteration", "known"),
    [
        ({"value": None}, ([1], [None]), 1, {}),
        ({"iter": "1"}, ([1], [0.5]), 1, {"first_value_iteration": 1}),
        ({"iter": None}, None, 0, {}),
        ({"iter": ...}, None, 0, {"first_value_iteration": 0}),
        ({"iter": -5}, ([-5], [0.5]), 0, {"first_value_iteration": -5}),
        ({"iter": SINGLE}, None, 0, {"first_value_iteration": SINGLE}),
    ],
)
def test_what_an_event_may_lack(changed: dict[str, Any], points: Any, iteration: int, known: Any, api: Api) -> None:
    task = api.task()
    event = {name: value for name, value in {**SCALAR, "task": task, **changed}.items() if value is not ...}
    assert api.call("events.add", **event)["added"] == 1
    curves = api.call("events.scalar_metrics_iter_histogram", task=task)
    assert (curves and (curves["m"]["v"]["x"], curves["m"]["v"]["y"])) == (points or {})
    assert api.get(task)["last_iteration"] == iteration
    found = last(api, task)
    assert bool(found) == (changed != {"value": None})
    assert {name: value for name, value in found.items() if name == "first_value_iteration"} == known
    assert api.call("events.get_task_events", task=task)["total"] == 1


@pytest.mark.parametrize("changed", [{"metric": None}, {"variant": None}, {"metric": ...}, {"variant": ""}])
def test_a_name_that_is_missing_is_empty(changed: dict[str, Any], api: Api) -> None:
    task = api.task()
    api.add([{name: value for name, value in {**SCALAR, "task": task, **changed}.items() if value is not ...}])
    metric, variant = ("", "v") if "metric" in changed else ("m", "")
    assert last(api, task, metric, variant)["value"] == 0.5


G = json.dumps(SCALAR)


@pytest.mark.parametrize(
    ("body", "is_lines", "code"),
    [
        (b"", True, 17),
        (b"", False, 17),
        (b"null", False, 17),
        (f"{G}\n".encode(), True, None),
        (f"{G}\r\n{G}".encode(), True, None),
        (f"\n{G}".encode(), True, 0),
        (f"{G}\n\n{G}".encode(), True, 0),
        (f"\n{G}\n\n".encode(), False, None),
        (f"{G}\n{G}".encode(), False, 0),
        (f"[{G}]".encode(), True, 0),
        (f"[{G}]".encode(), False, 0),
        (b"5", True, 0),
        (f"{G}\nnull".encode(), True, 0),
        (json.dumps({"events": [SCALAR]}).encode(), False, 131),
    ],
)
def test_bodies_of_batches(body: bytes, is_lines: bool, code: int | None, api: Api) -> None:
    body = body.replace(b'"type": "training', f'"task": "{api.task()}", "type": "training'.encode())
    kind = "application/json-lines" if is_lines else "application/json"
    if code is None:
        assert api.send("/events.add_batch", body, kind)["errors"] == 0
        return
    with pytest.raises(Refused) as error:
        api.send("/events.add_batch", body, kind)
    assert error.value.code == (400, code)


def test_events_of_what_is_published_stay_unless_that_is_wanted(api: Api) -> None:
    task, model = api.task(), api.model(ready=True)
    for action in ("started", "completed", "publish"):
        api.call(f"tasks.{action}", task=task)
    for owner, is_model in ((task, False), (model, True)):
        event = {**SCALAR, "task": owner, "model_event": is_model}
        with pytest.raises(Refused, match=f"Invalid {'model' if is_model else 'task'} id {owner}=1"):
            api.add([event])
        assert api.add([{**event, "allow_locked": True}])["added"] == 1
    for action, code, request, number in (
        ("delete_for_task", 101, {"task": task}, 1),
        ("clear_task_log", 101, {"task": task}, 0),
        ("delete_for_model", 201, {"model": model}, 1),
    ):
        with pytest.raises(Refused, match="published") as error:
            api.call(f"events.{action}", **request)
        assert error.value.code == (400, code)
        assert api.call(f"events.{action}", **request, allow_locked=True) == {"deleted": number}


def test_who_reports_is_the_worker_where_an_event_does_not_say(api: Api) -> None:
    task = api.task()
    api.call("events.add", **SCALAR, task=task)
    api.call("events.add", **{**SCALAR, "iter": 2}, task=task, worker="w")
    assert [each["worker"] for each in api.call("events.get_task_events", task=task)["events"]] == ["<unknown>", "w"]


def test_events_are_removed_and_last_metrics_stay(api: Api) -> None:
    task = api.task()
    api.report(task, (0, 1.0), (1, 2.0))
    log(api, task, [(1, "a line")])
    assert api.call("events.delete_for_task", task=task) == {"deleted": 3}
    assert (last(api, task)["value"], api.get(task)["last_iteration"]) == (2.0, 1)
    assert api.call("events.get_task_events", task=task)["total"] == 0
    api.call("tasks.reset", task=task)
    assert api.get(task)["last_metrics"] == {}


# --- the console ------------------------------------------------------------------------------------------------------


def test_console_forwards_and_backwards(api: Api) -> None:
    task = api.task()
    log(api, task, [(10, "a"), (20, "b"), (20, "c"), (30, "d")])

    def page(**request: Any) -> str:
        answer = api.call("events.get_task_log", task=task, **request)
        assert answer["total"] == 4
        return "".join(event["msg"] for event in answer["events"])

    assert page() == page(order=None) == "dcba"
    assert page(order="asc") == "abcd"
    assert page(navigate_earlier=False) == page(navigate_earlier=None) == "abcd"
    # Events of one moment are not parted: the next call starts beyond it.
    assert page(navigate_earlier=False, batch_size=2) == "abc"
    assert page(navigate_earlier=False, batch_size=2, from_timestamp=20) == "d"
    assert page(batch_size=2, order="asc") == "bcd"
    assert page(batch_size=2, from_timestamp=20) == "a"
    assert page(batch_size=0) == ""


def test_the_iteration_of_a_line_counts(api: Api) -> None:
    task = api.task()
    api.call("events.add", type="log", task=task, msg="a line", iter=3)
    assert api.get(task)["last_iteration"] == 3


def test_the_console_as_a_file(api: Api) -> None:
    task = api.task()
    log(api, task, [(10, "a\n"), (20, "b")])
    lines = api.file("/events.download_task_log", task=task).splitlines()
    assert [(line["asctime"], line["msg"]) for line in map(json.loads, lines)] == [(10, "a\n"), (20, "b")]
    text = api.file("/v2.34/events.download_task_log", task=task, line_type="text")
    assert text == "10 <unknown> info a\n\n20 <unknown> info b\n"
    assert api.file("/events.download_task_log", task=task, line_type="text", line_format="{msg}!") == "a\n!\nb!\n"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"line_format": "{nope}"}, 16),
        ({"line_format": "{msg.__class__}"}, 16),
        ({"line_format": "{msg!r}"}, 16),
        ({"line_format": "{"}, 12),
        ({"task": "0" * 32}, 12),  # in a query, digits are a number
        ({"task": "x"}, 101),
    ],
)
def test_no_file_of_a_console(request_: dict[str, str], code: int, api: Api) -> None:
    with pytest.raises(Refused) as error:
        api.file("/events.download_task_log", **{"task": api.task(), "line_type": "text", **request_})
    assert error.value.code == (400, code)


# --- events as they are -----------------------------------------------------------------------------------------------


def test_plots_of_the_last_iterations(api: Api) -> None:
    task = api.task()
    for i in range(3):
        api.call("events.add", type="plot", task=task, metric="p", variant="v", iter=i, plot_str="{}")
    plots = api.call("events.get_task_plots", task=task, iters=2, scroll_id="of no scroll")
    assert [plot["iter"] for plot in plots["plots"]] == [2, 1]
    assert plots["scroll_id"] is None
    several = api.call("events.get_multi_task_plots", tasks=[task], iters=2, metrics=[{"metric": "p"}])
    assert (several["plots"]["p"]["v"][task].keys(), several["returned"], several["total"]) == ({"1", "2"}, 1, 2)


def test_scalar_events_part_by_part(api: Api) -> None:
    task = api.task()
    api.report(task, *((i, float(i)) for i in range(7)))
    api.report(task, (1, 0.0), metric="another")
    found, ids, more = [], [""], True
    while more:
        answer = api.call(
            "events.get_task_events",
            **{"task": task, "event_type": SCALAR["type"], "batch_size": 3, "metrics": [{"metric": "m"}]},
            scroll_id=ids[-1],
        )
        assert answer["total"] == 7
        found += [event["value"] for event in answer["events"]]
        more = ids[-1] != answer["scroll_id"]
        ids.append(answer["scroll_id"])
    assert found == [0, 1, 2, 3, 4, 5, 6]
    assert len(set(ids)) == len(ids) - 1  # a new id each time, and at the end the same


def test_console_lines_are_not_read_as_events(api: Api) -> None:
    task = api.task()
    assert api.call("events.get_task_events", task=task, event_type="log")["events"] == []
    log(api, task, [(1, "a line")])
    for request in ({}, {"event_type": "log"}):
        with pytest.raises(Refused, match=r"use events\.get_task_log"):
            api.call("events.get_task_events", task=task, **request)
    assert api.call("events.get_task_events", task=task, event_type="plot")["events"] == []


@pytest.mark.parametrize(
    ("action", "request_", "code"),
    [
        ("get_task_events", {"scroll_id": "nope"}, 1104),
        ("get_task_events", {"event_type": None}, 12),
        ("get_task_events", {"event_type": ""}, 12),
        ("get_task_events", {"order": "nope"}, 12),
        ("get_task_events", {"batch_size": None}, 12),
        ("get_task_events", {"metrics": [{"variants": ["v"]}]}, 12),
        ("get_task_events", {"task": "x"}, 101),
        ("get_task_events", {"model_events": True}, 201),
        ("get_task_log", {"order": ""}, 12),
        ("get_task_log", {"task": "x"}, 101),
        ("get_task_plots", {"iters": 0}, 12),
        ("get_task_metrics", {"tasks": [], "event_type": "plot"}, 12),
        ("get_task_metrics", {"tasks": ["x"], "event_type": "plot"}, 101),
        ("get_task_metrics", {"event_type": "nope"}, 12),
        ("get_multi_task_metrics", {"event_type": None}, 12),
        ("get_multi_task_plots", {"tasks": []}, 12),
    ],
)
def test_requests_that_are_refused(action: str, request_: dict[str, Any], code: int, api: Api) -> None:
    task = api.task()
    with pytest.raises(Refused) as error:
        api.call(f"events.{action}", **{"task": task, "tasks": [task], **request_})
    assert error.value.code == (400, code)


def test_a_batch_of_several_mebibytes_is_one_batch(api: Api) -> None:
    lines, line = 40, {"type": "log", "task": api.task(), "worker": "w"}
    events = [{**line, "timestamp": at, "msg": f"{at} {'x' * 2**16}"} for at in range(lines)]
    assert api.add(events)["added"] == lines
    found = api.call("events.get_task_log", task=line["task"], batch_size=100, order="asc")["events"]
    assert [event["timestamp"] for event in found] == [*range(lines)]
    wrong = "\n".join([*map(json.dumps, events), "no json"]).encode()
    with pytest.raises(Refused):
        api.send("/events.add_batch", wrong, "application/json-lines")
