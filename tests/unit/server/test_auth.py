"""Keys and tokens."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from clearml_hpo.core.errors import ServerError
from clearml_hpo.server.auth import SYSTEM, Caller
from clearml_hpo.server.credentials import Credentials

from .server_without_sockets import Api, Refused


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", (401, 20)),
        ("Basic", (401, 20)),
        ("Basic !!!", (401, 22)),
        ("Basic d3Jvbmc6cGFpcg==", (401, 22)),
        ("Bearer wrong", (401, 30)),
    ],
)
def test_login_refuses(header: str, code: tuple[int, int], api: Api) -> None:
    with pytest.raises(Refused) as error:
        api.send("auth.login", authorization=header)
    assert error.value.code == code


def test_a_call_needs_a_token(api: Api) -> None:
    for header, code in (("", (401, 20)), ("Bearer x", (401, 30)), ("Bearer ", (401, 30))):
        with pytest.raises(Refused) as error:
            api.send("tasks.get_all", authorization=header)
        assert error.value.code == code
    assert api.send("debug.ping", authorization="") == {"msg": "ClearML server"}


def test_a_token_says_what_clients_read(api: Api) -> None:
    payload = jwt.decode(api.bearer.split()[1], options={"verify_signature": False})
    assert (payload["api_version"], payload["server_version"], payload["feature_set"]) == ("2.34", "2.3.0", "basic")


def test_a_token_expires(api: Api) -> None:
    api.now += timedelta(days=29)
    api.call("tasks.get_all")
    api.now += timedelta(days=2)
    with pytest.raises(Refused, match="expired") as error:
        api.call("tasks.get_all")
    assert error.value.code == (401, 30)


def test_a_token_of_another_server_is_refused(api: Api) -> None:
    users, api.bearer = api.bearer, f"Bearer {api.apps.authority.issue(caller=Caller(role=SYSTEM))}"
    token = jwt.encode({"exp": api.now + timedelta(days=1)}, "x" * 40, "HS256")
    assert api.call("auth.validate_token", token=token)["valid"] is False
    unsigned = jwt.encode({"exp": api.now + timedelta(days=1)}, None, "none")
    assert api.call("auth.validate_token", token=unsigned)["valid"] is False
    assert api.call("auth.validate_token", token=users.split()[1])["valid"] is True


def test_keys_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = Credentials.load_or_make(path)
    assert Credentials.load_or_make(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len({made.access_key, made.secret_key, made.token_secret}) == 3


def test_a_broken_file_of_keys_is_said(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("{}")
    with pytest.raises(ServerError, match=r"keys\.json"):
        Credentials.load_or_make(path)


def test_who_has_not_logged_in_cannot_send_much(api: Api) -> None:
    for name in ("auth.login", "debug.ping"):
        with pytest.raises(Refused) as error:
            api.send(name, b"[" + b"[]," * 100_000 + b"[]]", authorization=api.basic)
        assert error.value.code == (413, 0)


def test_of_two_servers_that_start_at_once_the_keys_of_one_count(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Credentials.load_or_make(path), range(32)))
    assert len(set(made)) == 1
    assert list(tmp_path.iterdir()) == [path]
