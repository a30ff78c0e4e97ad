"""Whatever a client sends, it gets ClearML's envelope: 200 or a refusal, never an error of the server's own."""

from __future__ import annotations

import itertools
import json
import math
from datetime import timedelta
from typing import Any

import pytest

from clearml_hpo.server.dispatch import Request
from clearml_hpo.server.registry import endpoints
from clearml_hpo.server.store.events import KINDS

from .server_without_sockets import Api, Refused

VALUES: list[Any] = [
    *(None, True, 0, -1, 2**63, 2**400, 1.5, float("nan"), float("inf"), "", "x", "long enough", "-x", "\0", "\ud800"),
    *("[", "(?P<", "a.b.c", "last_metrics.a.b.value", "hyperparams.a.b", "execution.queue", '$."x', "1e999", "ffff"),
    *(
        ["na\0me"],
        ["runtime.\0"],
        ["-hyperparams.a\0.b.value"],
        ["last_metrics.a\0.b.value"],
        {"a\0": "b\0"},
        {"a\0": ["b\0"]},
    ),
    *({"pattern": "a\0", "fields": ["name"]}, {"pattern": "x", "fields": ["na\0me", "hyperparams.a\0.b.value"]}),
    *([], [None], ["x"], [1], [{}], [[]], ["__$all", "a", "__$not", "b"], {}, {"x": 1}, {"x": {}}, {"x": {"y": 1}}),
    *(
        {"General": {"lr": {"value": "1"}}},
        {"pattern": "[", "fields": ["name"]},
        {"pattern": "x", "fields": [1, "tags"]},
    ),
    *([{"section": "a", "name": "b", "value": [1]}], [{"key": "a"}], [{"metric": [], "variants": 3}]),
]
COMMON = (
    "only_fields",
    "order_by",
    "page",
    "page_size",
    "size",
    "scroll_id",
    "_any_",
    "tags",
    "status",
    "created",
    "hyperparams.a\0.b.value",
    "na\0me",
)


@pytest.mark.parametrize("name", sorted(endpoints()))
def test_odd_values_in_every_field(name: str, api: Api) -> None:
    endpoint = endpoints()[name]
    ids = {"task": api.task(), "queue": api.queue(), "model": api.model(), "project": api.project()}
    plausible: dict[str, Any] = {
        **ids,
        **{"tasks": [ids["task"]], "ids": [ids["task"]], "name": "long enough", "type": "training", "uri": "file"},
        **{"worker": "w", "token": "t", "section": "s", "hyperparams": [], "configuration": [], "artifacts": []},
        **{"requirements": {}, "models": [], "metadata": [], "keys": [], "metrics": [], "event_type": "plot"},
        **{"from_date": 1, "to_date": 2, "force": True},
    }
    if name in ("tasks.create", "tasks.edit", "tasks.update"):
        for key in ("hyperparams", "configuration", "models", "metadata"):
            del plausible[key]
    known = {key: value for key, value in plausible.items() if key in endpoint.fields}
    for field, value in itertools.product([*endpoint.fields, *COMMON], VALUES):
        body = json.dumps({**known, field: value}).encode()
        answer = api.dispatcher.answer(Request(f"/v2.23/{name}", body, "application/json", api.bearer))
        assert answer.status < 500, (name, field, value)
        assert answer.file_name or json.loads(answer.body)


EVENT_FIELDS = (
    "type",
    "task",
    "metric",
    "variant",
    "iter",
    "value",
    "timestamp",
    "worker",
    "msg",
    "level",
    "model_event",
)


@pytest.mark.parametrize("kind", [*KINDS, "another"])
def test_odd_values_in_events(kind: str, api: Api) -> None:
    task = api.task()
    for field, value in itertools.product(EVENT_FIELDS, VALUES):
        event = {"type": kind, "task": task, "metric": "m", "variant": "v", "iter": 1, "value": 1.0, field: value}
        body = json.dumps(event).encode()
        answer = api.dispatcher.answer(Request("/events.add_batch", body, "application/json-lines", api.bearer))
        assert answer.status < 500, (kind, field, value)
    assert api.call("tasks.get_by_id", task=task)["task"]["id"] == task


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"\0", b'{"task": "\\ud800"}'],
    ids=["cut", "list", "number", "no text", "deep list", "deep object", "zero", "half a pair"],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/json-lines"])
def test_odd_bodies(body: bytes, content_type: str, api: Api) -> None:
    for name in ("tasks.get_by_id", "events.add_batch", "auth.login"):
        answer = api.dispatcher.answer(Request(f"/{name}", body, content_type, api.bearer))
        is_nothing = (name, body) == ("events.add_batch", b"[]")  # as ClearML's server takes it
        assert 400 <= answer.status < 500 or name == "auth.login" or is_nothing


@pytest.mark.parametrize(
    "path", ["", "/", "/tasks", "/v2/tasks.get_all/x", "/vx/tasks.get_all", "/../x.y", "/\ud800.y"]
)
def test_odd_paths(path: str, api: Api) -> None:
    assert api.dispatcher.answer(Request(path, b"{}", "", api.bearer)).status == 400


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        ("tasks.create", {"execution": {"artifacts": 5}}),
        ("tasks.create", {"execution": {"artifacts": [1]}}),
        ("tasks.create", {"models": {"output": 3}}),
        ("tasks.create", {"models": {"output": [{"name": "no model"}]}}),
        ("tasks.create", {"runtime": json.loads('{"a":' * 120 + "1" + "}" * 120)}),
        ("tasks.create", {"name": "\xed\xa0\x80"}),
        ("projects.create", {"name": "a/" * 3000}),
        ("tasks.dequeue", {"new_status": "no status"}),
        ("tasks.get_all", {"created": ">0001-01-01T00:00:00+23:59"}),
        ("workers.get_all", {"last_seen": math.nan}),
        ("workers.get_all", {"last_seen": -math.inf}),
    ],
)
def test_what_would_do_harm_later_is_refused(endpoint: str, fields: dict[str, Any], api: Api) -> None:
    api.call("workers.register", worker="w")
    body = json.dumps({"name": "long enough", "type": "training", "task": api.task(), **fields}, ensure_ascii=False)
    # Latin-1 turns the odd name into bytes that no text has in UTF-8.
    answer = api.dispatcher.answer(Request(f"/{endpoint}", body.encode("latin-1"), "application/json", api.bearer))
    assert answer.status == 400


def test_very_long_times(api: Api) -> None:
    task = api.task()
    api.call("workers.register", worker="w", timeout=1)
    api.now += timedelta(seconds=2)
    for last_seen, number in ((-(2**62), 0), (2**62, 1), (1e18, 1)):
        assert len(api.call("workers.get_all", last_seen=last_seen)["workers"]) == number
    assert api.call("workers.get_count") == {"count": 0}
    with pytest.raises(Refused) as error:
        api.send("auth.login", b'{"expiration_sec": 4611686018427387904}', authorization=api.basic)
    assert error.value.code == (400, 12)
    api.send("auth.login", b'{"expiration_sec": -4611686018427387904}', authorization=api.basic)
    api.call("events.clear_task_log", task=task, threshold_sec=2**62)
    event = {"type": "training_stats_scalar", "task": task, "metric": "m", "variant": "v", "iter": 0, "value": 1}
    api.call("events.add", **event, timestamp=2**62)
    assert api.call("events.get_task_events", task=task)["total"] == 1
    x = api.call("events.scalar_metrics_iter_histogram", task=task, key="iso_time")["m"]["v"]["x"]
    assert x[0].startswith("2026-01-01")


def test_what_is_no_number_does_not_keep_others_from_reading(api: Api) -> None:
    parameter = {"section": "s", "name": "n", "value": "1", "description": math.nan}
    task = api.task(hyperparams={"s": {"n": parameter}}, runtime={"x": math.inf})
    assert api.call("projects.get_hyper_parameters")["total"] == 1
    assert len(api.names(order_by=["runtime.x"])) == 1
    assert api.get(task)["runtime"] == {"x": None}


@pytest.mark.parametrize("blank", ["", " ", "\n", "\t", "\r\n"])
@pytest.mark.parametrize("number", [2**63 - 1, 2**64, -(2**63) - 1, 10**25, 0.1234567890123456789, 1e-19])
def test_numbers_are_read_as_they_are(number: float, blank: str, api: Api) -> None:
    written = json.dumps({"a": number, "b": [number, -number]}, separators=(f",{blank}", f":{blank}"))
    body = b'{"name": "a name", "type": "training", "runtime": %s}' % written.encode()
    runtime = api.get(api.send("tasks.create", body)["id"])["runtime"]
    assert repr(runtime) == repr({"a": number, "b": [number, -number]})


def test_text_of_any_script(api: Api) -> None:
    for name in ("Aufgabe ü", "задача", "任务一二三", "🙂🙂🙂", "a\u202eb\0c", "x" * 1_000_000):
        task = api.task(name=name, tags=[name])
        assert api.get(task)["name"] == name
        assert api.call("tasks.get_all", id=[task], tags=[name])["tasks"] or "\0" in name
    body = b'{"name": "\\ud83d\\ude42 and half \\ud83d", "type": "training"}'
    assert api.get(api.send("tasks.create", body)["id"])["name"] == "🙂 and half ?"
