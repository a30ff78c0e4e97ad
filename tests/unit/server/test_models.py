"""Models: published, moved, deleted, and what becomes of them when their task goes."""

from __future__ import annotations

import json

import pytest

from .server_without_sockets import Api, Refused


def found(api: Api, model: str) -> bool:
    return bool(api.call("models.get_all", id=[model])["models"])


def test_many_models_are_published_and_deleted(api: Api) -> None:
    models = [api.model(ready=False, task=api.task()) for _ in range(2)]
    answer = api.call("models.publish_many", ids=[*models, "unknown"])
    assert [each["id"] for each in answer["succeeded"]] == models
    assert [each["error"]["codes"] for each in answer["failed"]] == [[400, 201]]
    again = api.call("models.publish_many", ids=models)["failed"]
    assert [each["error"]["codes"] for each in again] == [[400, 203]] * 2
    answer = api.call("models.delete_many", ids=models)
    assert [each["url"] for each in answer["succeeded"]] == ["file:///x"] * 2


def test_a_model_takes_its_task_along(api: Api) -> None:
    task = api.task()
    model = api.model(ready=False, task=task)
    with pytest.raises(Refused) as error:
        api.call("models.set_ready", model=model, publish_task=True)
    assert error.value.code == (400, 110)
    assert not api.call("models.get_by_id", model=model)["model"]["ready"]
    answer = api.call("models.set_ready", model=model, publish_task=True, force_publish_task=True)
    assert answer["published_task"]["id"] == task and api.get(task)["status"] == "published"


def test_models_are_moved(api: Api) -> None:
    model = api.model()
    project = api.call("models.move", ids=[model], project_name="moved/here")["project_id"]
    assert api.call("models.get_by_id", model=model)["model"]["project"] == project
    with pytest.raises(Refused) as error:
        api.call("models.move", ids=[model], project="unknown")
    assert error.value.code == (400, 401)


def test_metadata_is_completed_or_replaced(api: Api) -> None:
    model = api.model(metadata={"a": {"key": "a", "type": "int", "value": "1"}})

    def keys(**request: object) -> list[str]:
        if request:
            api.call("models.add_or_update_metadata", model=model, **request)
        return list(api.call("models.get_by_id", model=model)["model"]["metadata"])

    more = [{"key": "b", "type": "str", "value": "2"}]
    assert keys() == ["a"]
    assert keys(metadata=more) == ["a", "b"]
    assert keys(metadata=more, replace_metadata=True) == ["b"]


def test_metadata_of_a_project(api: Api) -> None:
    above = api.call("projects.create", name="above")["id"]
    below = api.call("projects.create", name="above/below")["id"]
    for project, value in ((above, "1"), (below, "2"), (below, "2")):
        api.model(project=project, metadata={"k": {"key": "k", "type": "str", "value": value}})
    assert api.call("projects.get_model_metadata_keys", project=above) == {"total": 1, "remaining": 0, "keys": ["k"]}
    asked = {"projects": [above], "key": "k"}
    assert api.call("projects.get_model_metadata_values", **asked)["values"] == ["1", "2"]
    assert api.call("projects.get_model_metadata_values", **asked, include_subprojects=False)["values"] == ["1"]


@pytest.mark.parametrize("action", ["delete", "reset"])
def test_models_go_with_their_task_unless_they_are_needed(action: str, api: Api) -> None:
    task, other = api.task(), api.task()
    draft, used, published = (api.model(task=task, ready=ready, uri=uri) for ready, uri in _MODELS)
    api.call("tasks.add_or_update_model", task=other, name="used", model=used, type="input")
    answer = api.call(f"tasks.{action}", task=task, force=True, return_file_urls=True)
    assert answer["deleted_models"] == 1 and answer["urls"]["model_urls"] == ["s3://draft"]
    assert [found(api, model) for model in (draft, used, published)] == [False, True, True]
    if action == "delete":
        assert answer["updated_models"] == 2
        assert api.call("models.get_by_id", model=used)["model"]["task"] == f"__DELETED__{task}"


_MODELS = ((False, "s3://draft"), (False, "s3://used"), (True, "s3://published"))


def test_models_stay_when_asked(api: Api) -> None:
    task = api.task()
    model = api.model(task=task, ready=False)
    assert api.call("tasks.delete", task=task, force=True, delete_output_models=False)["deleted_models"] == 0
    assert found(api, model)


def test_the_files_of_a_task_that_goes(api: Api) -> None:
    task = api.task()
    image = {"type": "training_debug_image", "task": task, "metric": "m", "variant": "v", "url": "s3://image"}
    api.call("events.add", **image, iter=0)
    api.call("tasks.add_or_update_artifacts", task=task, artifacts=[{"key": "a", "type": "t", "uri": "s3://a"}])
    urls = api.call("tasks.delete", task=task, force=True, return_file_urls=True)["urls"]
    assert urls == {"model_urls": [], "event_urls": ["s3://image"], "artifact_urls": ["s3://a"]}


def test_the_model_of_a_task_that_is_named(api: Api) -> None:
    task, model = api.task(), api.model()
    asked = {"task": task, "override_model_id": model, "tags": ["a"]}
    with pytest.raises(Refused) as refused:
        api.call("models.update_for_task", **asked)
    assert refused.value.code == (301, 1)  # withdrawn since 2.14
    assert api.send("/v2.13/models.update_for_task", json.dumps(asked).encode())["id"] == model
    changed = api.call("models.get_by_id", model=model)["model"]
    assert (changed["task"], changed["tags"], changed["uri"]) == (task, ["a"], "file:///x")
