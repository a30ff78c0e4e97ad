"""Tokens and the audit over the native API, on the application as it is served."""

from __future__ import annotations

import pytest
import requests

from clearml_hpo.gateway.auth import Kind
from clearml_hpo.gateway.auth.tokens import DAY_S
from clearml_hpo.gateway.db import accounts, audit
from clearml_hpo.gateway.db.accounts import Role


def ids(gateway, token, query=""):
    status, page = gateway.call("GET", f"/tokens{query}", token)
    assert status == 200, page
    return [row["id"] for row in page["tokens"]]


def id_of(text):
    return text.split("_")[1]


def test_a_token_makes_lists_rotates_and_revokes_others(gateway):
    own = gateway.token("worker", "tokens:self")
    asked = {"name": "batch jobs", "scopes": ["trials:ask", "trials:report"], "valid_s": 2 * DAY_S}
    status, made = gateway.call("POST", "/tokens", own, **asked)
    assert status == 201 and made["token"].startswith(f"gwt_{made['id']}_")
    assert (made["kind"], made["scopes"]) == ("api", ["trials:ask", "trials:report"])
    assert made["expires"] - made["created"] == pytest.approx(2 * DAY_S)
    assert gateway.call("GET", "/tokens/self", made["token"])[1]["id"] == made["id"], "it counts"

    status, hopaas = gateway.call("POST", "/tokens", own, name="old client", kind="hopaas")
    assert status == 201 and hopaas["token"].startswith("gwh_")
    assert gateway.call("GET", "/tokens/self", hopaas["token"])[0] == 401, "it is taken from paths alone"

    assert ids(gateway, own) == [hopaas["id"], made["id"], id_of(own)]
    _, first = gateway.call("GET", "/tokens?limit=2", own)
    assert first["next"] == made["id"] and ids(gateway, own, f"?after={first['next']}") == [id_of(own)]
    assert "token" not in gateway.call("GET", f"/tokens/{made['id']}", own)[1], "its text is shown once"

    status, new = gateway.call("POST", f"/tokens/{made['id']}:rotate", own, overlap_s=0)
    assert status == 201 and new["rotated_from"] == made["id"] and new["scopes"] == made["scopes"]
    assert gateway.call("GET", "/tokens/self", new["token"])[0] == 200

    status, gone = gateway.call("DELETE", f"/tokens/{new['id']}", own)
    assert status == 200 and gone["revoked_at"]
    assert gateway.call("DELETE", f"/tokens/{new['id']}", own)[0] == 200, "again is no error"
    assert gateway.call("GET", "/tokens/self", new["token"])[0] == 401

    with gateway.database.read() as connection:
        lines = [(act.what, act.token, act.target) for act in audit.last(connection)]
    by = f"by token {id_of(own)}"
    assert ("token made", made["id"], f"trials:ask trials:report, {by}") in lines
    assert ("token rotated", new["id"], f"{made['id']}, {by}") in lines
    assert ("token revoked", new["id"], by) in lines


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"scopes": ["owner"]}, "scopes: a token makes no other one that may do more than itself"),
        ({"scopes": ["trials:admin!study=abc"]}, "no such study"),
        ({"scopes": ["workers"]}, "no such scope: 'workers'"),
        ({"scopes": []}, "body.scopes"),
        ({"valid_s": 31 * DAY_S}, "valid_s: a token makes no other one that lives longer than itself"),
        ({"valid_s": 3600}, "body.valid_s"),
        ({"kind": "both"}, "body.kind"),
        ({"name": "a\nb"}, "name: say in 1 to 100 characters"),
        ({"owner": "somebody"}, "body.owner"),
    ],
)
def test_what_a_token_may_not_make_is_named(gateway, body, detail):
    own = gateway.token("worker", "tokens:self")
    status, problem = gateway.call("POST", "/tokens", own, **{"name": "t", **body})
    assert status in (404, 422) and detail in problem["detail"], problem
    assert ids(gateway, own) == [id_of(own)]


def test_without_the_right_nothing_but_itself_is_seen(gateway):
    worker = gateway.token("worker")
    assert gateway.call("GET", "/tokens/self", worker)[1]["scopes"] == sorted(
        ["studies:read", "studies:create", "trials:ask", "trials:report"]
    )
    for method, path, body in (
        ("POST", "/tokens", {"name": "t"}),
        ("GET", "/tokens", {}),
        ("GET", f"/tokens/{id_of(worker)}", {}),
        ("DELETE", "/tokens/self", {}),
        ("POST", "/tokens/self:rotate", {"overlap_s": 0}),
        ("GET", "/audit", {}),
    ):
        status, problem = gateway.call(method, path, worker, **body)
        assert (status, problem["detail"].startswith("this token has no right")) == (403, True), (method, path)


def test_tokens_of_others_are_unknown_but_to_who_administers_the_project(gateway):
    ann = gateway.token("worker", "tokens:self", user="ann", is_admin=False, role=Role.MEMBER)
    bob = gateway.token("worker", "tokens:self", user="bob", is_admin=False, role=Role.MEMBER)
    owner = gateway.token("owner", user="cleo", is_admin=False)
    elsewhere = gateway.token("owner", user="cleo", is_admin=False, project="chemistry")
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", ":rotate")):
        body = {"overlap_s": 0} if path else {}
        assert gateway.call(method, f"/tokens/{id_of(bob)}{path}", ann, **body)[0] == 404
        assert gateway.call(method, f"/tokens/{id_of(bob)}{path}", elsewhere, **body)[0] == 404
    assert gateway.call("GET", "/tokens?of=project", ann)[0] == 403
    assert set(ids(gateway, owner, "?of=project")) == {id_of(each) for each in (ann, bob, owner)}
    assert ids(gateway, owner) == [id_of(owner)], "not the one of the other project"
    status, problem = gateway.call("POST", f"/tokens/{id_of(bob)}:rotate", owner, overlap_s=0)
    assert (status, problem["detail"]) == (403, "a token is rotated by its owner; others may revoke it")
    assert gateway.call("DELETE", f"/tokens/{id_of(bob)}", owner)[0] == 200
    assert gateway.call("GET", "/tokens/self", bob)[0] == 401


def test_a_key_makes_one_token_and_its_text_is_not_kept(gateway):
    own = gateway.token("worker", "tokens:self")
    _, made = gateway.call("POST", "/tokens", own, key="k1", name="t")
    status, problem = gateway.call("POST", "/tokens", own, key="k1", name="t")
    assert status == 409 and f"token {made['id']} was made with this Idempotency-Key" in problem["detail"]
    status, problem = gateway.call("POST", "/tokens", own, key="k1", name="another")
    assert status == 422 and "Idempotency-Key: it was used with another request" in problem["detail"]
    _, new = gateway.call("POST", f"/tokens/{made['id']}:rotate", own, key="k1", overlap_s=60)
    assert gateway.call("POST", f"/tokens/{made['id']}:rotate", own, key="k1", overlap_s=60)[0] == 409
    assert set(ids(gateway, own)) == {id_of(own), made["id"], new["id"]}


def test_the_audit_is_the_projects_and_paged(gateway):
    other = gateway.token("worker", project="chemistry")
    owner = gateway.token("owner", user="cleo", is_admin=False)
    with gateway.database.write() as connection:
        audit.note(connection, "logged in", user="ann", address="192.0.2.7")
        where = accounts.ensure_project(connection, "physics")
        audit.note(connection, "role set", user="root", target="ann physics member", project=where.id)
    gateway.call("POST", "/tokens", owner, name="t")
    _, page = gateway.call("GET", "/audit", owner)
    assert [act["what"] for act in page["acts"]] == ["token made", "role set", "token made"]
    assert page["next"] is None and id_of(other) not in str(page) and "192.0.2.7" not in str(page)
    _, first = gateway.call("GET", "/audit?limit=2", owner)
    _, rest = gateway.call("GET", f"/audit?before={first['next']}", owner)
    assert first["acts"] + rest["acts"] == page["acts"]
    admin = gateway.token("owner")
    assert "logged in" in [act["what"] for act in gateway.call("GET", "/audit", admin)[1]["acts"]]
    assert id_of(other) not in str(gateway.call("GET", "/audit", admin)), "a token sees its project"


@pytest.mark.parametrize("place", ["path", "body", "query", "key"])
def test_a_token_of_hopaas_manages_nothing(gateway, place):
    leaked = gateway.token("owner", kind=Kind.HOPAAS)
    sent = {
        "path": (f"/tokens/{leaked}", {}, {}),
        "body": ("/tokens", {"name": leaked}, {}),
        "query": (f"/tokens?after={leaked}", {}, {}),
        "key": ("/tokens", {"name": "t"}, {"Idempotency-Key": leaked}),
    }[place]
    path, body, headers = sent
    answer = requests.request(
        "POST" if body else "GET", f"{gateway.url}/api/v1{path}", json=body or None, headers=headers, timeout=60
    )
    assert answer.status_code in (401, 422) and leaked not in answer.text
    headers["Authorization"] = f"Bearer {leaked}"
    assert requests.get(f"{gateway.url}/api/v1/tokens", headers=headers, timeout=60).status_code == 401
