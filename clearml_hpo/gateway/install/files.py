"""What is in the files, and what a user types then."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.templating import text_environment
from clearml_hpo.gateway.bodies import MOST_BYTES
from clearml_hpo.gateway.limits import LONGEST_WAIT_S, PACES

NGINX, UNIT = "clearml-hpo-gateway.conf", "clearml-hpo-gateway.service"
"""Names of the files."""
_TEMPLATES = {NGINX: "nginx.j2", UNIT: "service.j2"}
_SETTINGS = Path("/etc/clearml-hpo/gateway.env")
_MARGIN_S = 35
"""How much longer than an ask may wait NGINX waits for an answer, and systemd for the end of what is open."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*", re.ASCII)
_PATH = re.compile(r"/[\w./+@-]*", re.ASCII)
_USER = re.compile(r"[a-z_][a-z0-9_-]*", re.ASCII)


@dataclass(frozen=True)
class Site:
    """Where the gateway is to run.

    Attributes:
        server_name: the name by which clients know it.
        port: of the gateway on loopback, behind NGINX.
        listen: the port of NGINX.
        certificate, key: files of TLS.
        logs: folder of NGINX's logs.
        user: whom systemd runs the gateway as.
    """

    server_name: str
    port: int
    certificate: Path
    key: Path
    listen: int = 443
    logs: Path = Path("/var/log/nginx")
    user: str = "clearml-hpo"

    def __post_init__(self) -> None:
        """Raises InputError: something would not mean itself in the files."""
        if not _NAME.fullmatch(self.server_name):
            raise InputError(f"server name {self.server_name!r}: expected such as hpo.example.org")
        for path in (self.certificate, self.key, self.logs, sys.executable):
            if not _PATH.fullmatch(str(path)):
                raise InputError(f"path {str(path)!r}: expected a whole path of letters, digits and ./_+@-")
        if not _USER.fullmatch(self.user):
            raise InputError(f"user {self.user!r}: expected the name of a user of the system")


def render_files(site: Site, which: Collection[str] = (NGINX, UNIT)) -> dict[str, str]:
    """Texts by file name."""
    environment = text_environment("clearml_hpo.gateway.install")
    pace = PACES["report"]
    values = {
        "site": site,
        "python": sys.executable,
        "settings": _SETTINGS,
        "most_bytes": MOST_BYTES,
        "wait_s": LONGEST_WAIT_S + _MARGIN_S,
        "per_s": f"{pace.per_s:g}",
        "burst": pace.burst,
    }
    return {name: environment.get_template(_TEMPLATES[name]).render(values) for name in which}


def next_commands(site: Site, folder: Path, which: Collection[str]) -> Mapping[str, str]:
    """What a user types then, and why."""
    place = shlex.quote(str(folder))
    commands: dict[str, str] = {}
    if UNIT in which:
        commands[f"sudo useradd --system --home-dir /var/lib/clearml-hpo-gateway {site.user}"] = "once"
        commands[f"sudo install -d -m 700 {_SETTINGS.parent}"] = f"{_SETTINGS}: CLEARML_API_HOST and its keys, mode 600"
        commands[f"sudo install -m 644 {place}/{UNIT} /etc/systemd/system/"] = ""
        commands["sudo systemctl daemon-reload"] = ""
        commands[f"sudo systemctl enable --now {UNIT}"] = "now, and at each boot"
    if NGINX in which:
        commands[f"sudo install -m 644 {place}/{NGINX} /etc/nginx/conf.d/"] = ""
        commands["sudo nginx -t"] = "is it sound?"
        commands["sudo systemctl reload nginx"] = ""
    return commands
