"""Projects moved, merged and deleted; what they hold."""

from __future__ import annotations

from typing import Any

import pytest

from .server_without_sockets import Api, Refused


def names(api: Api) -> list[str]:
    return [each["name"] for each in api.call("projects.get_all", order_by=["name"])["projects"]]


def make(api: Api, name: str) -> str:
    return str(api.call("projects.create", name=name)["id"])


def test_a_project_is_moved_with_all_below_it(api: Api) -> None:
    project = make(api, "one/two")
    make(api, "one/two/three")
    assert api.call("projects.move", project=project, new_location="elsewhere") == {"moved": 2}
    assert names(api) == ["elsewhere", "elsewhere/two", "elsewhere/two/three", "one"]
    api.call("projects.move", project=project)
    assert names(api) == ["elsewhere", "one", "two", "two/three"]
    for location, code in (("two/three", 411), ("", 410), ("/", 410), ("ab", 12)):
        with pytest.raises(Refused) as error:
            api.call("projects.move", project=project, new_location=location)
        assert error.value.code == (400, code)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("par/abc", "par/abc"),
        ("/par", "par"),
        ("par/", "par"),
        ("par// abc", "par/abc"),
        ("", 407),
        ("/", 407),
        ("ab", 12),
        ("par/ab", 12),
        ("par/ ab ", 12),
    ],
)
def test_every_step_of_a_path_has_three_characters(name: str, found: str | int, api: Api) -> None:
    if isinstance(found, str):
        assert api.call("projects.get_by_id", project=make(api, name))["project"]["name"] == found
    else:
        with pytest.raises(Refused) as error:
            make(api, name)
        assert error.value.code == (400, found)


def test_a_new_name_is_at_the_same_place(api: Api) -> None:
    project = make(api, "above/below")
    api.call("projects.update", project=project, name="above/beside")
    assert names(api) == ["above", "above/beside"]
    for name, code in (("beside", 408), ("elsewhere/b", 408), ("above/b", 12), ("above/below/z", 408)):
        with pytest.raises(Refused) as error:
            api.call("projects.update", project=project, name=name)
        assert error.value.code == (400, code)


def test_tasks_stay_without_a_project_that_is_deleted(api: Api) -> None:
    project = make(api, "above")
    task = api.task(project=make(api, "above/below"))
    answer = api.call("projects.delete", project=project, force=True)
    assert (answer["deleted"], answer["disassociated_tasks"], "project" in api.get(task)) == (2, 1, False)


def test_a_project_is_merged_into_another(api: Api) -> None:
    source, target = make(api, "source"), make(api, "target")
    below = make(api, "source/below")
    task, model = api.task(project=source), api.model(project=source)
    deep = api.task(project=below)
    assert api.call("projects.merge", project=source, destination_project=target) == {
        **{"moved_entities": 2, "moved_projects": 1}
    }
    assert names(api) == ["target", "target/below"]
    assert api.get(task)["project"] == target and api.get(deep)["project"] == below
    assert api.call("models.get_by_id", model=model)["model"]["project"] == target


def test_a_merge_is_done_as_a_whole_or_not_at_all(api: Api) -> None:
    source, target = make(api, "source"), make(api, "target")
    make(api, "source/same")
    make(api, "target/same")
    task = api.task(project=source)
    for destination, code in (
        (target, (400, 801)),
        (source, (400, 410)),
        (make(api, "source/inner"), (400, 411)),
        ("unknown", (400, 401)),
    ):
        with pytest.raises(Refused) as error:
            api.call("projects.merge", project=source, destination_project=destination)
        assert error.value.code == code
    assert api.get(task)["project"] == source


def test_a_project_is_deleted_with_its_contents(api: Api) -> None:
    project = make(api, "above")
    task = api.task(project=make(api, "above/below"))
    api.model(project=project, uri="s3://of/the/project")
    api.model(project=project, task=task, ready=False, uri="s3://of/the/task")
    answer = api.call("projects.delete", project=project, force=True, delete_contents=True)
    assert (answer["deleted"], answer["deleted_tasks"], answer["deleted_models"]) == (2, 1, 2)
    assert sorted(answer["urls"]["model_urls"]) == ["s3://of/the/project", "s3://of/the/task"]
    assert api.call("models.get_all")["models"] == []


def test_parameters_and_metrics_with_or_without_what_is_below(api: Api) -> None:
    above, below = make(api, "above"), make(api, "above/below")
    for project, value in ((above, "1"), (below, "2")):
        section = {"lr": {"section": "General", "name": "lr", "value": value}}
        api.report(api.task(project=project, hyperparams={"General": section}), (0, 1.0), variant=value)

    def found(**request: Any) -> tuple[list[str], list[str]]:
        named = {"section": "General", "name": "lr"}
        values = api.call("projects.get_hyperparam_values", projects=[above], **named, **request)["values"]
        metrics = api.call("projects.get_unique_metric_variants", project=above, **request)["metrics"]
        return values, [each["variant"] for each in metrics]

    assert found() == (["1", "2"], ["1", "2"])
    assert found(include_subprojects=False) == (["1"], ["1"])


def test_metadata_of_a_queue(api: Api) -> None:
    queue = api.queue()
    for key in ("a", "b"):
        api.call("queues.add_or_update_metadata", queue=queue, metadata=[{"key": key, "type": "str", "value": "1"}])
    assert list(api.call("queues.get_by_id", queue=queue)["queue"]["metadata"]) == ["a", "b"]
    api.call("queues.delete_metadata", queue=queue, keys=["a"])
    assert list(api.call("queues.get_by_id", queue=queue)["queue"]["metadata"]) == ["b"]


def test_what_is_in_a_project_goes_with_it_only_by_force(api: Api) -> None:
    project = make(api, "kept")
    task = api.task(project=project)
    with pytest.raises(Refused):
        api.call("projects.delete", project=project, delete_contents=True)
    assert api.get(task)["project"] == project
