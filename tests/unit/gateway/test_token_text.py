"""The form of tokens, the key of their hashes, and scopes."""

from __future__ import annotations

import re
import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearml_hpo.core.errors import GatewayError, InputError
from clearml_hpo.gateway.auth.pepper import VARIABLE, Pepper
from clearml_hpo.gateway.auth.scopes import OF_ROLE, PRESETS, Right, Rights
from clearml_hpo.gateway.auth.token_text import Kind, new, parse, without_secrets
from clearml_hpo.gateway.db.accounts import Role

# --- Form ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_a_token_is_read_as_it_was_made(kind):
    token = new(kind)
    text = token.reveal()
    assert re.fullmatch(rf"{kind.value}_[A-Za-z0-9]{{12}}_[A-Za-z0-9_-]{{43}}_[A-Za-z0-9_-]{{6}}", text)
    assert parse(text) == token
    assert token.secret not in repr(token)


@given(data=st.data())
def test_one_changed_character_is_no_token(data):
    text = new(Kind.HOPAAS).reveal()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("abcXYZ019_-").filter(lambda character: character != text[at]))
    assert parse(f"{text[:at]}{other}{text[at + 1 :]}") is None


@given(text=st.text())
def test_other_texts_are_no_tokens(text):
    assert parse(text) is None
    assert parse(f"gwh_{text}") is None


@pytest.mark.parametrize("cut", [1, 7, 30, 60])
def test_a_cut_token_is_no_token(cut):
    assert parse(new(Kind.API).reveal()[:-cut]) is None


def test_tokens_are_taken_out_of_texts():
    token = new(Kind.HOPAAS)
    text = f"GET /api/ask/{token.reveal()} failed; cut: {token.reveal()[:-8]}"
    redacted = without_secrets(text)
    assert token.secret not in redacted and token.secret[:20] not in redacted
    assert redacted == f"GET /api/ask/gwh_{token.id}_*** failed; cut: gwh_{token.id}_***"


# --- Pepper --------------------------------------------------------------------------------------------------------


def test_the_key_is_made_once_for_its_owner(tmp_path):
    file = tmp_path / "new" / "pepper"
    token = new(Kind.API)
    hashes = []
    threads = [threading.Thread(target=lambda: hashes.append(Pepper.load(file).hash(token))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 8 and len(set(hashes)) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert re.fullmatch("[0-9a-f]{64}", hashes[0]) and token.secret not in hashes[0]


def test_another_key_makes_other_hashes():
    token = new(Kind.API)
    assert Pepper("a" * 32).hash(token) != Pepper("b" * 32).hash(token)
    assert Pepper("a" * 32).hash(token) != Pepper("a" * 32).hash(new(Kind.API))


def test_a_key_that_others_can_read_is_refused(tmp_path):
    file = tmp_path / "pepper"
    Pepper.load(file)
    file.chmod(0o640)
    with pytest.raises(GatewayError, match="can be read by other users; run: chmod 600"):
        Pepper.load(file)


def test_the_variable_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "k" * 40)
    token = new(Kind.API)
    assert Pepper.load(tmp_path / "pepper").hash(token) == Pepper("k" * 40).hash(token)
    assert not (tmp_path / "pepper").exists()
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(InputError, match="has 5 characters; at least 32"):
        Pepper.load(tmp_path / "pepper")


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "pepper").mkdir(0o700)
    with pytest.raises(GatewayError, match="cannot be used"):
        Pepper.load(tmp_path / "pepper")


# --- Scopes --------------------------------------------------------------------------------------------------------


def test_rights_of_one_study():
    rights = Rights.parse(["trials:ask!study=3f9c2a", "studies:read"])
    assert rights.allow(Right.ASK, "3f9c2a") and rights.allow(Right.READ) and rights.allow(Right.READ, "other")
    assert not rights.allow(Right.ASK) and not rights.allow(Right.ASK, "other") and not rights.allow(Right.REPORT)
    assert Rights.parse(str(rights).split()) == rights


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset):
    rights = Rights.parse([preset])
    assert rights.short == preset
    assert {right for right in Right if rights.allow(right)} == set(PRESETS[preset])
    assert not any(Rights.parse([f"{preset}!study=a1"]).allow(right) for right in Right)


def test_no_token_covers_more_than_it_has():
    owner, worker, one = (Rights.parse([word]) for word in ("owner", "worker", "worker!study=a1"))
    for weaker, stronger in ((worker, owner), (one, worker), (one, one)):
        assert str(weaker.beyond(stronger)) == ""
    assert str(owner.beyond(worker)) == "project:admin studies:admin tokens:self trials:admin"
    assert worker.beyond(one) == worker
    other = Rights.parse(["worker!study=b2"])
    assert other.beyond(one) == other


@pytest.mark.parametrize("role", [*Role, None])
def test_rights_are_those_of_the_token_and_of_its_owner(role):
    rights = Rights.parse(["owner"]).of_role(role)
    assert {right for right in Right if rights.allow(right)} == (set(OF_ROLE[role]) if role else set())
    assert not Rights.parse(["viewer"]).of_role(role).allow(Right.ASK)


def test_roles_are_in_order():
    assert OF_ROLE[Role.VIEWER] < OF_ROLE[Role.MEMBER] < OF_ROLE[Role.OWNER]


@pytest.mark.parametrize("word", ["trials", "trials:aks", "trials:ask!study=", "trials:ask!study=a b", "*", ""])
def test_unknown_scopes_are_refused(word):
    with pytest.raises(InputError, match="scope"):
        Rights.parse([word])
