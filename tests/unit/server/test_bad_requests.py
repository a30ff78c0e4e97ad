"""Whatever a client sends, it gets ClearML's envelope: 200 or a refusal, never an error of the server's own."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from clearml_hpo.server.dispatch import Request
from clearml_hpo.server.registry import endpoints

from .server_without_sockets import Api

VALUES: list[Any] = [
    *(None, True, 0, -1, 2**63, 2**400, 1.5, float("nan"), float("inf"), "", "x", "long enough", "-x", "\0", "\ud800"),
    *("[", "(?P<", "a.b.c", "last_metrics.a.b.value", "hyperparams.a.b", "execution.queue", '$."x', "1e999", "ffff"),
    *([], [None], ["x"], [1], [{}], [[]], ["__$all", "a", "__$not", "b"], {}, {"x": 1}, {"x": {}}, {"x": {"y": 1}}),
    *(
        {"General": {"lr": {"value": "1"}}},
        {"pattern": "[", "fields": ["name"]},
        {"pattern": "x", "fields": [1, "tags"]},
    ),
    *([{"section": "a", "name": "b", "value": [1]}], [{"key": "a"}], [{"metric": [], "variants": 3}]),
]
COMMON = ("only_fields", "order_by", "page", "page_size", "size", "scroll_id", "_any_", "tags", "status", "created")


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
        json.loads(answer.body)


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


@pytest.mark.parametrize("kind", ["training_stats_scalar", "log", "plot", "training_debug_image", "another"])
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
        assert 400 <= answer.status < 500 or name == "auth.login"


@pytest.mark.parametrize(
    "path", ["", "/", "/tasks", "/v2/tasks.get_all/x", "/vx/tasks.get_all", "/../x.y", "/\ud800.y"]
)
def test_odd_paths(path: str, api: Api) -> None:
    assert api.dispatcher.answer(Request(path, b"{}", "", api.bearer)).status == 404
