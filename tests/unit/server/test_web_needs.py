"""What ClearML's web app asks for besides lists: tags, sharing, reports, counts, settings, tables as files."""

from __future__ import annotations

from typing import Any

import pytest

from clearml_hpo.server.endpoint import Call
from clearml_hpo.server.services.downloads import table

from .server_without_sockets import Api, Refused


def refused(api: Api, endpoint: str, **request: Any) -> tuple[int, int]:
    with pytest.raises(Refused) as error:
        api.call(endpoint, **request)
    return error.value.code


@pytest.mark.parametrize(
    ("request_", "updated", "tags"),
    [
        ({"add_tags": ["b", "a"]}, 1, ["a", "b", "x"]),
        ({"add_tags": ["x"]}, 1, ["x"]),
        ({"add_tags": ["a", "a"]}, 1, ["a", "a", "x"]),
        ({"remove_tags": ["x", "none"]}, 1, []),
        ({"add_tags": ["c"], "remove_tags": ["c"]}, 2, ["x"]),
    ],
)
def test_tags_are_added_and_removed(request_: dict[str, Any], updated: int, tags: list[str], api: Api) -> None:
    task = api.task(tags=["x"])
    before = api.get(task)
    assert api.call("tasks.update_tags", ids=[task], **request_) == {"updated": updated}
    assert (api.get(task)["tags"], api.get(task)["last_update"]) == (tags, before["last_update"])


def test_tags_of_all_or_none(api: Api) -> None:
    task, model = api.task(), api.model()
    assert refused(api, "tasks.update_tags", ids=[task, "unknown"], add_tags=["a"]) == (400, 101)
    assert refused(api, "models.update_tags", ids=["unknown"], add_tags=["a"]) == (400, 201)
    assert api.get(task)["tags"] == []
    assert api.call("models.update_tags", ids=[model], add_tags=["a"]) == {"updated": 1}
    for request in ({}, {"add_tags": []}, {"ids": [], "add_tags": ["a"]}):
        assert refused(api, "tasks.update_tags", **{"ids": [task], **request}) == (400, 12)


@pytest.mark.parametrize(("noun", "subcode"), [("tasks", 101), ("models", 201), ("projects", 401)])
def test_what_is_public_can_be_made_private_again(noun: str, subcode: int, api: Api) -> None:
    id_ = {"tasks": api.task, "models": api.model, "projects": api.project}[noun]()
    assert refused(api, f"{noun}.make_private", ids=[id_]) == (400, subcode)
    assert refused(api, f"{noun}.make_public", ids=[id_, "unknown"]) == (400, subcode)
    assert api.call(f"{noun}.make_public", ids=[id_]) == {"updated": 1}
    assert api.call(f"{noun}.make_private", ids=[id_]) == {"updated": 1}
    assert refused(api, f"{noun}.make_public", ids=[]) == (400, 12)


def test_a_report_is_made_changed_and_listed(api: Api) -> None:
    project = api.call("projects.create", name="fruit")["id"]
    made = api.call("reports.create", name="a report", project=project, tags=["t"], report="# text")
    assert api.call("projects.get_by_id", project=made["project_id"])["project"]["name"] == "fruit/.reports"
    assert api.call("reports.update", task=made["id"], report="more") == {"updated": 1}
    [found] = api.call("reports.get_all_ex", only_fields=["report", "project.name", "tags"])["tasks"]
    assert (found["report"], found["project"]["name"], found["tags"]) == ("more", "fruit/.reports", ["t"])
    assert api.call("reports.get_tags") == {"tags": ["t"]}
    assert api.call("tasks.get_all")["tasks"] == []  # it is hidden there
    task = api.task()
    assert [each["id"] for each in api.call("reports.get_task_data", id=[task])["tasks"]] == [task]
    assert refused(api, "reports.update", task=task, name="another") == (400, 150)
    assert refused(api, "reports.update", task="unknown") == (400, 101)
    assert refused(api, "reports.create", name="ab") == (400, 12)
    assert refused(api, "reports.create", name="a report", project="unknown") == (400, 401)


def test_how_many_there_are_of_each_kind(api: Api) -> None:
    api.task(tags=["a"])
    api.task(system_tags=["hidden"])
    api.call("reports.create", name="a report")
    api.model()
    kinds = {"tasks": {}, "models": {}, "reports": {}, "datasets": {}, "hyper_datasets": {}}
    assert api.call("organization.get_entities_count", **kinds, pipelines=None) == {
        **{"tasks": 1, "models": 1, "reports": 1, "datasets": 0, "hyper_datasets": 0}
    }
    found = api.call("organization.get_entities_count", tasks={"tags": ["-a"], "search_hidden": True})
    assert found == {"tasks": 2}


def test_tags_of_what_fits_a_filter(api: Api) -> None:
    api.task(tags=["a"], system_tags=["archived"])
    api.task(tags=["b"])
    assert api.call("organization.get_tags")["tags"] == ["a", "b"]
    assert api.call("organization.get_tags", filter={"system_tags": ["archived"]}) == {"tags": ["a"]}


def test_what_there_is_none_of(api: Api) -> None:
    assert api.call("storage.get_settings") == {"settings": {}}
    assert api.call("serving.get_endpoints") == {"endpoints": []}
    assert [each["name"] for each in api.call("organization.get_user_companies")["companies"]] == ["clearml"]


def test_a_table_is_prepared_and_fetched(api: Api) -> None:
    for name in ("one", 'two, "quoted"'):
        api.task(name=name)
    columns = [
        {"field": "name", "name": "NAME"},
        {"field": "status", "name": "STATUS", "values": [{"key": "created", "value": "Draft"}]},
        {"field": "project.name"},
    ]
    request = {"entity_type": "task", "field_mappings": columns, "only_fields": ["name", "status", "project.name"]}
    id_ = api.call("organization.prepare_download_for_get_all", **request, order_by=["name"])["prepare_id"]
    call = Call(api.apps.store, api.apps.authority, {})
    assert table(call, id_).splitlines() == ["NAME,STATUS,project.name", "one,Draft,", '"two, ""quoted""",Draft,']
    assert refused(api, "organization.prepare_download_for_get_all", **{**request, "entity_type": "x"}) == (400, 12)


def test_what_users_keys_may_not(api: Api) -> None:
    for endpoint in ("server.config", "server.endpoints", "auth.create_user", "auth.validate_token"):
        assert refused(api, endpoint, name="Tess") == (403, 20)
    [key] = api.call("auth.get_credentials")["credentials"]
    assert key.keys() == {"access_key", "last_used", "last_used_from"}
    assert refused(api, "users.get_by_id") == (400, 12)
    for preferences in ({"a.b": 1}, {"a": {"$x": 1}}, {"a": [{"b.c": 1}]}):
        assert refused(api, "users.set_preferences", preferences=preferences) == (400, 16)
