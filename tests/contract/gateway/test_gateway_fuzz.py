"""Odd requests to every route: none is a 500, and none makes a log line with a token (`make fuzz` sends many more)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.contract.gateway.recorded import exchanges
from tests.gateways import TestGateway

SENT = [found.sent for found in exchanges() if found.method == "POST"]
CALLS = ["ask", "should_prune", "tell", "mark_as_failed", "get_best_trial", "version", "nothing", ""]
RANGES = ["", "float(0,1)", "int(0,9)", "categorical(a,b)", "float(nan,inf)", "log_uniform(0,0)", "int(0,1e9)"]
ODD = [None, True, -1, 0, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "a", "\ud800", [], {}, [[]]]
ODD += [f"optuna#{each}" for each in RANGES]
_JSON = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def world():
    with tempfile.TemporaryDirectory() as folder:
        gateway = TestGateway(Path(folder))
        client = TestClient(gateway.app, client=("127.0.0.1", 5000))
        token = gateway.token()
        trial = client.post(f"/api/ask/{token}", content=json.dumps(SENT[0])).json()["hopaas_trial"]
        yield client, token, trial
        gateway.database.close()


@st.composite
def mutated(draw: st.DrawFn, trial: str):
    """A recorded body with a few of its parts changed."""
    body = json.loads(json.dumps(draw(st.sampled_from(SENT))))
    if "hopaas_trial" in body:
        body["hopaas_trial"] = draw(st.sampled_from([trial, body["hopaas_trial"], "", trial + "0"]))
    for _ in range(draw(st.integers(0, 3))):
        inner, keys = body, []
        while isinstance(inner, dict) and inner and (not keys or draw(st.booleans())):
            holder, key = inner, draw(st.sampled_from(sorted(inner)))
            inner, keys = holder[key], [*keys, key]
        if not keys:
            break
        if draw(st.booleans()):
            holder[key] = draw(_JSON)
        elif draw(st.booleans()):
            del holder[key]
        else:
            holder[draw(st.text(max_size=5))] = draw(_JSON)
    return body


def check(answer, where) -> None:
    assert answer.status_code < 500, where
    assert answer.status_code in (200, 401, 403, 404, 405, 413, 422), where
    if answer.status_code == 422:
        assert answer.json()["detail"], where


@pytest.mark.parametrize("call", CALLS[:4])
def test_odd_values_in_every_place(world, call):
    client, token, trial = world
    body = {"hopaas_trial": trial, "loss": 1.0, "step": 0, "error": ""}
    if call == "ask":
        body = {"x": "optuna#float(0,1)", "hopaas_config": {"title": "a", "direction": "minimize"}, "_tag": 1}
    for place in ([], *([key] for key in body), ["hopaas_config", "title"], ["hopaas_config", "sampler"], ["new"]):
        for odd in ODD:
            changed = json.loads(json.dumps(body))
            if place[1:]:
                changed.setdefault(place[0], {})[place[1]] = odd
            elif place:
                changed[place[0]] = odd
            sent = json.dumps(changed if place else odd)
            check(client.post(f"/api/{call}/{token}", content=sent), (call, sent))


@given(data=st.data())
def test_changed_bodies(world, data):
    client, token, trial = world
    for _ in range(5):
        call = data.draw(st.sampled_from(CALLS[:4]))
        body = json.dumps(data.draw(mutated(trial)))
        check(client.post(f"/api/{call}/{token}", content=body), (call, body))


@given(data=st.data())
def test_any_request(world, data):
    client, token, trial = world
    for _ in range(5):
        method = data.draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]))
        prefix = data.draw(st.sampled_from(["", "/hopaas", "//", "/hopaas/hopaas", "/api"]))
        middle = data.draw(st.sampled_from(CALLS))
        end = data.draw(
            st.sampled_from([token, token[:-1], "", f"{token}/", f"{token}/x"]) | st.text(max_size=20).map(quote)
        )
        query = data.draw(
            st.sampled_from(["", f"?hopaas_trial={trial}", "?hopaas_trial=", "?hopaas_trial=%00", "?a&&=%zz"])
        )
        headers = data.draw(
            st.dictionaries(
                st.sampled_from(
                    ["content-type", "x-forwarded-for", "idempotency-key", "authorization", "content-encoding"]
                ),
                st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
            )
        )
        body = data.draw(st.binary(max_size=200))
        target = f"http://testserver{prefix}/api/{middle}/{end}{query}"
        check(client.request(method, target, content=body, headers=headers), (method, target, headers, body))
