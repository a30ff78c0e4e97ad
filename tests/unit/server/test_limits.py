"""What requests are held to: names, types, ids, items, versions. Each line is a rule of ClearML's server 2.3.0."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .server_without_sockets import Api, Refused

NOBODY = "0" * 32
NEW = {"name": "a task", "type": "training"}
PARAMETER = {"section": "s", "name": "n", "value": "v"}
UNNAMED = {"section": {"name": {"value": "1"}}}
PERIOD = {"from_date": 1, "to_date": 2, "interval": 1}
# Endpoint, fields and the subcode of the refusal; 0 is accepted. "<task>" and the like stand for ids.
RULES: list[tuple[str, dict[str, Any], int]] = [
    # names
    *((endpoint, {**more, "name": " ab "}, 800) for endpoint, more in (("tasks.create", NEW), ("queues.create", {}))),
    ("models.create", {"name": "ab", "uri": "u"}, 800),
    *((endpoint, {**NEW, "uri": "u", "name": "x" * 5000}, 0) for endpoint in ("tasks.create", "models.create")),
    *(("projects.create", {"name": name, "description": ""}, 12) for name in ("ab", "par/ab", "ab/abc")),
    *(("projects.create", {"name": name, "description": ""}, 407) for name in ("", "/")),
    *(("projects.create", {"name": name, "description": ""}, 0) for name in ("par/", "/par", "aaa//bbb")),
    ("projects.create", {"description": ""}, 11),
    ("projects.create", {"name": "<project name>", "description": ""}, 801),
    ("queues.create", {"name": "<queue name>"}, 801),
    *(("tasks.create", {**NEW, "type": word}, 12) for word in ("dataset", "Training", "")),
    # fields
    ("tasks.create", {**NEW, "no_such_field": 1}, 0),
    *(("tasks.create", {**NEW, part: {"other": []}}, 12) for part in ("script", "models")),
    ("tasks.create", {**NEW, "execution": {"other": 1}}, 0),
    *(("tasks.enqueue", {"task": "<task>", "queue": value}, 12) for value in (5, [], {}, True)),
    *((endpoint, {"task": "<task>", "name": 5}, 800) for endpoint in ("tasks.edit", "tasks.update")),
    ("tasks.delete_many", {"ids": [1]}, 12),
    ("tasks.delete_many", {"ids": []}, 12),
    ("tasks.delete_many", {"ids": [NOBODY] * 1_001}, 0),
    ("tasks.get_by_id", {}, 12),
    ("tasks.get_by_id_ex", {}, 11),
    ("tasks.move", {"ids": ["<task>"]}, 11),
    # ids
    ("tasks.get_by_id", {"task": NOBODY}, 101),
    ("models.get_by_id", {"model": NOBODY}, 201),
    ("projects.get_by_id", {"project": NOBODY}, 401),
    ("queues.get_by_id", {"queue": NOBODY}, 701),
    *(("tasks.create", {**NEW, name: NOBODY}, 16) for name in ("project", "parent")),
    *(("tasks.edit", {"task": "<task>", name: NOBODY}, 16) for name in ("project", "parent")),
    ("tasks.update", {"task": "<task>", "parent": NOBODY}, 0),
    *(("tasks.create", {**NEW, "models": {"input": [{"name": "m", "model": id_}]}}, subcode) for id_, subcode in (
        (NOBODY, 201), ("<model>", 0))),
    ("tasks.create", {**NEW, "models": {"output": [{"name": "m", "model": NOBODY}]}}, 0),
    # items
    *(("tasks.edit_hyper_params", {"task": "<task>", "hyperparams": [PARAMETER | wrong]}, 12) for wrong in (
        {"section": ""}, {"section": None}, {"name": ""}, {"name": None}, {"value": None}, {"value": 5},
        {"name": "a\0b"})),
    *(("tasks.edit_hyper_params", {"task": "<task>", "hyperparams": [PARAMETER | right]}, 0) for right in (
        {"value": ""}, {"name": "a.b"}, {"section": "a$b"}, {"name": "ä b/c"})),
    *(("tasks.edit_hyper_params", {"task": "<task>", "hyperparams": [PARAMETER], "replace_hyperparams": how}, 12)
      for how in ("some", None)),
    *(("tasks.edit_configuration", {"task": "<task>", "configuration": [item]}, 12) for item in (
        {"value": "v"}, {"name": "n"})),
    ("tasks.create", {**NEW, "hyperparams": UNNAMED}, 800),
    ("tasks.create", {**NEW, "configuration": {"name": {"value": "1"}}}, 800),
    ("tasks.clone", {"task": "<task>", "new_task_hyperparams": UNNAMED}, 800),
    ("tasks.edit", {"task": "<task>", "hyperparams": UNNAMED}, 0),
    *(("tasks.add_or_update_artifacts", {"task": "<task>", "artifacts": [item]}, 12) for item in (
        {"key": "k"}, {"type": "t"}, {"key": "k", "type": "t", "mode": "other"},
        {"key": "k", "type": "t", "timestamp": "x"})),
    ("models.add_or_update_metadata", {"model": "<model>", "metadata": [{"key": "a", "value": "b"}]}, 12),
    # limits
    *(("tasks.get_all", paging, 12) for paging in ({"page": -1}, {"page": 0, "page_size": 0})),
    ("tasks.get_all", {"page": 0, "page_size": 1_000}, 0),
    *(("workers.get_stats", {**PERIOD, "items": items}, 12) for items in ([], [{"key": "other"}], [{}])),
    ("workers.get_stats", {**PERIOD, "items": [{"key": "cpu_usage"}]}, 0),
    ("workers.get_activity_report", {**PERIOD, "interval": 0}, 12),
    ("workers.register", {"worker": "w", "timeout": -1}, 1002),
    ("workers.register", {"worker": "w", "queues": [NOBODY]}, 701),
    *(("auth.login", {"expiration_sec": seconds}, subcode) for seconds, subcode in (
        (31_536_000, 0), (31_536_001, 12), (0, 0), (None, 0), (-1, 0))),
    *(("users.set_preferences", {"preferences": {"a": {name: 1}}}, 16) for name in ("$x", ".x")),
    # what is otherwise refused of all tasks, queues, models and projects
    ("models.set_ready", {"model": "<model>"}, 203),
    ("tasks.make_private", {"ids": ["<task>"]}, 101),
    ("tasks.enqueue", {"task": "<task>", "queue": "<queue>", "queue_name": "a queue"}, 12),
    ("tasks.enqueue", {"task": "<task>", "queue": "<queue name>"}, 701),
    *(("queues.remove_task", {"queue": queue, "task": "<task>"}, 703) for queue in ("<queue>", NOBODY)),
    *((f"queues.move_task_{where}", {"queue": "<queue>", "task": "<task>"}, 703) for where in ("forward", "to_back")),
    ("projects.update", {"project": "<project>", "name": "some/path"}, 408),
    ("projects.merge", {"project": "<project>", "destination_project": "<project>"}, 410),
    ("auth.edit_credentials", {"access_key": "other", "label": "x"}, 75),
    # what is said of tasks that are not there
    ("tasks.started", {"task": NOBODY}, 10),
    *((f"tasks.{action}", {"task": NOBODY}, 0) for action in ("ping", "dequeue")),
    ("queues.add_task", {"queue": "<queue>", "task": NOBODY}, 0),
    ("workers.status_report", {"worker": "w", "timestamp": 1, "task": NOBODY}, 101),
    *(("workers.status_report", {"worker": "w", **more}, 12) for more in ({}, {"timestamp": "x"})),
]  # fmt: skip


@pytest.mark.parametrize(("endpoint", "fields", "subcode"), RULES)
def test_a_request_is_refused_or_not(endpoint: str, fields: dict[str, Any], subcode: int, api: Api) -> None:
    known = {"<task>": api.task(), "<queue>": api.queue(), "<model>": api.model(), "<project>": api.project()}
    for noun in ("queue", "project"):
        found = api.call(f"{noun}s.get_by_id", **{noun: known[f"<{noun}>"]})[noun]
        known[f"<{noun} name>"] = found["name"]
    text = json.dumps(fields)
    for placeholder, value in known.items():
        text = text.replace(json.dumps(placeholder), json.dumps(value))
    try:
        api.send(f"/v2.34/{endpoint}", text.encode())
        found = 0
    except Refused as refused:
        assert refused.code[0] == 400
        found = refused.code[1]
    assert found == subcode


@pytest.mark.parametrize("version", ["x", "2", "-1.0"])
def test_a_version_is_two_numbers(version: str, api: Api) -> None:
    with pytest.raises(Refused) as refused:
        api.send(f"/v{version}/tasks.get_all", b"{}")
    assert refused.value.code == (400, 0)


def test_names_of_parameters_are_kept_without_blanks_and_tags_as_often_as_given(api: Api) -> None:
    task = api.task(tags=["b", "a", "a"])
    api.call("tasks.edit_hyper_params", task=task, hyperparams=[{"section": " s ", "name": " n ", "value": " v "}])
    assert api.get(task)["tags"] == ["a", "a", "b"]
    assert api.get(task)["hyperparams"] == {"s": {"n": {"section": "s", "name": "n", "value": " v "}}}
