"""Which server is configured: as ClearML's own programs find it, but for the public server, which is never asked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from clearml_hpo.backend.configured import configured_server
from clearml_hpo.core.errors import InputError

CONF = """
# as clearml-init writes it
api {
    api_server: http://127.0.0.1:8008   # not the web server
    web_server: "http://127.0.0.1:8080/"
    files_server: http://127.0.0.1:8081
    credentials {"access_key": "KEY/", "secret_key": "s$cret/"}
}
sdk { storage { cache { default_base_dir: "~/.clearml/cache" } } }
"""

# What the SDK makes of the same: each value as its session has it.
SDK = """
import json
from clearml.backend_api import Session
from clearml.backend_api.session.defs import ENV_ACCESS_KEY, ENV_SECRET_KEY
from clearml.config import config_obj

keys = [
    variable.get(default=config_obj.get(f"api.credentials.{name}", ""))
    for name, variable in (("access_key", ENV_ACCESS_KEY), ("secret_key", ENV_SECRET_KEY))
]
places = [Session.get_api_server_host(), Session.get_app_server_host(), Session.get_files_server_host()]
print(json.dumps([*places, *keys]))
"""


@pytest.fixture
def environ(tmp_path):
    return {"CLEARML_CONFIG_FILE": str(tmp_path / "clearml.conf"), "HOME": str(tmp_path)}


def values(environ):
    return list(vars(configured_server(environ).address).values())


@pytest.mark.parametrize(
    ("conf", "variables"),
    [
        (CONF, {}),
        (CONF, {"CLEARML_API_HOST": "http://elsewhere:8008/", "CLEARML_API_ACCESS_KEY": "other"}),
        ("", {"CLEARML_API_HOST": "https://api.lab.org", "CLEARML_API_ACCESS_KEY": "k", "CLEARML_API_SECRET_KEY": "s"}),
        ("", {"CLEARML_API_HOST": "http://box:8008"}),
        ("", {"CLEARML_API_HOST": "http://box:8008", "CLEARML_WEB_HOST": "https://app.lab.org"}),
        ("api { host: http://old:8008 }", {}),
        ('api { api_server: "http://"${NAME}":8008" }', {"NAME": "named"}),
    ],
)
def test_the_sdk_finds_the_same(environ, conf, variables, tmp_path, monkeypatch):
    (tmp_path / "clearml.conf").write_text(conf)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)  # for ${NAME}
    environ = {**environ, **variables, "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", SDK], capture_output=True, text=True, env=environ, check=True)
    assert values(environ) == json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("conf", [None, "", "sdk {}", "api { credentials { access_key: k, secret_key: s } }"])
def test_without_an_address_no_server_is_configured(environ, conf, tmp_path):
    if conf is not None:
        (tmp_path / "clearml.conf").write_text(conf)
    assert configured_server(environ) is None


def test_a_file_that_cannot_be_read_is_named(environ, tmp_path):
    (tmp_path / "clearml.conf").write_text("api {")
    with pytest.raises(InputError, match=r"clearml\.conf cannot be read: .*line"):
        configured_server(environ)


@pytest.mark.parametrize(
    ("conf", "variable", "verify"),
    [("", None, True), ("false", None, False), ("/ca.pem", None, "/ca.pem"), ("false", "1", True), ("", "no", False)],
)
def test_how_certificates_are_checked(environ, conf, variable, verify, tmp_path):
    setting = f'verify_certificate: "{conf}"' if conf else ""
    (tmp_path / "clearml.conf").write_text(f"api {{ api_server: https://a, {setting} }}")
    given = {} if variable is None else {"CLEARML_API_HOST_VERIFY_CERT": variable}
    assert configured_server({**environ, **given}).verify == verify


def test_a_token_stands_in_for_keys(environ):
    given = {**environ, "CLEARML_API_HOST": "https://a"}
    assert not configured_server(given).has_login
    assert configured_server({**given, "CLEARML_AUTH_TOKEN": "t"}).has_login
