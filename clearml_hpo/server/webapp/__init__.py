"""ClearML's own web app at the web port, for users who have a build of it. The app is not part of this package.

build.py  files of the build: `/configuration.json`, `index.html` for every other address
relay.py  `/api/...` passed on to the API by cookie, and the log-in by name

`/files/...` is the file server. `/configuration.json` tells the app that all of it is at this one address.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from clearml_hpo.server import hosts
from clearml_hpo.server.app import Apps
from clearml_hpo.server.pages.gate import is_own_user
from clearml_hpo.server.webapp.build import Build, checked
from clearml_hpo.server.webapp.relay import Relay

__all__ = ["WebApp", "checked"]


class WebApp:
    """The app and what it calls as an ASGI application.

    Args:
        folder: the build.
        apps: the API and the file server.
        ports: where these listen themselves, ``{"apiServer": 8008, "filesServer": 8081}``, as the app shows to users.
        by_name: the server's own user logs in by name alone. Only for a server that no other machine can reach.
        any_host: also under names that are not this machine's own, as a proxy before the server asks for it.
        is_own: whether a request comes from the server's own user on this machine.
    """

    def __init__(
        self,
        folder: Path,
        apps: Apps,
        ports: Mapping[str, int],
        *,
        by_name: bool,
        any_host: bool = False,
        is_own: Callable[[Scope], bool] = is_own_user,
    ) -> None:
        self._folder = folder
        self._any_host = any_host
        self._ports = ports
        self._build = Build(folder)
        self._files = apps.files
        self._relay = Relay(apps.api, apps.authority, apps.store, by_name=by_name, is_own=is_own)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        if self._is_refused(scope, calls=first == "api"):
            response: Response = PlainTextResponse("not for pages of other sites", 403)
        elif first == "api":
            return await self._relay(scope, receive, send)
        elif first == "files":
            return await self._files({**scope, "path": f"/{rest}"}, receive, send)
        elif scope["path"] == "/configuration.json":
            response = self._configuration(scope)
        else:
            response = await self._build.response(scope)
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["content-security-policy"] = "frame-ancestors 'self'"
        await response(scope, receive, send)

    def _is_refused(self, scope: Scope, *, calls: bool) -> bool:
        """Whether a page of another site asks; a call to the API may change something whatever its method."""
        if not self._any_host and hosts.is_from_elsewhere(scope):
            return True
        if scope["method"] not in _READING and hosts.is_of_another_site(scope):
            return True
        return calls and hosts.is_fetched_by_another_site(scope)

    def _configuration(self, scope: Scope) -> Response:
        """What the app asks for at its start: the build's own configuration, with our addresses."""
        host = Headers(scope=scope).get("host", "")
        here = f"{scope['scheme']}://{host}"
        name = hosts.host_name(host)
        shown = f"{scope['scheme']}://[{name}]" if ":" in name else f"{scope['scheme']}://{name}"
        ours = {
            "apiBaseUrl": f"{here}/api",
            "fileBaseUrl": f"{here}/files",
            "displayedServerUrls": {which: f"{shown}:{port}" for which, port in self._ports.items()},
        }
        return JSONResponse({**_own_configuration(self._folder), **ours}, headers={"cache-control": "no-cache"})


_READING = ("GET", "HEAD", "OPTIONS")


def _own_configuration(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "configuration.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
