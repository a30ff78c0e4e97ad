"""References within references, and parts of lists, as nested ``only_fields`` ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from clearml_hpo.server.store.documents import pick

from .server_without_sockets import Api, Refused


def one(api: Api, task: str, *fields: str) -> dict[str, Any]:
    """A task with its references filled in."""
    found: dict[str, Any] = api.call("tasks.get_by_id_ex", id=[task], only_fields=list(fields))["tasks"][0]
    return found


def test_references_of_references(api: Api) -> None:
    project = api.call("projects.create", name="fruit/apples")["id"]
    above = api.call("projects.get_all", name="^fruit$")["projects"][0]["id"]
    parent = api.task(name="the tree", project=project)
    task = api.task(parent=parent)
    assert one(api, task, "parent.project.parent.name") == {
        "id": task,
        "parent": {"id": parent, "project": {"id": project, "parent": {"id": above, "name": "fruit"}}},
    }
    assert one(api, task, "parent.name", "parent.user.name") == {
        "id": task,
        "parent": {"id": parent, "name": "the tree", "user": {"id": "local", "name": "Local User"}},
    }
    assert one(api, task, "parent") == {"id": task, "parent": {"id": parent}}
    assert one(api, task, "project.name", "execution.queue.name") == {"id": task, "execution": {}}


def test_models_in_lists(api: Api) -> None:
    maker = api.task(name="maker")
    first, second = api.model(name="first", task=maker, framework="PyTorch"), api.model(name="second")
    outputs = [{"name": "a", "model": first}, {"name": "b", "model": second}, {"name": "c", "model": "deleted"}]
    task = api.task(models={"output": outputs})
    found = one(api, task, "models.input.name", "models.output.model.framework", "models.output.model.task.name")
    assert found["models"] == {
        "input": [],
        "output": [
            {"model": {"id": first, "framework": "PyTorch", "task": {"id": maker, "name": "maker"}}},
            {"model": {"id": second}},
            {"model": {"id": "deleted"}},
        ],
    }
    assert one(api, task, "models.output.name")["models"]["output"] == [{"name": name} for name in "abc"]
    assert api.get(task)["models"]["output"] == outputs


def test_models_by_id(api: Api) -> None:
    model = api.model(name="first", task=api.task(name="maker"))
    api.model(name="second")
    [found] = api.call("models.get_by_id_ex", id=[model], only_fields=["name", "task.name"])["models"]
    assert (found["name"], found["task"]["name"]) == ("first", "maker")


def test_a_users_preferences_are_no_part_of_a_reference(api: Api) -> None:
    api.call("users.set_preferences", preferences={"secret": 1})
    task = api.task()
    assert one(api, task, "user", "user.name")["user"] == {"id": "local", "name": "Local User"}
    with pytest.raises(Refused):
        one(api, task, "user.preferences")


def test_parts_of_lists() -> None:
    document = {"a": [{"b": 1, "c": 2}, {"c": 3}], "tags": ["x"], "e": []}
    assert pick(document, ["a.b"]) == {"a": [{"b": 1}, {}]}
    assert pick(document, ["a.b", "a.c"]) == pick(document, ["a"]) == {"a": document["a"]}
    assert pick(document, ["a", "a.b"]) == {"a": document["a"]}
    assert pick(document, ["tags.x", "e.f"]) == {"e": []}
