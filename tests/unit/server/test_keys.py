"""Key pairs that are added and revoked."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from clearml_hpo.cli import main
from clearml_hpo.core.errors import InputError
from clearml_hpo.server import keys
from clearml_hpo.server.keys import KeyPair

from .server_without_sockets import Api, Refused


def basic(pair: KeyPair) -> str:
    return "Basic " + base64.b64encode(f"{pair.access_key}:{pair.secret_key}".encode()).decode()


def login(api: Api, pair: KeyPair) -> str:
    return f"Bearer {api.send('auth.login', authorization=basic(pair))['token']}"


def refused(api: Api, header: str) -> tuple[int, int]:
    with pytest.raises(Refused) as error:
        api.send("tasks.get_all", authorization=header)
    return error.value.code


def test_an_added_pair_logs_in_until_it_is_revoked(api: Api, tmp_path: Path) -> None:
    pair = keys.add(tmp_path, "ci")
    bearer = login(api, pair)
    renewed = f"Bearer {api.send('auth.login', authorization=bearer)['token']}"
    headers = (bearer, renewed, basic(pair))
    for header in headers:
        api.send("tasks.get_all", authorization=header)
    assert keys.revoke(tmp_path, "ci").access_key == pair.access_key
    assert [refused(api, header) for header in headers] == [(401, 30)] * 2 + [(401, 22)]
    api.call("tasks.get_all")  # the owner's


def test_a_wrong_secret_is_refused(api: Api, tmp_path: Path) -> None:
    pair = keys.add(tmp_path, "ci")
    login(api, pair)
    for wrong in (KeyPair("ci", pair.access_key, "wrong"), KeyPair("ci", "WRONG", pair.secret_key)):
        assert refused(api, basic(wrong)) == (401, 22)


def test_no_secret_is_in_the_data_directory(api: Api, tmp_path: Path) -> None:
    pair = keys.add(tmp_path, "ci")
    login(api, pair)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert pair.access_key.encode() in kept and pair.secret_key.encode() not in kept
    [row] = api.store.db.rows("SELECT secret_hash FROM key_pairs")
    assert row["secret_hash"].startswith("scrypt$")


def test_a_pair_on_each_call_is_hashed_once(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    pair, hashed, scrypt = keys.add(tmp_path, "ci"), [], hashlib.scrypt

    def counted(*arguments: object, **options: object) -> bytes:
        hashed.append(arguments)
        return scrypt(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "scrypt", counted)
    for _ in range(5):
        api.send("tasks.get_all", authorization=basic(pair))
    assert len(hashed) == 1


def test_the_list_says_when_a_pair_was_last_used(api: Api, tmp_path: Path) -> None:
    pair = keys.add(tmp_path, "ci")
    assert [(key.label, key.last_used) for key in keys.listed(tmp_path)] == [("owner", None), ("ci", None)]
    bearer = login(api, pair)
    first = keys.listed(tmp_path)[1].last_used
    api.send("tasks.get_all", authorization=bearer)
    assert keys.listed(tmp_path)[1].last_used == first  # to the minute: not each call is a write
    api.now += timedelta(minutes=2)
    api.send("tasks.get_all", authorization=bearer)
    assert (keys.listed(tmp_path)[1].last_used or "") > (first or "")


def test_a_label_is_of_one_pair_in_use(tmp_path: Path) -> None:
    first = keys.add(tmp_path, "ci")
    with pytest.raises(InputError, match="'ci' already"):
        keys.add(tmp_path, "ci")
    for _ in range(2):  # again is no error
        assert keys.revoke(tmp_path, "ci").access_key == first.access_key
    second = keys.add(tmp_path, "ci")
    assert keys.revoke(tmp_path, second.access_key).access_key == second.access_key
    assert [key.revoked is None for key in keys.listed(tmp_path)] == [True, False, False]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no server was ever started"):
        keys.listed(tmp_path / "nowhere")
    for label in ("", " ", "a\nb", "owner"):
        with pytest.raises(InputError, match="no label"):
            keys.add(tmp_path, label)
    pair = keys.add(tmp_path, "laptop")
    with pytest.raises(InputError, match="did you mean 'laptop'"):
        keys.revoke(tmp_path, "labtop")
    with pytest.raises(InputError, match=r"credentials\.json"):
        keys.revoke(tmp_path, "owner")
    assert keys.listed(tmp_path)[1].access_key == pair.access_key


def test_the_commands(tmp_path: Path) -> None:
    def call(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["server", "keys", *arguments, "--data", str(tmp_path / "data")])
        assert result.exit_code == code, result.output
        return result.stdout if code == 0 else result.output

    assert "no server was ever started" in call("list", code=2)
    made = json.loads(call("add", "ci", "--json"))
    assert set(made) == {"label", "access_key", "secret_key"}
    assert call("add", "other").startswith("access_key ")
    assert "already" in call("add", "ci", code=2)
    assert [key["label"] for key in json.loads(call("list", "--json"))] == ["owner", "ci", "other"]
    assert made["access_key"] in call("list") and made["secret_key"] not in call("list")
    assert call("revoke", "ci") == call("revoke", made["access_key"]) == f"ci ({made['access_key']}) is revoked\n"
    assert "no key pair has" in call("revoke", "nobody", code=2)
