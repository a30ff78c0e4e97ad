"""The server with a build of ClearML's web app: as a process, by its commands, and in a browser.

The app is not ours to have here. A stand-in does what the recorded exchanges show of it: it reads its configuration,
asks how to log in, makes a user, logs in, and keeps what the person prefers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from clearml_hpo import server as embedded
from clearml_hpo.cli.server import server as command
from clearml_hpo.core.errors import ServerError
from clearml_hpo.server.options import Options
from clearml_hpo.server.state import DataDir, Listening

pytestmark = pytest.mark.embedded

INDEX = "<!doctype html><title>the app</title><body><script src=/main.0123456789abcdef.js></script></body>"
# Waits for each answer, so that the page is complete when it is loaded.
SCRIPT = """
function ask(method, url, body, headers) {
    const request = new XMLHttpRequest();
    request.open(method, url, false);
    for (const [name, value] of Object.entries(headers || {})) request.setRequestHeader(name, value);
    request.send(body === undefined ? null : JSON.stringify(body));
    return JSON.parse(request.responseText);
}
const base = ask("GET", "/configuration.json").apiBaseUrl + "/v999.0/";
const call = (endpoint, body, headers) => ask("POST", base + endpoint, body,
    {"content-type": "application/json", ...headers}).data;
const said = [call("login.supported_modes", {}).basic.enabled];
const made = call("auth.create_user", {name: "Tess Tester", given_name: "Tess", family_name: "Tester"}).id;
call("auth.login", undefined, {"authorization": "Basic " + btoa("app:key"), "X-Clearml-Impersonate-As": made});
said.push(call("users.get_current_user", {}).user.name, call("login.supported_modes", {}).authenticated);
said.push(call("projects.get_all_ex", {only_fields: ["name"]}).projects.map(project => project.name).join());
said.push(document.cookie === "" ? "no script sees the cookie" : document.cookie, location.pathname);
document.body.textContent = said.join(" | ");
"""


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "index.html").write_text(INDEX)
    (folder / "main.0123456789abcdef.js").write_text(SCRIPT)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A directory whose server takes free ports and is stopped in the end."""
    path = tmp_path / "data"
    path.mkdir()
    DataDir(path).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    yield path
    embedded.stop(path)


class Browser:
    """Asks as the app does, and keeps cookies."""

    def __init__(self) -> None:
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, url: str) -> str:
        """A page or file."""
        with self._opener.open(url, timeout=60) as answer:
            return str(answer.read().decode())

    def call(self, url: str, data: dict[str, Any] | None = None, **headers: str) -> Any:
        """One call; its data."""
        body = json.dumps(data or {}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
        with self._opener.open(request, timeout=60) as answer:
            return json.loads(answer.read())["data"]


@pytest.mark.long
def test_the_app_is_served_and_what_a_person_prefers_is_kept_over_restarts(data_dir: Path, build: Path) -> None:
    web = embedded.start(data_dir, options=Options(webapp=build)).address.web
    browser = Browser()
    assert browser.get(f"{web}/projects/a/tasks/b/output/log") == INDEX
    assert browser.get(f"{web}/main.0123456789abcdef.js") == SCRIPT
    api = json.loads(browser.get(f"{web}/configuration.json"))["apiBaseUrl"]
    assert api == f"{web}/api"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        browser.call(f"{api}/v999.0/users.get_preferences")
    made = browser.call(f"{api}/v999.0/auth.create_user", {"name": "Tess"})["id"]
    browser.call(f"{api}/v999.0/auth.login", **{"X-Clearml-Impersonate-As": made})
    browser.call(f"{api}/v999.0/users.set_preferences", {"preferences": {"theme": "dark"}})

    embedded.stop(data_dir)
    assert embedded.start(data_dir).address.web == web
    assert "<title>the app" not in browser.get(f"{web}/")  # the choice is not remembered

    embedded.stop(data_dir)
    embedded.start(data_dir, options=Options(webapp=build))
    assert browser.call(f"{api}/v999.0/users.get_preferences") == {"preferences": {"theme": "dark"}}


def test_a_server_that_serves_something_else_is_not_taken_for_it(data_dir: Path, build: Path) -> None:
    running = embedded.start(data_dir)
    with pytest.raises(ServerError, match=r"with its own pages; .* stop it first"):
        embedded.start(data_dir, options=Options(webapp=build))
    embedded.stop(data_dir)
    started = embedded.start(data_dir, options=Options(webapp=build))
    assert started.address == running.address
    assert embedded.start(data_dir, options=Options(webapp=build)) == started == embedded.start(data_dir)


def test_a_folder_that_is_no_build_is_refused_before_anything_starts(data_dir: Path, tmp_path: Path) -> None:
    for action in ("start", "run"):
        result = CliRunner().invoke(command, [action, "--data", str(data_dir), "--webapp", str(tmp_path)])
        assert result.exit_code != 0
        assert f"there is no index.html in {tmp_path}" in str(result.exception)
    assert embedded.status(data_dir) is None


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
def test_in_a_browser(data_dir: Path, build: Path, tmp_path: Path) -> None:
    web = embedded.start(data_dir, options=Options(webapp=build)).address.web
    browser = Browser()
    browser.call(f"{web}/api/auth.login")
    browser.call(f"{web}/api/projects.create", {"name": "fruit"})
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]
    chromium = ["chromium", *options, f"--user-data-dir={tmp_path / 'profile'}", f"{web}/login"]
    page = subprocess.run(chromium, capture_output=True, text=True, timeout=300, check=True).stdout
    assert "false | Tess Tester | true | fruit | no script sees the cookie | /login" in page
