"""Users, and what they prefer; names in use; what is in a project."""

from __future__ import annotations

import pytest

from clearml_hpo.server import identity
from clearml_hpo.server.auth import Caller

from .server_without_sockets import Api, Refused


def as_user(api: Api, name: str) -> str:
    """Makes a user and calls as that one from now on; the id."""
    made = api.apps.store.users.create({"name": name, "given_name": name})
    api.bearer = f"Bearer {api.apps.authority.issue(caller=Caller(user=made))}"
    return made


def test_the_key_stands_for_one_user_and_others_are_made_by_name(api: Api) -> None:
    assert api.call("users.get_current_user")["user"]["id"] == identity.USER_ID
    made = as_user(api, "Tess")
    user = api.call("users.get_current_user")["user"]
    assert (user["id"], user["name"], user["given_name"]) == (made, "Tess", "Tess")
    assert [user["id"] for user in api.call("users.get_all")["users"]] == [identity.USER_ID, made]
    assert api.call("users.get_all", only_fields=["name"], id=[made])["users"] == [{"name": "Tess"}]
    assert api.call("users.get_by_id", user=identity.USER_ID)["user"]["name"] == identity.USER_NAME


def test_what_a_user_makes_and_changes_is_that_users(api: Api) -> None:
    ours = api.task()
    made = as_user(api, "Tess")
    theirs = api.task()
    assert [task["id"] for task in api.call("tasks.get_all", user=[made])["tasks"]] == [theirs]
    assert api.get(api.call("tasks.clone", task=ours)["id"])["user"] == made
    api.call("tasks.update", task=ours, comment="seen")
    assert (api.get(ours)["user"], api.get(ours)["last_changed_by"]) == (identity.USER_ID, made)
    api.call("tasks.enqueue", task=ours)
    assert api.call("tasks.stop", task=ours)["fields"]["status_message"] == "Stopped by Tess"
    assert api.call("projects.get_user_names")["users"] == [
        {"id": identity.USER_ID, "name": identity.USER_NAME},
        {"id": made, "name": "Tess"},
    ]


def test_a_token_of_a_user_stays_that_users(api: Api) -> None:
    made = as_user(api, "Tess")
    token = api.send("auth.login", authorization=api.bearer)["token"]
    api.bearer = f"Bearer {token}"
    assert api.call("users.get_current_user")["user"]["id"] == made


def test_preferences_are_each_users_own_and_change_by_their_topmost_names(api: Api) -> None:
    api.call("users.set_preferences", preferences={"theme": "dark"})
    as_user(api, "Tess")
    assert api.call("users.get_preferences") == {"preferences": {}}
    api.call("users.set_preferences", preferences={"version": 1, "views": {"a": 1, "b": 2}})
    changed = api.call("users.set_preferences", preferences={"views": {"a": 3}}, return_updated=True)
    assert changed["fields"]["preferences"] == {"version": 1, "views": {"a": 3}}
    assert api.call("users.get_preferences") == {"preferences": {"version": 1, "views": {"a": 3}}}


def test_a_user_that_is_gone_is_refused(api: Api) -> None:
    api.bearer = f"Bearer {api.apps.authority.issue(caller=Caller(user='nobody'))}"
    for endpoint in ("users.get_current_user", "users.get_preferences"):
        with pytest.raises(Refused) as refused:
            api.call(endpoint)
        assert refused.value.code == (400, 301)


def test_who_may_log_in_how_is_said_to_anybody(api: Api) -> None:
    assert api.call("login.supported_modes")["authenticated"] is True
    assert api.send("login.supported_modes", authorization="")["authenticated"] is False
    assert api.send("login.supported_modes", authorization="Bearer wrong")["authenticated"] is False


# --- names in use -----------------------------------------------------------------------------------------------------


def test_tags_are_those_of_the_entity_in_the_projects_below(api: Api) -> None:
    above = api.call("projects.create", name="fruit", tags=["p"], system_tags=["pipeline"])["id"]
    below = api.call("projects.create", name="fruit/apples", tags=["q"])["id"]
    api.task(project=below, tags=["t"])
    api.task(tags=["elsewhere"], system_tags=["archived"])
    api.model(project=below, tags=["m"])
    assert api.call("projects.get_task_tags", projects=[above])["tags"] == ["t"]
    assert api.call("projects.get_task_tags", projects=[above], include_subprojects=False)["tags"] == []
    assert api.call("projects.get_task_tags", include_system=True)["system_tags"] == ["archived"]
    assert api.call("projects.get_task_tags", filter={"system_tags": ["-archived"]})["tags"] == ["t"]
    assert api.call("projects.get_model_tags")["tags"] == ["m"]
    assert api.call("projects.get_project_tags", filter={"system_tags": ["-pipeline"]})["tags"] == ["q"]


def test_parents_by_name_with_their_projects(api: Api) -> None:
    project = api.call("projects.create", name="fruit")["id"]
    tree = api.task(name="tree", project=project)
    branch = api.task(name="branch", parent=tree, project=project)
    api.task(parent=branch, system_tags=["archived"])
    shown = {"id": tree, "name": "tree", "project": {"id": project, "name": "fruit"}}
    assert api.call("projects.get_task_parents")["parents"] == [shown]
    names = [
        [each["name"] for each in api.call("projects.get_task_parents", tasks_state=state)["parents"]]
        for state in ("archived", None)
    ]
    assert names == [["branch"], ["branch", "tree"]]
    with pytest.raises(Refused, match="active or archived"):
        api.call("projects.get_task_parents", tasks_state="other")


def test_users_and_frameworks(api: Api) -> None:
    project = api.project()
    api.task(project=project)
    api.model(project=project, framework="PyTorch")
    api.model(framework="")
    assert api.call("projects.get_user_names", projects=[project])["users"] == [
        {"id": identity.USER_ID, "name": identity.USER_NAME}
    ]
    assert api.call("projects.get_user_names", projects=[api.project()], entity="model")["users"] == []
    assert api.call("models.get_frameworks") == {"frameworks": ["PyTorch"]}
    assert api.call("models.get_frameworks", projects=[api.project()]) == {"frameworks": []}


# --- projects ---------------------------------------------------------------------------------------------------------


def test_what_would_go_with_a_project(api: Api) -> None:
    project = api.call("projects.create", name="fruit/apples")["id"]
    above = api.call("projects.get_all", name="^fruit$")["projects"][0]["id"]
    for tags in (["archived"], ["pipeline"], []):
        api.task(project=project, system_tags=tags)
    api.model(project=project)
    found = api.call("projects.validate_delete", project=above)
    assert {name: number for name, number in found.items() if number} == {
        **{"tasks": 3, "non_archived_tasks": 2, "pipelines": 1, "models": 1, "non_archived_models": 1}
    }


def test_statistics_of_a_project_by_filter(api: Api) -> None:
    project = api.project()
    for tags in (["archived"], ["pipeline"], []):
        api.task(project=project, system_tags=tags)

    def total(**request: object) -> tuple[str, int]:
        found = api.call("projects.get_all_ex", id=[project], include_stats=True, **request)["projects"][0]["stats"]
        return next((state, numbers["total_tasks"]) for state, numbers in found.items())

    assert total() == ("active", 2)
    assert total(stats_for_state="archived") == ("active", 2)  # as on ClearML's server
    assert total(include_stats_filter={"system_tags": ["-pipeline"]}) == ("active", 1)
    found = api.call("projects.get_all_ex", id=[project], check_own_contents=True)["projects"][0]
    assert (found["own_tasks"], found["own_models"]) == (3, 0)
    with pytest.raises(Refused):
        total(stats_for_state="other")
