"""The only reader of the process environment; everything else is handed values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

USER_AGENT = "clearml-hpo"
"""What this package's own calls say that they come from."""

_CALL_LOG = "CLEARML_HPO_CALL_LOG"
_SECRETS: set[str] = set()  # names of variables


@dataclass(frozen=True)
class ServerAddress:
    """Where a ClearML server is, and a key pair for it.

    Nothing else distinguishes the embedded server from ClearML's own.
    """

    api: str
    web: str
    files: str
    access_key: str
    secret_key: str

    def environ(self) -> dict[str, str]:
        """The variables with which any ClearML program uses this server."""
        return {
            "CLEARML_API_HOST": self.api,
            "CLEARML_WEB_HOST": self.web,
            "CLEARML_FILES_HOST": self.files,
            "CLEARML_API_ACCESS_KEY": self.access_key,
            "CLEARML_API_SECRET_KEY": self.secret_key,
        }


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        home: where the embedded server and the agents keep their state (``CLEARML_HPO_HOME``).
        task_id: the ClearML task inside of which this process runs; empty if there is none.
        call_log: a folder where embedded servers note each call (``CLEARML_HPO_CALL_LOG``, for tests).
    """

    home: Path
    task_id: str = ""
    call_log: Path | None = None


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings from ``environ`` (default: this process's environment)."""
    env = os.environ if environ is None else environ
    home = env.get("CLEARML_HPO_HOME")
    return Settings(
        home=Path(home).expanduser() if home else Path(platformdirs.user_state_dir("clearml-hpo")),
        task_id=env.get("CLEARML_TASK_ID", ""),
        call_log=Path(env[_CALL_LOG]) if env.get(_CALL_LOG) else None,
    )


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """The clearml.conf that ClearML's programs read, whether it is there or not."""
    env = os.environ if environ is None else environ
    return Path(env.get("CLEARML_CONFIG_FILE") or "~/clearml.conf").expanduser().absolute()


def use_server(server: ServerAddress) -> None:
    """Makes this process, and those it starts, talk to ``server``; call before ``clearml`` is imported."""
    os.environ.update({**server.environ(), **around_proxies(server.api, os.environ)})


def is_local(url: str) -> bool:
    """Whether a URL is of this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def around_proxies(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to ``environ`` so that no proxy is asked for ``url``; none for another machine's.

    A proxy that the environment names knows nothing of a server on this machine.
    """
    if not is_local(url):
        return {}
    given = [entry.strip() for name in ("no_proxy", "NO_PROXY") for entry in environ.get(name, "").split(",")]
    # "*" exempts everything only if it stands alone.
    exempt = ["*"] if "*" in given else [*filter(None, given), "127.0.0.1", "localhost", "::1"]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(dict.fromkeys(exempt)))


def secret(name: str) -> str:
    """What a variable holds that is this process's own: :func:`child_environ` leaves it out from now on.

    Empty if it is not set.
    """
    _SECRETS.add(name)
    return os.environ.get(name, "")


def child_environ(**changes: str) -> dict[str, str]:
    """The environment for a process to be started: this process's without its secrets, with ``changes``."""
    return {**{name: text for name, text in os.environ.items() if name not in _SECRETS}, **changes}
