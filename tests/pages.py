"""A gateway with its pages for tests, in this process, over the real ClearML server of the environment."""

from __future__ import annotations

import re
import socket
import threading
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import requests
import uvicorn

from clearml_hpo.gateway.app import build_app
from clearml_hpo.gateway.auth import Kind, Rights, Tokens
from clearml_hpo.gateway.auth.oidc import Provider
from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.auth.sessions import Sessions
from clearml_hpo.gateway.db import Database, accounts
from clearml_hpo.gateway.db.accounts import Project, Role
from clearml_hpo.gateway.hosting import Hosting
from clearml_hpo.gateway.pages.app import Pages
from clearml_hpo.gateway.v1.events import Streams
from clearml_hpo.gateway.v1.leases import Leases
from clearml_hpo.gateway.v1.routes import routes
from tests.dashboards import leave

PATIENCE_S = 60


class PagesGateway:
    """One that serves on loopback from its making to :meth:`close`."""

    def __init__(self, folder: Path, *, providers: Mapping[str, Provider] | None = None, **options: Any) -> None:
        self.database = Database(f"sqlite:///{folder}/gateway.sqlite3")
        self.database.open()
        pepper = Pepper("p" * 40)
        self.notes: list[str] = []
        self.hosting = Hosting(self.database, self.notes.append)
        self.tokens, self.sessions = Tokens(self.database, pepper), Sessions(self.database)
        self._pages: list[Pages] = []

        def pages(caller: Any) -> Pages:
            self._pages.append(Pages(self.hosting, self.database, self.tokens, caller, providers=providers, secret="s"))
            return self._pages[0]

        v1 = partial(routes, self.hosting, leases=Leases(pepper), tokens=self.tokens, streams=Streams())
        app = build_app(self.hosting, self.tokens, version="1", hopaas=True, v1=v1, pages=pages, **options)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none", proxy_headers=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        self.hosting.stop()
        leave(self._pages[0].dashboard)
        self.database.close()

    def project(self, name: str, **roles: Role) -> Project:
        """A project, and the roles that users have in it, by their names."""
        with self.database.write() as connection:
            made = accounts.ensure_project(connection, name, f"tests/{name}-{uuid.uuid4().hex[:8]}")
            for user, role in roles.items():
                accounts.set_role(connection, made.id, accounts.ensure_user(connection, "test", user).id, role)
        return made

    def user(self, name: str, *, is_admin: bool = False) -> str:
        """The id of a user, who is made if there is none."""
        with self.database.write() as connection:
            return accounts.ensure_user(connection, "test", name, is_admin=is_admin).id

    def token(self, project: Project, user: str = "root", *scopes: str) -> str:
        """A token for the native API."""
        rights = Rights.parse(scopes or ["worker"])
        owner = self.user(user, is_admin=user == "root")
        return self.tokens.create(owner, project.id, kind=Kind.API, name="t", rights=rights).text.reveal()

    def link(self, name: str = "root") -> str:
        """The path of a link that logs a user in; root is an admin."""
        return f"/login?key={self.sessions.new_link(self.user(name, is_admin=name == 'root'))}"

    def visitor(self, name: str = "root") -> Visitor:
        """A browser that has logged in."""
        visitor = Visitor(self.url)
        assert visitor.log_in(self.link(name)).status_code == 303
        return visitor


class Visitor:
    """A browser without JavaScript."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["accept"] = "text/html"

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(f"{self.url}{path}", headers=headers, allow_redirects=False, timeout=PATIENCE_S)

    def json(self, path: str) -> Any:
        answer = self.get(path, accept="application/json")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def form_token(self) -> str:
        """What forms of this browser's pages have."""
        found = re.search(r'<meta name="form-token" content="(\w+)">', self.get("/guide").text)
        return found[1] if found else ""

    def post(
        self, path: str, form: dict[str, str] | None = None, form_token: str | None = None, **headers: str
    ) -> requests.Response:
        """Sends a form as a page of this site does."""
        data = {"form_token": self.form_token() if form_token is None else form_token, **(form or {})}
        headers = headers or {"origin": self.url, "sec-fetch-site": "same-origin"}
        return self.session.post(f"{self.url}{path}", data, headers=headers, allow_redirects=False, timeout=PATIENCE_S)

    def log_in(self, link: str, **headers: str) -> requests.Response:
        """Opens a link, and presses the button of its page."""
        found = re.search(r'name="key" value="([^"]+)"', self.get(link, **headers).text)
        return self.post("/login", {"key": found[1] if found else ""}, form_token="", **headers)
