"""What people may do in the pages, and who may do it."""

from __future__ import annotations

import dataclasses
import html
from pathlib import Path

import pytest

from clearml_hpo.server.files import FileServer
from clearml_hpo.server.pages import gate
from clearml_hpo.server.pages.site import Pages

from .page_visits import OWN, get, post, visit
from .server_without_sockets import Api


def order(api: Api, action: str, *tasks: str, **more: str) -> int:
    return post(api, f"/actions/{action}", [*(("task", task) for task in tasks), *more.items()]).status


# --- actions ----------------------------------------------------------------------------------------------------------


def test_from_draft_to_deleted(api: Api) -> None:
    task, queue = api.task(), api.queue()
    answer = post(api, "/actions/enqueue", [("task", task), ("queue", queue), ("back", f"/tasks/{task}/console")])
    assert (answer.status, answer.location) == (303, f"/tasks/{task}/console")
    assert api.call("queues.get_by_id", queue=queue)["queue"]["entries"][0]["task"] == task
    assert "place 1 in" in html.unescape(get(api, f"/tasks/{task}").text)
    assert order(api, "dequeue", task) == 303 and api.get(task)["status"] == "created"
    api.call("tasks.started", task=task)
    assert order(api, "abort", task) == 303 and api.get(task)["status"] == "stopped"
    api.report(task, (1, 2.0))
    assert order(api, "reset", task) == 303 and api.get(task)["status"] == "created"
    assert order(api, "delete", task) == 400  # not archived
    assert order(api, "archive", task) == 303 and "archived" in api.get(task)["system_tags"]
    assert order(api, "unarchive", task) == 303 and "archived" not in api.get(task)["system_tags"]
    order(api, "archive", task)
    assert order(api, "delete", task) == 303
    assert get(api, f"/tasks/{task}").status == 404


def test_a_worker_is_asked_to_stop(api: Api) -> None:
    task = api.task()
    api.call("tasks.started", task=task)
    api.call("workers.register", worker="box:0")
    api.call("workers.status_report", worker="box:0", timestamp=1, task=task)
    assert order(api, "abort", task) == 303
    assert api.get(task)["status"] == "in_progress" and "stopping" in get(api, f"/tasks/{task}").text


def test_some_are_refused_and_the_others_done(api: Api) -> None:
    draft, done = api.task(name="a draft"), api.task(name="<done>")
    api.call("tasks.started", task=done)
    api.call("tasks.completed", task=done)
    answer = post(api, "/actions/enqueue", [("task", draft), ("task", done), ("back", "//elsewhere.example")])
    assert answer.status == 400 and "Invalid task status" in answer.text and "&lt;done&gt;" in answer.text
    assert 'href="/"' in answer.text and "elsewhere" not in answer.text
    assert api.get(draft)["status"] == "queued"


def test_what_cannot_be_undone_is_asked_first(api: Api) -> None:
    shown, archived = api.task(name="shown"), api.task(name="archived")
    api.call("tasks.archive_many", ids=[archived])
    page = get(api, f"/actions/delete?task={shown}&task={archived}&back=/projects/*")
    assert page.status == 200 and archived in page.text and shown not in page.text
    assert get(api, f"/actions/delete?task={shown}").status == 404
    assert get(api, f"/actions/archive?task={shown}").status == 405
    assert api.get(archived)["id"] == archived


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/actions/explode", [], 404),
        ("/actions/enqueue", [("task", "unknown")], 400),
        ("/queues", [("name", "x")], 400),
        ("/queues/unknown", [("change", "delete")], 400),
        ("/projects", [], 405),
        ("/tasks/unknown/clone", [("name", "abc")], 400),
    ],
)
def test_bad_orders(path: str, form: list[tuple[str, str]], status: int, api: Api) -> None:
    assert post(api, path, form).status == status


def test_a_form_that_is_too_large(api: Api) -> None:
    assert visit(api, "/actions/abort", method="POST", headers=OWN, body=b"x" * (9 * 2**20)).status == 413


def test_order_of_a_queue(api: Api) -> None:
    queue = post(api, "/queues", [("name", "gpu")]).location
    tasks = [api.task() for _ in range(3)]
    for task in tasks:
        api.call("tasks.enqueue", task=task, queue=queue.rpartition("/")[2])

    def change(what: str, task: str) -> list[str]:
        assert post(api, queue, [("change", what), ("task", task)]).status == 303
        text = get(api, queue).text
        return sorted((each for each in tasks if each in text), key=text.index)

    first, second, third = tasks
    assert change("down", first) == [second, first, third]
    assert change("up", third) == [second, third, first]
    assert change("first", first) == [first, second, third]
    assert change("last", first) == [second, third, first]
    assert change("remove", third) == [second, first] and api.get(third)["status"] == "created"
    assert post(api, queue, [("change", "delete")]).status == 400  # it is not empty
    for task in (first, second):
        change("remove", task)
    assert post(api, queue, [("change", "delete")]).location == "/queues" and get(api, queue).status == 404


# --- clone and edit ---------------------------------------------------------------------------------------------------


@pytest.fixture
def source(api: Api) -> str:
    """A task with parameters, a user property and a configuration object that has run."""
    items = {
        "rate": {"section": "General", "name": "rate", "value": "0.1", "type": "float", "description": "how fast"},
        "depth": {"section": "General", "name": "depth", "value": "6"},
    }
    properties = {"trial": {"section": "properties", "name": "trial", "value": "3"}}
    made = api.task(
        name="the source",
        project=api.project(),
        hyperparams={"General": items, "properties": properties},
        configuration={"study": {"name": "study", "type": "yaml", "value": "\nbudget: 1\n"}},
    )
    api.call("tasks.started", task=made)
    api.call("tasks.completed", task=made)
    return made


FORM = [
    ("name", "a copy"),
    ("comment", "for a try"),
    *(("section", "General"), ("parameter", "rate"), ("value", "0.2")),
    *(("section", "Args"), ("parameter", "new"), ("value", "x\r\ny")),
    *(("section", "General"), ("parameter", ""), ("value", "")),
    *(("object", "study"), ("text", "budget: 2\r\n"), ("object", ""), ("text", "")),
]


def test_clone_with_edits_and_enqueue(api: Api, source: str) -> None:
    queue = api.queue()
    answer = post(api, f"/tasks/{source}/clone", [*FORM, ("enqueue", "1"), ("queue", queue)])
    assert answer.status == 303
    made = api.get(answer.location.rpartition("/")[2])
    assert (made["name"], made["comment"], made["status"]) == ("a copy", "for a try", "queued")
    assert made["execution"]["queue"] == queue and made["parent"] == source
    parameters = made["hyperparams"]
    rate = {"section": "General", "name": "rate", "value": "0.2", "type": "float", "description": "how fast"}
    assert parameters["General"] == {"rate": rate} and parameters["Args"]["new"]["value"] == "x\ny"
    assert parameters["properties"]["trial"]["value"] == "3"
    assert made["configuration"] == {"study": {"name": "study", "type": "yaml", "value": "budget: 2\n"}}
    assert api.get(source)["hyperparams"]["General"]["depth"]["value"] == "6"


def test_clone_into_a_new_project(api: Api, source: str) -> None:
    answer = post(api, f"/tasks/{source}/clone", [*FORM, ("project", "elsewhere/new")])
    project = api.get(answer.location.rpartition("/")[2])["project"]
    assert api.call("projects.get_by_id", project=project)["project"]["name"] == "elsewhere/new"


def test_a_copy_that_cannot_be_enqueued_is_not_made(api: Api, source: str) -> None:
    answer = post(api, f"/tasks/{source}/clone", [*FORM, ("enqueue", "1"), ("queue", "unknown")])
    assert answer.status == 400 and api.names(name="^a copy$") == []


def test_edit_a_draft(api: Api, source: str) -> None:
    draft = api.call("tasks.clone", task=source)["id"]
    form = [*FORM, ("parameters", "1"), ("tags", "a, b")]
    assert post(api, f"/tasks/{draft}/edit", form).status == 303
    made = api.get(draft)
    assert made["tags"] == ["a", "b"] and made["status"] == "created"
    assert sorted(made["hyperparams"]) == ["Args", "General", "properties"]
    assert made["configuration"]["study"]["value"] == "budget: 2\n"


def test_what_has_run_keeps_its_parameters(api: Api, source: str) -> None:
    assert 'name="parameter"' not in get(api, f"/tasks/{source}/edit").text
    assert post(api, f"/tasks/{source}/edit", [("name", "renamed"), ("tags", "x"), ("comment", "")]).status == 303
    made = api.get(source)
    assert (made["name"], made["tags"]) == ("renamed", ["x"]) and made["hyperparams"]["General"]["depth"][
        "value"
    ] == "6"
    answer = post(api, f"/tasks/{source}/edit", [*FORM, ("parameters", "1")])
    assert answer.status == 400 and "Invalid task status" in answer.text
    assert api.get(source)["name"] == "renamed"  # all of an edit, or nothing


@pytest.mark.parametrize("form", [[("name", "x")], [("name", "good"), ("section", "General"), ("parameter", "rate")]])
def test_a_form_that_is_not_whole(form: list[tuple[str, str]], api: Api, source: str) -> None:
    assert post(api, f"/tasks/{source}/clone", form).status == 400


def test_text_of_a_form_keeps_its_first_line_end(api: Api, source: str) -> None:
    text = html.unescape(get(api, f"/tasks/{source}/clone").text)
    assert ">\n\nbudget: 1\n</textarea>" in text  # browsers leave the first one out


# --- who may come in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        (OWN, True),
        ({"origin": "http://127.0.0.1:8080"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "https://127.0.0.1:8080"}, True),  # a proxy before it encrypts
        ({"origin": "http://evil.example"}, False),
        ({**OWN, "sec-fetch-site": "same-site"}, False),
        ({**OWN, "sec-fetch-site": "cross-site"}, False),
        ({**OWN, "origin": "http://evil.example"}, False),
    ],
)
def test_orders_from_other_sites_are_refused(headers: dict[str, str], taken: bool, api: Api) -> None:
    task = api.task()
    answer = post(api, "/actions/archive", [("task", task)], headers=headers)
    assert answer.status == (303 if taken else 403)
    assert ("archived" in api.get(task)["system_tags"]) is taken


@pytest.mark.parametrize(
    ("host", "at", "status"),
    [
        *[(name, "127.0.0.1", 200) for name in ("localhost:8080", "127.0.0.1", "[::1]:8080", "hpo.localhost")],
        *[(name, "127.0.0.1", 403) for name in ("evil.example", "evil.example:8080", "10.0.0.1", "", "localhost.evil")],
        ("[", "127.0.0.1", 403),
        ("gpu-server:8080", "10.0.0.1", 200),
    ],
)
def test_other_sites_cannot_read_the_pages_by_another_name_for_this_machine(
    host: str, at: str, status: int, api: Api
) -> None:
    assert get(api, "/", headers={"host": host}, at=at).status == status


def test_strangers_log_in_with_a_key_pair(api: Api) -> None:
    answer = get(api, "/projects/*?text=a+b", logged_in=False)
    assert (answer.status, answer.location) == (303, "/login?next=%2Fprojects%2F%2A%3Ftext%3Da%2Bb")
    assert get(api, "/files/x", logged_in=False).status == 303
    assert post(api, "/actions/abort", [("task", api.task())], logged_in=False).status == 403
    pair = [("access_key", "ACCESS"), ("secret_key", "secret"), ("next", "/queues")]
    wrong = post(api, "/login", [("access_key", "ACCESS"), ("secret_key", "other")], logged_in=False)
    assert wrong.status == 403 and "invalid credentials" in wrong.text
    assert post(api, "/login", pair, headers={"origin": "http://evil.example"}, logged_in=False).status == 403
    right = post(api, "/login", pair, logged_in=False)
    assert (right.status, right.location) == (303, "/queues")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    session = {"cookie": cookie.partition(";")[0]}
    assert get(api, "/queues", headers=session, logged_in=False).status == 200
    assert get(api, "/queues", headers={"cookie": f"{gate.COOKIE}=x.y.z"}, logged_in=False).status == 303


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/\nx"])
def test_a_log_in_leads_to_this_server_alone(path: str, api: Api) -> None:
    pair = [("access_key", "ACCESS"), ("secret_key", "secret"), ("next", path)]
    assert post(api, "/login", pair, logged_in=False).location == "/"


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     {uid}        0 1
   1: 0100007F:D431 0100007F:1F90 {state} 00000000:00000000 00:00000000 00000000     {uid}        0 2
"""


@pytest.mark.parametrize(
    ("uid", "state", "client", "headers", "own"),
    [
        (0, "01", ("127.0.0.1", 54321), [], True),
        (1, "01", ("127.0.0.1", 54321), [], False),
        (0, "06", ("127.0.0.1", 54321), [], False),
        (0, "01", ("127.0.0.1", 54322), [], False),
        (0, "01", ("10.0.0.1", 54321), [], False),
        (0, "01", None, [], False),
        (0, "01", ("127.0.0.1", 54321), [(b"x-forwarded-for", b"10.0.0.1")], False),
    ],
)
def test_the_kernel_says_whose_a_connection_is(
    uid: int,
    state: str,
    client: tuple[str, int] | None,
    headers: list[tuple[bytes, bytes]],
    own: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    table = tmp_path / "tcp"
    table.write_text(TABLE.format(uid=uid, state=state))
    scope = {"client": client, "server": ("127.0.0.1", 8080), "headers": headers}
    assert gate.is_own_user(scope, (tmp_path / "missing", table)) is own


def test_who_has_not_logged_in_sends_no_large_forms(api: Api) -> None:
    answer = post(api, "/login", [("access_key", "a" * 2**15)], logged_in=False)
    assert answer.status == 413 and "larger than 16 KB" in answer.text


def test_behind_a_proxy_any_name_will_do_and_everybody_logs_in(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "is_own_user", lambda scope: True)
    proxied = {"host": "clearml.example.com"}
    assert get(api, "/projects", headers=proxied).status == 403
    pages = Pages(
        api.store,
        api.dispatcher,
        api.apps.authority,
        FileServer(Path("/nowhere"), api.apps.authority),
        allow_remote=True,
    )
    monkeypatch.setattr(api, "apps", dataclasses.replace(api.apps, web=pages))
    assert get(api, "/projects", headers=proxied, logged_in=False).location.startswith("/login")
    assert get(api, "/projects", headers=proxied).status == 200
