"""A build of ClearML's web app at the web port, and what it calls: with a stand-in, as the app is not ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.server.webapp import WebApp, checked

from .server_without_sockets import Api

INDEX = "<!doctype html><title>the app</title><script src=main.0123456789abcdef.js></script>"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The data in the envelope."""
        return json.loads(self.body)["data"]

    @property
    def cookie(self) -> str:
        """The cookie that was set, as a browser sends it back."""
        return self.headers["set-cookie"].partition(";")[0]


class Site:
    """The web app without sockets."""

    def __init__(self, api: Api, folder: Path, *, by_name: bool = True, own: bool = True) -> None:
        ports = {"apiServer": 8008, "filesServer": 8081}
        self._app = WebApp(folder, api.apps, ports, by_name=by_name, is_own=lambda scope: own)

    def get(
        self,
        path: str,
        query: str = "",
        *,
        method: str = "GET",
        body: bytes = b"",
        at: str = "127.0.0.1",
        **headers: str,
    ) -> Answer:
        """One request; names of headers with ``_`` for ``-``."""
        sent: list[Any] = []
        request = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if not request:
                await anyio.sleep_forever()  # a client that waits for the answer
            return request.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        pairs = {"host": "127.0.0.1:8080", "content_type": "application/json", **headers}
        scope = {
            **{"type": "http", "method": method, "path": path, "query_string": query.encode(), "scheme": "http"},
            **{"server": (at, 8080), "client": ("127.0.0.1", 1), "root_path": ""},
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in pairs.items()],
        }
        anyio.run(self._app, scope, receive, send)
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], answered, b"".join(each.get("body", b"") for each in sent[1:]))

    def call(self, endpoint: str, data: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        """One call of the app."""
        body = b"" if data is None else json.dumps(data).encode()
        return self.get(f"/api/v999.0/{endpoint}", method="POST", body=body, **headers)

    def log_in(self, name: str) -> str:
        """What the app does for a person who types a new name; the cookie."""
        made = self.call("auth.create_user", {"name": name, "given_name": name}).data["id"]
        return self.call("auth.login", authorization="Basic YXBwOmtleQ==", x_clearml_impersonate_as=made).cookie


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build = tmp_path / "build"
    (build / "assets").mkdir(parents=True)
    (build / "index.html").write_text(INDEX)
    (build / "main.0123456789abcdef.js").write_text("document.title = 'it runs'")
    (build / "some-component.js").write_text("1")
    (build / "assets/logo.svg").write_text("<svg/>")
    (build / "assets/font.woff2").write_bytes(b"font")
    (tmp_path / "secret.txt").write_text("secret")
    (build / "link.txt").symlink_to(tmp_path / "secret.txt")
    return build


@pytest.fixture
def site(api: Api, folder: Path) -> Site:
    return Site(api, folder)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/main.0123456789abcdef.js", "text/javascript"),
        ("/assets/logo.svg", "image/svg+xml"),
        ("/assets/font.woff2", "font/woff2"),
    ],
)
def test_files_of_the_build_have_their_types(path: str, kind: str, site: Site) -> None:
    answer = site.get(path)
    assert answer.status == 200 and answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert site.get(path, method="HEAD").body == b""


@pytest.mark.parametrize(
    "path", ["/dashboard", "/projects/1/tasks/2/output/log", "/login", "/assets", "/assets/", "//"]
)
def test_the_apps_own_pages_are_its_index(path: str, site: Site) -> None:
    answer = site.get(path)
    assert (answer.status, answer.body.decode()) == (200, INDEX)
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/nothing.js", "/assets/other.png", "/link.txt", "/../secret.txt", "/assets/../../secret.txt"]
)
def test_files_that_are_not_there_or_not_of_the_build(path: str, site: Site) -> None:
    answer = site.get(path)
    assert answer.status == 404 and b"secret" not in answer.body


@pytest.mark.parametrize(
    "path", ["/..", "/../secret", "/\0", "/" + "x" * 5000, "/\udcff", "//etc/passwd", "/%2e%2e/secret"]
)
def test_no_path_leaves_the_build(path: str, site: Site) -> None:
    answer = site.get(path)
    assert answer.status == 200 and answer.body.decode() == INDEX


def test_what_never_changes_is_kept_and_the_rest_is_asked_for_again(site: Site) -> None:
    assert "immutable" in site.get("/main.0123456789abcdef.js").headers["cache-control"]
    answer = site.get("/some-component.js")
    assert answer.headers["cache-control"] == "no-cache"
    again = site.get("/some-component.js", if_none_match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_files_are_not_written(site: Site) -> None:
    assert site.get("/index.html", method="POST").status == 405


def test_a_folder_without_an_index_is_no_build(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match=r"no index\.html|no folder"):
            checked(folder)


def test_a_build_that_is_gone(site: Site, folder: Path) -> None:
    (folder / "index.html").unlink()
    assert site.get("/").status == 404


# --- configuration ----------------------------------------------------------------------------------------------------


def test_the_app_is_told_to_call_below_its_own_address(site: Site, folder: Path) -> None:
    (folder / "configuration.json").write_text('{"apiBaseUrl": "http://elsewhere", "branding": {"logo": "x"}}')
    answer = site.get("/configuration.json", host="localhost:1234")
    assert answer.headers["cache-control"] == "no-cache"
    assert json.loads(answer.body) == {
        "apiBaseUrl": "http://localhost:1234/api",
        "fileBaseUrl": "http://localhost:1234/files",
        "displayedServerUrls": {"apiServer": "http://localhost:8008", "filesServer": "http://localhost:8081"},
        "branding": {"logo": "x"},
    }


def test_a_configuration_that_is_none(site: Site, folder: Path) -> None:
    for text in ("[]", "{", "\udcff"):
        (folder / "configuration.json").write_text(text, errors="surrogateescape")
        assert json.loads(site.get("/configuration.json").body)["apiBaseUrl"] == "http://127.0.0.1:8080/api"
    shown = json.loads(site.get("/configuration.json", host="[::1]:8080", at="::1").body)["displayedServerUrls"]
    assert shown["apiServer"] == "http://[::1]:8008"


# --- log-in -----------------------------------------------------------------------------------------------------------


def test_a_person_logs_in_by_name_and_is_known_by_a_cookie(site: Site) -> None:
    assert site.call("login.supported_modes").data["basic"]["enabled"] is False
    assert site.call("users.get_current_user").status == 401
    cookie = site.log_in("Tess")
    assert site.call("login.supported_modes", cookie=cookie).data["authenticated"] is True
    assert site.call("users.get_current_user", cookie=cookie).data["user"]["name"] == "Tess"
    other = site.log_in("Tom")
    assert site.call("users.get_current_user", cookie=other).data["user"]["name"] == "Tom"
    names = [user["name"] for user in site.call("users.get_all").data["users"]]
    assert names[1:] == ["Tess", "Tom"]


def test_somebody_else_logs_in_with_the_cookie_of_the_first_still_there(site: Site) -> None:
    cookie = site.log_in("Tess")
    tom = site.call("auth.create_user", {"name": "Tom"}, cookie=cookie).data["id"]
    cookie = site.call("auth.login", cookie=cookie, x_clearml_impersonate_as=tom).cookie
    assert site.call("users.get_current_user", cookie=cookie).data["user"]["name"] == "Tom"


def test_the_cookie_is_for_this_site_and_no_script(site: Site) -> None:
    made = site.call("auth.login").headers["set-cookie"]
    assert made.startswith("clearml_token_basic=ey") and made.endswith("Path=/; HttpOnly; SameSite=Strict")
    for endpoint in ("login.logout", "auth.logout"):
        assert "clearml_token_basic=; Max-Age=0" in site.call(endpoint).headers["set-cookie"]


def test_a_log_in_as_nobody_known_is_the_servers_own_user(site: Site) -> None:
    for headers in ({}, {"x_clearml_impersonate_as": "nobody"}):
        cookie = site.call("auth.login", **headers).cookie
        assert site.call("users.get_current_user", cookie=cookie).data["user"]["id"] == "local"


@pytest.mark.parametrize("who", [{"by_name": False}, {"own": False}], ids=["another address", "another user"])
def test_for_everybody_but_the_servers_own_user_on_loopback_it_takes_a_key(
    who: dict[str, bool], api: Api, folder: Path
) -> None:
    site = Site(api, folder, **who)
    assert site.call("login.supported_modes").data["basic"]["enabled"] is True
    for endpoint in ("auth.login", "auth.create_user", "users.get_all"):
        answer = site.call(endpoint, {"name": "Tess"}, x_clearml_impersonate_as="local")
        assert answer.status == 401 and "set-cookie" not in answer.headers
    assert site.call("auth.login", authorization="Basic YXBwOmtleQ==").status == 401
    cookie = site.call("auth.login", authorization=api.basic).cookie
    assert site.call("projects.get_all", {}, cookie=cookie).status == 200


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "via"])
def test_what_a_proxy_passes_on_is_not_from_this_machine(header: str, site: Site) -> None:
    assert site.call("auth.login", **{header: "10.0.0.9"}).status == 401
    assert site.call("login.supported_modes", **{header: "10.0.0.9"}).data["basic"]["enabled"] is True


@pytest.mark.parametrize("cookie", ["clearml_token_basic=wrong", "clearml_token_basic=", "other=1", '"; ;'])
def test_a_wrong_cookie_is_none(cookie: str, site: Site) -> None:
    assert site.call("projects.get_all", {}, cookie=cookie).status == 401
    assert site.call("auth.login", cookie=cookie).status == 200


def test_pages_of_other_sites_get_nothing(site: Site) -> None:
    assert site.call("auth.login", origin="http://evil.example").status == 403
    assert site.call("auth.login", host="evil.example:8080").status == 403
    assert site.get("/configuration.json", host="evil.example:8080").status == 403
    assert site.call("auth.login", origin="http://127.0.0.1:8080").status == 200


def test_the_apps_calls_reach_the_api_and_the_files(api: Api, site: Site) -> None:
    cookie = site.log_in("Tess")
    task = api.task(name="a task")
    found = site.call("tasks.get_by_id_ex", {"id": [task], "only_fields": ["name", "user.name"]}, cookie=cookie)
    assert found.data["tasks"] == [{"id": task, "name": "a task", "user": {"id": "local", "name": "Local User"}}]
    assert site.call("no.such", {}, cookie=cookie).status == 404
    assert site.get("/files/a/b.txt", method="PUT", body=b"content", cookie=cookie).status == 200
    assert site.get("/files/a/b.txt", cookie=cookie).body == b"content"
    assert site.get("/files/a/b.txt").status == 401
    assert site.get("/files/../store.sqlite3", cookie=cookie).status == 400


def test_pages_of_another_port_call_nothing(site: Site) -> None:
    assert site.get("/api/v2.23/server.info", sec_fetch_site="same-site").status == 403
    assert site.get("/", sec_fetch_site="same-site").status == 200, "a link to it is no call"


# --- what its pages ask for -------------------------------------------------------------------------------------------

# As the app's experiment table sends it.
_TABLE: dict[str, Any] = {
    **{"id": [], "scroll_id": None, "refresh_scroll": True, "size": 30, "order_by": ["-last_update"]},
    **{"type": [], "user": [], "include_subprojects": False, "search_hidden": False},
    "system_tags": ["__$not", "archived", "__$not", "pipeline", "__$not", "dataset", "__$not", "reports"],
    "only_fields": [
        *("name", "status", "system_tags", "project.name", "company", "last_change", "last_update", "started"),
        *("last_iteration", "tags", "user.name", "runtime.progress", "type", "parent.name", "parent.project.name"),
        "last_metrics.9be2c8a5.x.value",
    ],
}


def test_the_table_goes_on_after_30_rows(api: Api, site: Site) -> None:
    cookie, project = site.log_in("Tess"), api.project()
    tasks = [api.task(project=project) for _ in range(70)]

    def rows(scroll: str | None, *, again: bool) -> tuple[list[str], str]:
        asked = {**_TABLE, "project": [project], "scroll_id": scroll, "refresh_scroll": again}
        found = site.call("tasks.get_all_ex", asked, cookie=cookie).data
        return [task["id"] for task in found["tasks"]], found["scroll_id"]

    first, scroll = rows(None, again=True)
    second, same = rows(scroll, again=False)
    shown, _ = rows(scroll, again=True)  # the app refreshes the page from time to time
    rest, _ = rows(scroll, again=False)
    assert (len(first), len(second), len(rest), same) == (30, 30, 10, scroll)
    assert shown == [*first, *second]
    assert sorted([*shown, *rest]) == sorted(tasks)
    assert rows(scroll, again=False)[0] == []


def test_the_pages_of_reports_and_of_settings(site: Site) -> None:
    cookie = site.log_in("Tess")
    made = site.call("reports.create", {"name": "a report", "comment": ""}, cookie=cookie).data
    asked = {
        "only_fields": ["name", "comment", "company", "tags", "report", "project.name", "user.name", "status"],
        **{"size": 6, "scroll_id": None, "order_by": ["-last_update"], "system_tags": ["__$not", "archived"]},
    }
    found = site.call("reports.get_all_ex", asked, cookie=cookie).data
    assert [report["id"] for report in found["tasks"]] == [made["id"]] and found["scroll_id"]
    assert site.call("reports.get_tags", {}, cookie=cookie).data == {"tags": []}
    assert site.call("storage.get_settings", {}, cookie=cookie).data == {"settings": {}}
    assert site.call("users.get_current_user", {}, cookie=cookie).data["user"]["name"] == "Tess"
    assert site.call("auth.get_credentials", {}, cookie=cookie).data["credentials"][0]["last_used"]


def test_a_console_is_downloaded_with_the_cookie(api: Api, site: Site) -> None:
    task = api.task()
    api.call("events.add", type="log", task=task, msg="a line", timestamp=1, worker="w")
    path, query = "/api/v999.0/events.download_task_log", f"line_type=text&task={task}"
    answer = site.get(path, query, cookie=site.log_in("Tess Tester"))
    assert (answer.status, answer.body) == (200, b"1 w info a line\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == f"attachment; filename=task_{task}.log"
    assert site.get(path, query).status == 401
