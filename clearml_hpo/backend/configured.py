"""The ClearML server that the environment or clearml.conf names, as ClearML's programs find it.

They take its makers' public server if none is named; this package never does. And it reads clearml.conf without the
SDK, which takes a second to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clearml_hpo.core.errors import InputError
from clearml_hpo.machine import settings
from clearml_hpo.machine.settings import ServerAddress

HOW_TO = (
    "set CLEARML_API_HOST, CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY, or write a clearml.conf (clearml-init)"
)
"""What configures a server."""

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class ConfiguredServer:
    """A server, and how it is talked to.

    Attributes:
        token: what stands in for the keys, if there are none (``CLEARML_AUTH_TOKEN``).
        verify: whether its certificate is checked, or by which file.
    """

    address: ServerAddress
    token: str = ""
    verify: bool | str = True

    @property
    def has_login(self) -> bool:
        """True if there is something to log in with."""
        return bool(self.token or (self.address.access_key and self.address.secret_key))


def configured_server(environ: Mapping[str, str] | None = None) -> ConfiguredServer | None:
    """The server that is configured; None if no address of one is.

    Raises:
        InputError: clearml.conf cannot be read.
    """
    env = settings.child_environ() if environ is None else environ
    conf = _api_section(settings.config_file(env))
    credentials = conf.get("credentials") or {}

    def said(name: str, in_conf: Any) -> str:
        return str(env.get(f"CLEARML_{name}") or in_conf or "")

    api = said("API_HOST", conf.get("api_server") or conf.get("host")).rstrip("/")
    if not api:
        return None
    web, files = beside(api, said("WEB_HOST", conf.get("web_server")), said("FILES_HOST", conf.get("files_server")))
    keys = [said(f"API_{key.upper()}", credentials.get(key)) for key in ("access_key", "secret_key")]
    verify = said("API_HOST_VERIFY_CERT", str(conf.get("verify_certificate", True)))
    return ConfiguredServer(
        ServerAddress(api, web, files, *keys),
        env.get("CLEARML_AUTH_TOKEN", ""),
        _BOOLEANS.get(verify.lower(), verify),
    )


def beside(api: str, web: str = "", files: str = "") -> tuple[str, str]:
    """Addresses of the pages and of the file server; where they are not given, those that the SDK takes."""
    web = web.rstrip("/") or _web_of(api)
    return web, files.rstrip("/") or _files_of(web)


def _api_section(path: Path) -> Mapping[str, Any]:
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return {}


@lru_cache(maxsize=1)
def _parsed(path: Path, _changed: int) -> Mapping[str, Any]:
    # The agent's copy of pyhocon: that of the SDK cannot be had without all of the SDK.
    from clearml_agent.external.pyhocon import ConfigFactory

    try:
        section = ConfigFactory.parse_file(str(path)).as_plain_ordered_dict().get("api")
    except Exception as error:  # pyparsing's have no base of their own in every release
        raise InputError(f"{path} cannot be read: {error}") from None
    return section if isinstance(section, Mapping) else {}


def _web_of(api: str) -> str:
    """Where the SDK takes the pages to be when only the API's address is given."""
    return api.replace("://api.", "://app.", 1) if "://api." in api else api.replace(":8008", ":8080", 1)


def _files_of(web: str) -> str:
    """The same for the file server."""
    if "://app." in web:
        return web.replace("://app.", "://files.", 1)
    parts = urlsplit(web)
    return f"{parts.scheme}://{parts.hostname}:8081"
