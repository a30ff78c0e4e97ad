"""Filters, order, pages and fields of ``get_all``."""

from __future__ import annotations

from datetime import datetime, timezone
from hashlib import md5
from typing import Any

import pytest

from clearml_hpo.server.store.list_filters import Group, Terms, parse_terms
from clearml_hpo.server.store.remembered import LIFETIME, Remembered

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
        (["__$any", "__$not", "a", "-b"], Terms(any_of=[Group([], ["a", "b"])])),
        (["__$all", "a", "__$nop", "b", "c"], Terms(all_of=["a"], any_of=[Group(["b", "c"])])),
        (["__$not", None], Terms(any_of=[Group([None])])),
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
        ({"tags": [None]}, ["one"]),
        ({"tags": ["__$not", None]}, ["one"]),
        ({"tags": ["__$any", "__$not", "x", "__$not", "y"]}, ["one"]),
        ({"tags": ["__$all", "y", "__$nop", "x"]}, ["two"]),
        ({"tags": []}, ["two", "ten", "one"]),
        ({"tags": "x"}, ["two"]),
        ({"created": ["2026-01-01", "2026-01-02T00:00:00Z"]}, ["two", "ten", "one"]),
        ({"created": [">=2026-01-01", "<2026-01-02"]}, []),
        ({"started": [None, "2027-01-01"]}, ["two", "ten", "one"]),
        ({"started": ["2026-01-01", None]}, []),
        ({"last_update": [">=2026-01-01", "<2026-01-02T00:00:00Z"]}, ["two", "ten", "one"]),
        ({"last_update": ">2027-01-01"}, []),
        ({"last_update": ["no time", ">2027-01-01"]}, []),
        ({"last_update": ["no time"]}, ["two", "ten", "one"]),
        ({"company": ["x"], "completed": ["x"], "models.output": ["x"]}, ["two", "ten", "one"]),
        ({"filters": {"tags": {"any": {"include": ["x"]}}}}, ["two"]),
        ({"filters": {"tags": {"all": {"include": ["y"], "exclude": ["x"]}}}}, ["ten"]),
        ({"filters": {"tags": {"any": {"include": ["x"], "exclude": ["y"]}}}}, ["two", "one"]),
        ({"filters": {"tags": {"any": {"include": ["x"]}, "all": {"exclude": ["y"]}, "op": "or"}}}, ["two", "one"]),
        ({"filters": {"unknown": {"any": {"include": ["x"]}}, "tags": {}}}, ["two", "ten", "one"]),
        ({"_or_": {"fields": ["last_update", "last_change"], "datetime": [">2026-01-01"]}}, ["two", "ten", "one"]),
        ({"_or_": {"fields": ["started", "created"], "datetime": ">2027-01-01"}}, []),
        ({"_any_": {"fields": ["name", "type"], "values": ["-two"]}}, ["two", "ten", "one"]),
        ({"_any_": {"fields": ["name"], "pattern": ""}}, ["two", "ten", "one"]),
        ({"_and_": {"fields": ["name", "comment"], "pattern": "T"}}, ["two", "ten"]),
        ({"last_iteration": [0, None]}, ["two", "ten", "one"]),
        ({"last_iteration": [1, 5]}, []),
        ({f"last_metrics.{METRIC}.max_value": [2.5, None]}, ["ten"]),
        ({f"last_metrics.{METRIC}.min_value": [None, 2.5]}, ["two", "one"]),
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
        ({"page": 1}, []),
        ({"page": None, "page_size": None}, ["two", "ten", "one"]),
        ({"size": 1}, ["two", "ten", "one"]),
        ({"unknown": "is ignored", "order_by": [""]}, ["two", "ten", "one"]),
    ],
)
def test_tasks_found(request_: dict[str, Any], names: list[str], three: Api) -> None:
    assert three.names(**request_) == names


@pytest.mark.parametrize(
    ("subcode", "requests"),
    [
        (11, [{"page_size": None}, {"page": 0, "page_size": None}]),
        (
            12,
            [
                *[{"page": page} for page in (-1, 1.5, "0", [])],
                *[{"page_size": size} for size in (0, -1, 1.5, "5", [])],
                *[{"scroll_id": None, "size": size} for size in (None, 0, "5", 1.5)],
                {"scroll_id": "x"},
                {"started": ["2026-01-01"]},
                {"created": []},
                {"created": "2026-01-01"},
                {f"last_metrics.{METRIC}.value": [1]},
                {"filters": {"tags": 5}},
                {"filters": {"tags": {"some": {"include": ["x"]}}}},
                {"filters": {"tags": {"any": {"within": ["x"]}}}},
                {"only_fields": [5]},
                {"order_by": [None]},
            ],
        ),
        (
            14,
            [
                *[{"order_by": order} for order in (["unknown"], ["+name"], ["project.name"], "name", ["-"])],
                *[{"only_fields": names} for names in (["unknown"], ["-unknown"], ["script.unknown"], ["*"], "id")],
                {"only_fields": ["project.name"]},
                {"_any_": {"fields": ["unknown"], "pattern": "x"}},
            ],
        ),
        (
            16,
            [
                *[{name: value} for name in ("id", "tags", "status", "parent") for value in (5, {}, [5])],
                *[{"_any_": value} for value in (None, "x", [], {"fields": ["name"]}, {"pattern": "x"})],
                {"_all_": {"fields": [], "pattern": "x"}},
                *[{"filters": value} for value in (None, "x", [])],
                {"last_update": [None]},
                {"order_by": ["@text_score"]},
            ],
        ),
        (21, [{"name": "("}, {"_any_": {"fields": ["name"], "pattern": "["}}]),
    ],
)
def test_requests_that_are_refused(subcode: int, requests: list[dict[str, Any]], three: Api) -> None:
    for request in requests:
        with pytest.raises(Refused) as error:
            three.call("tasks.get_all", **request)
        assert error.value.code == (400, subcode), request


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
    [found] = three.call("tasks.get_all", name="^two$", only_fields=["name", "execution.artifacts", "runtime.of.that"])[
        "tasks"
    ]
    assert found == {"name": "two", "execution": {"artifacts": []}, "runtime": {}}
    [found] = three.call("tasks.get_all", name="^two$", only_fields=["hyperparams.properties.trial.number.value"])[
        "tasks"
    ]
    assert found == {"hyperparams": {"properties": {"trial.number": {"value": "2"}}}}


def test_only_the_metrics_that_were_asked_for(api: Api) -> None:
    task, (m, n, v) = api.task(), [md5(name.encode()).hexdigest() for name in "mnv"]
    for name in "mn":
        api.report(task, (0, 1.0), metric=name)
    whole = api.get(task)["last_metrics"]

    def shown(*fields: str) -> Any:
        [found] = api.call("tasks.get_all", id=[task], only_fields=[f"last_metrics{field}" for field in fields])[
            "tasks"
        ]
        return found["last_metrics"]

    assert shown("") == shown(f".{m}", "") == whole
    assert shown(f".{m}") == shown(f".{m}.{v}") == {m: whole[m]}
    assert shown(f".{m}.{v}.value", f".{n}.{v}.count") == {m: {v: {"value": 1.0}}, n: {v: {"count": 1}}}
    assert (shown(f".{v}"), shown(f".{m}.{n}")) == ({}, {m: {}})
    asked = {"id": [task], "only_fields": [f"last_metrics.{m}", "unique_metrics"]}
    [found] = api.call("tasks.get_all", **asked)["tasks"]
    assert found == {"last_metrics": {m: whole[m]}, "unique_metrics": ["m/v", "n/v"]}


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
    first = three.call("tasks.get_all", size=2, only_fields=["id", "name"], refresh_scroll=True, scroll_id=None)
    three.call("tasks.update", task=first["tasks"][0]["id"], name="first")
    again = three.call("tasks.get_all", size=2, only_fields=["name"], refresh_scroll=True, scroll_id=first["scroll_id"])
    assert [task["name"] for task in again["tasks"]] == ["first", "ten"]
    rest = three.call("tasks.get_all", size=2, only_fields=["name"], scroll_id=again["scroll_id"])
    assert [task["name"] for task in rest["tasks"]] == ["one"]


def test_a_scroll_keeps_its_id_and_its_position(three: Api) -> None:
    def scroll(id_: str | None, **request: Any) -> tuple[list[str], str]:
        answer = three.call("tasks.get_all", **{"size": 2, "only_fields": ["name"], "scroll_id": id_, **request})
        return [task["name"] for task in answer["tasks"]], answer["scroll_id"]

    first, id_ = scroll(None)
    assert (first, scroll(id_)) == (["two", "ten"], (["one"], id_))
    for after in ({}, {"order_by": ["name"]}, {"size": 500}, {"page": 0, "page_size": 1}):
        assert scroll(id_, **after) == ([], id_)
    anew, other = scroll("unknown")
    assert anew == first and other != id_


def test_what_is_old_or_longest_unused_is_forgotten() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    known: Remembered[int] = Remembered(lambda: now, most=3)
    first, second, third = known.add(1), known.add(2), known.add(3)
    assert known.find(first) == 1  # so the second is the longest unused
    fourth = known.add(4)
    assert [known.find(id_) for id_ in (second, first, third, fourth)] == [None, 1, 3, 4]
    now += LIFETIME * 2
    assert known.find(first) is None


def test_a_page_has_500_rows_at_most(api: Api) -> None:
    ids = [api.task() for _ in range(503)]

    def size(**request: Any) -> int:
        return len(api.call("tasks.get_all", only_fields=["id"], **request)["tasks"])

    assert [size(), size(page_size=1000), size(id=ids), size(size=1000)] == [500] * 4
    assert [size(page=1, page_size=1000), size(page=1), size(id=ids, page=1)] == [3] * 3
    assert size(scroll_id=None, size=1000) == 503


def test_all_fields_but_some(three: Api) -> None:
    def found(action: str, *fields: str) -> dict[str, Any]:
        document: dict[str, Any] = three.call(f"tasks.{action}", name="^two$", only_fields=fields)["tasks"][0]
        return document

    for action in ("get_all", "get_all_ex"):
        whole = found(action)
        assert found(action, "-name", "-script.binary").keys() == whole.keys() - {"name"}
        assert "binary" not in found(action, "-name", "-script.binary")["script"]
    assert found("get_all", "name") == {"name": "two"}
    assert found("get_all_ex", "name").keys() == {"name", "id"}
    assert found("get_all_ex", "*").keys() == found("get_all_ex").keys() | {"unique_metrics"}
    assert found("get_all_ex", "*", "project.name")["project"]["name"] == "above/below"
    assert found("get_all_ex", "hyperparams.*").keys() == {"id", "hyperparams"}
    assert found("get_all_ex", "execution.parameters")["hyperparams"] == {}
    for fields in (["unknown"], ["stats"], ["script.unknown"], ["project.unknown"], [""], "id"):
        with pytest.raises(Refused) as error:
            three.call("tasks.get_all_ex", only_fields=fields)
        assert error.value.code == (400, 14)


def test_projects_by_what_is_in_them(api: Api) -> None:
    ids = {name: api.call("projects.create", name=name)["id"] for name in ("above/below", "beside")}
    report = api.call("reports.create", name="a report", project=ids["above/below"])
    task = api.task(project=ids["beside"], tags=["one"], system_tags=["pipeline"])
    user = api.get(task)["user"]

    def names(**request: Any) -> list[str]:
        found = api.call("projects.get_all_ex", order_by=["name"], **request)["projects"]
        return [project["name"] for project in found]

    assert names(children_type="report") == ["above", "above/below"]
    assert names(children_type="report", search_hidden=True)[-1] == "above/below/.reports"
    assert names(children_type="pipeline", children_tags=["one"]) == ["beside"]
    assert names(children_type="pipeline", children_tags_filter={"any": {"exclude": ["one"]}}) == []
    assert names(active_users=["nobody"]) == []
    assert names(active_users=[user]) == ["above", "above/below", "beside"]
    assert api.get(report["id"])["project"] == report["project_id"]
    for request in ({"children_type": "x"}, {"stats_for_state": "x"}, {"active_users": [5]}):
        with pytest.raises(Refused) as error:
            names(**request)
        assert error.value.code == (400, 12)


def test_numbers_of_projects(api: Api) -> None:
    above, below = (api.call("projects.create", name=name)["id"] for name in ("above", "above/below"))
    api.call("projects.create", name="above/hidden", system_tags=["hidden"])
    for project in (above, below):
        api.task(project=project)

    def found(**request: Any) -> tuple[int, list[str]]:
        project = api.call("projects.get_all_ex", id=[above], include_stats=True, **request)["projects"][0]
        return project["stats"]["active"]["total_tasks"], [each["name"] for each in project["sub_projects"]]

    assert found() == (2, ["above/below"])
    assert found(search_hidden=True) == (2, ["above/below", "above/hidden"])
    assert found(stats_with_children=False) == (1, [])


def test_which_ones_must_be_said(api: Api) -> None:
    for noun in ("tasks", "models"):
        with pytest.raises(Refused) as error:
            api.call(f"{noun}.get_by_id_ex", only_fields=["id"])
        assert error.value.code == (400, 11)


def test_many_ids_at_once(api: Api) -> None:
    tasks = [api.task() for _ in range(50)]
    ids = [*tasks, *(f"unknown {i}" for i in range(2000))]
    assert [task["id"] for task in api.call("tasks.get_all", id=ids, only_fields=["id"])["tasks"]] == tasks


def test_a_bad_pattern_is_the_clients_fault(api: Api) -> None:
    with pytest.raises(Refused, match="Malformed regular expression") as error:
        api.names(name="(")
    assert error.value.code == (400, 21)


def test_project_names_make_a_tree(api: Api) -> None:
    api.call("projects.create", name="a tree/with/projects")
    found = {p["name"]: p for p in api.call("projects.get_all", order_by=["name"])["projects"]}
    assert list(found) == ["a tree", "a tree/with", "a tree/with/projects"]
    assert found["a tree/with/projects"]["parent"] == found["a tree/with"]["id"]
    path = api.call("projects.get_by_id", project=found["a tree/with/projects"]["id"])["project"]["path"]
    assert path == [found["a tree"]["id"], found["a tree/with"]["id"]]
    api.call("projects.update", project=found["a tree"]["id"], name="a forest")
    names = [p["name"] for p in api.call("projects.get_all", order_by=["name"])["projects"]]
    assert names == ["a forest", "a forest/with", "a forest/with/projects"]
    assert [p["name"] for p in api.call("projects.get_all", shallow_search=True)["projects"]] == ["a forest"]
