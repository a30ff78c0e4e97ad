"""Filters, order, pages and fields of ``get_all``."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from clearml_hpo.server.store.terms import Group, Terms, parse_terms

from .server_without_sockets import Api, Refused


@pytest.mark.parametrize(
    ("items", "terms"),
    [
        (["a", "b"], Terms(any_of=[Group(["a", "b"])])),
        (["a", "-b"], Terms(any_of=[Group(["a"])], none_of=["b"])),
        (["-a"], Terms(none_of=["a"])),
        (["__$all", "a", "b", "__$not", "c"], Terms(all_of=["a", "b"], none_of=["c"])),
        (["__$not", "c"], Terms(none_of=["c"])),
        # the SDK's own example
        (
            ["__$all", "a", "b", "c", "__$or", "d", "__$not", "e", "__$and", "__$or", "f", "g"],
            Terms(all_of=["a", "b", "c"], any_of=[Group(["d"], ["e"]), Group(["f", "g"])]),
        ),
    ],
)
def test_terms(items: list[str], terms: Terms) -> None:
    assert parse_terms(items) == terms


# md5 of "m" and of "v"
METRIC = ".".join(md5(name.encode()).hexdigest() for name in ("m", "v"))


def parameter(section: str, name: str, value: str) -> dict[str, Any]:
    return {section: {name: {"section": section, "name": name, "value": value}}}


@pytest.fixture
def three(api: Api) -> Api:
    """Three tasks, made in the order two, ten, one."""
    project = api.call("projects.create", name="above/below")["id"]
    tags = {"two": ["x", "y"], "ten": ["y"], "one": []}
    for name, number in (("two", "2"), ("ten", "10"), ("one", "1")):
        task = api.task(
            name=name,
            project=project,
            tags=tags[name],
            comment=f"comment of {name}",
            hyperparams=parameter("properties", "trial.number", number),
        )
        if name != "one":
            api.report(task, (0, float(number)))
    return api


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({}, ["two", "ten", "one"]),
        ({"name": "^t"}, ["two", "ten"]),
        ({"name": "^two$"}, ["two"]),
        ({"name": "TWO"}, []),
        ({"tags": ["x"]}, ["two"]),
        ({"tags": ["x", "y"]}, ["two", "ten"]),
        ({"tags": ["__$all", "x", "y"]}, ["two"]),
        ({"tags": ["-y"]}, ["one"]),
        ({"tags": ["y", "-x"]}, ["ten"]),
        ({"status": ["created"]}, ["two", "ten", "one"]),
        ({"status": ["-created"]}, []),
        ({"type": ["testing"]}, []),
        ({"parent": [None]}, ["two", "ten", "one"]),
        ({"hyperparams.properties.trial.number.value": ["10", "1"]}, ["ten", "one"]),
        ({"_any_": {"pattern": "OF T", "fields": ["comment", "name"]}}, ["two", "ten"]),
        ({"_all_": {"pattern": "ten", "fields": ["comment", "name"]}}, ["ten"]),
        ({"created": [">=2026-01-01", "<2026-01-02T00:00:00Z"]}, ["two", "ten", "one"]),
        ({"created": ">2027-01-01"}, []),
        ({"_or_": {"fields": ["last_update", "last_change"], "datetime": [">2026-01-01"]}}, ["two", "ten", "one"]),
        ({"_or_": {"fields": ["started", "created"], "datetime": ">2027-01-01"}}, []),
        ({"_any_": {"fields": ["name", "type"], "values": ["-two"]}}, ["two", "ten", "one"]),
        ({"_and_": {"fields": ["name", "comment"], "pattern": "T"}}, ["two", "ten"]),
        ({"last_iteration": [0, None]}, ["two", "ten", "one"]),
        ({"last_iteration": [1, 5]}, []),
        ({f"last_metrics.{METRIC}.max_value": [2.5, None]}, ["ten"]),
        ({f"last_metrics.{METRIC}.min_value": [None, 2.5]}, ["two"]),
        ({f"last_metrics.{METRIC}.value": [2, 10]}, ["two", "ten"]),
        ({"search_text": "TEN two nothing"}, ["two", "ten"]),
        ({"search_text": "comment -ten"}, ["two", "one"]),
        ({"search_text": "omment"}, []),
        ({"search_text": "of ten comment", "order_by": ["-@text_score", "name"]}, ["ten", "one", "two"]),
        ({"order_by": ["name"]}, ["one", "ten", "two"]),
        ({"order_by": ["-created"]}, ["one", "ten", "two"]),
        ({"order_by": ["hyperparams.properties.trial.number.value"]}, ["one", "two", "ten"]),
        ({"order_by": ["-hyperparams.properties.trial.number.value"]}, ["ten", "two", "one"]),
        ({"page": 1, "page_size": 2}, ["one"]),
        ({"unknown": "is ignored", "order_by": ["unknown"]}, ["two", "ten", "one"]),
    ],
)
def test_tasks_found(request_: dict[str, Any], names: list[str], three: Api) -> None:
    assert three.names(**request_) == names


def test_tasks_without_the_metric_come_last_in_both_directions(three: Api) -> None:
    metric = ".".join(["last_metrics", *(md5(name.encode()).hexdigest() for name in ("m", "v")), "value"])
    assert three.names(order_by=[metric]) == ["two", "ten", "one"]
    assert three.names(order_by=[f"-{metric}"]) == ["ten", "two", "one"]


def test_what_is_hidden_is_found_by_its_id_or_when_asked(api: Api) -> None:
    hidden = {
        "tasks": api.task(system_tags=["hidden"]),
        "projects": api.call("projects.create", name="hidden one", system_tags=["hidden"])["id"],
        "queues": api.call("queues.create", name="hidden one", system_tags=["hidden"])["id"],
    }
    for noun, id_ in hidden.items():
        assert id_ not in [each["id"] for each in api.call(f"{noun}.get_all")[noun]]
        for asked in ({"search_hidden": True}, {"id": [id_]}):
            assert id_ in [each["id"] for each in api.call(f"{noun}.get_all", **asked)[noun]]


def test_a_long_queue_is_cut_when_asked(api: Api) -> None:
    queue = api.queue()
    for _ in range(3):
        api.call("tasks.enqueue", task=api.task(), queue=queue)
    sizes = [
        len(api.call("queues.get_all", id=[queue], **asked)["queues"][0]["entries"])
        for asked in ({}, {"max_task_entries": 2})
    ]
    assert sizes == [3, 2]


def test_projects_below_are_included_when_asked(three: Api) -> None:
    above = three.call("projects.get_all", name="^above$")["projects"][0]["id"]
    assert three.names(project=[above]) == []
    assert len(three.names(project=[above], include_subprojects=True)) == 3


def test_only_the_fields_that_were_asked_for(three: Api) -> None:
    [found] = three.call("tasks.get_all", name="^two$", only_fields=["name", "execution.artifacts", "nothing.of.that"])[
        "tasks"
    ]
    assert found == {"name": "two", "execution": {"artifacts": []}}
    [found] = three.call("tasks.get_all", name="^two$", only_fields=["hyperparams.properties.trial.number.value"])[
        "tasks"
    ]
    assert found == {"hyperparams": {"properties": {"trial.number": {"value": "2"}}}}


def test_joins(three: Api) -> None:
    [found] = three.call("tasks.get_all_ex", name="^two$", only_fields=["project.name", "user.name", "company"])[
        "tasks"
    ]
    assert found["project"]["name"] == "above/below" and set(found) == {"id", "project", "user", "company"}
    assert set(found["user"]) == {"id", "name"} and set(found["company"]) == {"id"}


def test_scroll(three: Api) -> None:
    found, scroll = [], None
    while True:
        answer = three.call("tasks.get_all", size=2, scroll_id=scroll, only_fields=["name"])
        if not answer["tasks"]:
            break
        found += [task["name"] for task in answer["tasks"]]
        scroll = answer["scroll_id"]
    assert found == ["two", "ten", "one"]


def test_a_scroll_is_asked_once_more(three: Api) -> None:
    first = three.call("tasks.get_all", size=2, only_fields=["id", "name"], refresh_scroll=True)
    three.call("tasks.update", task=first["tasks"][0]["id"], name="first")
    again = three.call("tasks.get_all", size=2, only_fields=["name"], refresh_scroll=True, scroll_id=first["scroll_id"])
    assert [task["name"] for task in again["tasks"]] == ["first", "ten"]
    rest = three.call("tasks.get_all", size=2, only_fields=["name"], scroll_id=again["scroll_id"])
    assert [task["name"] for task in rest["tasks"]] == ["one"]


def test_many_ids_at_once(api: Api) -> None:
    tasks = [api.task() for _ in range(50)]
    ids = [*tasks, *(f"unknown {i}" for i in range(2000))]
    assert [task["id"] for task in api.call("tasks.get_all", id=ids, only_fields=["id"])["tasks"]] == tasks


def test_a_bad_pattern_is_the_clients_fault(api: Api) -> None:
    with pytest.raises(Refused, match="bad regular expression") as error:
        api.names(name="(")
    assert error.value.code == (400, 12)


def test_project_names_make_a_tree(api: Api) -> None:
    api.call("projects.create", name="a tree/of/projects")
    found = {p["name"]: p for p in api.call("projects.get_all", order_by=["name"])["projects"]}
    assert list(found) == ["a tree", "a tree/of", "a tree/of/projects"]
    assert found["a tree/of/projects"]["parent"] == found["a tree/of"]["id"]
    path = api.call("projects.get_by_id", project=found["a tree/of/projects"]["id"])["project"]["path"]
    assert path == [found["a tree"]["id"], found["a tree/of"]["id"]]
    api.call("projects.update", project=found["a tree"]["id"], name="a forest")
    names = [p["name"] for p in api.call("projects.get_all", order_by=["name"])["projects"]]
    assert names == ["a forest", "a forest/of", "a forest/of/projects"]
    assert [p["name"] for p in api.call("projects.get_all", shallow_search=True)["projects"]] == ["a forest"]
