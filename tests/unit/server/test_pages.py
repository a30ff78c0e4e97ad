"""The pages at the web port."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from .server_without_sockets import Api


def get(api: Api, path: str, *, host: str = "127.0.0.1:8080", at: str = "127.0.0.1", method: str = "GET") -> Any:
    """One request; status and text."""
    answer: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        answer.append(message)

    scope = {
        **{"type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http"},
        **{"server": (at, 8080), "headers": [(b"host", host.encode())]},
    }
    anyio.run(api.apps.web, scope, receive, send)
    return answer[0]["status"], b"".join(message.get("body", b"") for message in answer[1:]).decode()


@pytest.fixture
def task(api: Api) -> str:
    project = api.call("projects.create", name="fruit/apples")["id"]
    parameter = {"section": "General", "name": "rate", "value": "0.25"}
    made = api.task(name="<b>a trial</b>", project=project, hyperparams={"General": {"rate": parameter}})
    api.call("tasks.started", task=made)
    api.report(made, (1, 0.5), metric="validation", variant="AUC")
    api.call("events.add", type="log", task=made, msg="a line & more")
    api.call("workers.register", worker="host:0")
    api.call("workers.status_report", worker="host:0", task=made)
    return made


def test_the_index_shows_recent_tasks_projects_queues_workers(api: Api, task: str) -> None:
    status, page = get(api, "/")
    assert status == 200
    for text in ("in progress", "fruit/apples", "&lt;b&gt;a trial", "2026-01-01 00:00", "AUC 0.5", "host:0", "default"):
        assert text in page
    assert f"/tasks/{task}#metrics" in page and "<b>" not in page


def test_a_task(api: Api, task: str) -> None:
    for path in (f"/tasks/{task}", f"/projects/x/tasks/{task}/output/log", f"/projects/*/experiments/{task}"):
        status, page = get(api, path)
        assert status == 200
        for text in ("rate", "0.25", "validation", "AUC", "a line &amp; more", "fruit/apples"):
            assert text in page


def test_a_task_of_which_little_is_known(api: Api) -> None:
    assert get(api, f"/tasks/{api.task(execution={'queue': 1}, models={})}")[0] == 200


def test_a_project(api: Api, task: str) -> None:
    above = api.call("projects.get_all", name="^fruit$")["projects"][0]["id"]
    status, page = get(api, f"/projects/{above}")
    assert status == 200 and "fruit/apples" in page and "a trial" not in page


@pytest.mark.parametrize("path", ["/nothing", "/tasks/unknown", "/projects/unknown", "/tasks/\0", "/tasks/<script>"])
def test_what_is_not_there(path: str, api: Api) -> None:
    status, page = get(api, path)
    assert status == 404 and "<script>" not in page


def test_pages_only_read(api: Api) -> None:
    assert get(api, "/", method="POST")[0] == 405


@pytest.mark.parametrize(
    ("host", "at", "status"),
    [
        *[(name, "127.0.0.1", 200) for name in ("localhost:8080", "127.0.0.1", "[::1]:8080", "hpo.localhost")],
        *[(name, "127.0.0.1", 403) for name in ("evil.example", "evil.example:8080", "10.0.0.1", "", "localhost.evil")],
        ("gpu-server:8080", "10.0.0.1", 200),
    ],
)
def test_other_sites_cannot_read_the_pages_by_another_name_for_this_machine(
    host: str, at: str, status: int, api: Api
) -> None:
    assert get(api, "/", host=host, at=at)[0] == status
