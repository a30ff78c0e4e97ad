"""Odd requests to every route of the native API: none is a 500, and what is refused says why."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.db import Database
from tests.contract.gateway.test_gateway_fuzz import ODD
from tests.integration.gateway.conftest import Gateway

FILE = {
    "search_space": {"x": {"type": "float", "low": 0.0, "high": 1.0}, "epochs": 3},
    "objective": {"metric": "valid/loss", "direction": "minimize"},
    "sampler": {"name": "random", "seed": 1},
    "budget": {"trials": 100_000},
}
LEASED = {"lease": "LEASE"}
BODIES = {
    "POST /projects/{project}/studies": {"name": "s", "study_file": FILE, "if_exists": "return", "lease_s": 60},
    "POST /projects/{project}/studies:validate": {"name": "s", "study_file": FILE},
    "PATCH /studies/{study}": {"state": "active"},
    "POST /studies/{study}/trials:ask": {"count": 1, "worker": {"id": "a", "tags": {"a": "b"}}, "wait_s": 0},
    "POST /studies/{study}/trials": {"trials": [{"params": {"x": 0.5}, "values": {"loss": 1}, "step": 1}]},
    "POST /trials/{trial}/reports": {**LEASED, "reports": [{"step": 1, "values": {"loss": 1}}]},
    "POST /trials/{trial}:heartbeat": LEASED,
    "POST /trials/{trial}:complete": {**LEASED, "values": {"loss": 1}},
    "POST /trials/{trial}:fail": {**LEASED, "reason": ""},
    "POST /trials/{trial}:stop": {"reason": ""},
    "POST /tokens": {"name": "t", "kind": "api", "scopes": ["worker"], "valid_s": 86_400},
    "POST /tokens/{token}:rotate": {"overlap_s": 60},
}
ALLOWED = (200, 201, 401, 403, 404, 405, 408, 409, 413, 422, 429)
_JSON = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


class World:
    """A gateway, its routes, and what fits in their paths."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.client = TestClient(gateway.server.config.app, client=("127.0.0.1", 5000), raise_server_exceptions=False)
        self.token = gateway.token("owner")
        gateway.streams.close()  # one that is open would go on for ever
        described = self.client.get("/api/v1/openapi.json").json()["paths"]
        self.routes = [
            f"{method.upper()} {path.removeprefix('/api/v1')}"
            for path, methods in described.items()
            for method in methods
        ]
        made = self.send("POST /projects/{project}/studies", {"project": "physics"}, {"name": "f", "study_file": FILE})
        study = made.json()["id"]
        (trial,) = self.send("POST /studies/{study}/trials:ask", {"study": study}, {"wait_s": 30}).json()
        other = self.send("POST /tokens", {}, {"name": "other"}).json()
        self.known = {"project": "physics", "study": study, "trial": trial["trial"], "token": other["id"]}
        self.lease = trial["lease"]

    def send(self, route, names, body=None, query="", headers=None):
        method, path = route.split(" ")
        path = re.sub("{(.*?)}", lambda name: names[name[1]], path)
        sent = None if body is None else json.dumps(body).replace("LEASE", getattr(self, "lease", ""))
        told = {"authorization": f"Bearer {self.token}", "content-type": "application/json", **(headers or {})}
        return self.client.request(method, f"http://testserver/api/v1{path}{query}", content=sent, headers=told)


@pytest.fixture(scope="module")
def world(server, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.address.environ().items():
            patch.setenv(name, value)
        database = Database(f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/gateway.sqlite3")
        database.open()
        gateway = Gateway(database, Pepper("p" * 40))
        yield World(gateway)
        gateway.close()
        database.close()


def check(answer, where):
    allowed = (*ALLOWED, 503) if where[0].endswith(("/events", ":ask", "/trials")) else ALLOWED
    assert answer.status_code in allowed, (where, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", where
        assert answer.json()["detail"], where


def places(body, path=()):
    """Every place in a body."""
    yield path
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in inner:
        if key != "study_file":
            yield from places(value, (*path, key))


def changed(body, path, value):
    if not path:
        return value
    copy = json.loads(json.dumps(body))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return copy


def test_every_route_that_takes_a_body_is_known_here(world):
    posts = {route for route in world.routes if route.split(" ")[0] in ("POST", "PATCH")}
    assert posts == {*BODIES} and len(world.routes) > 20


@pytest.mark.parametrize("route", BODIES)
def test_odd_values_in_every_place(world, route):
    for path in places(BODIES[route]):
        for odd in ODD:
            sent = changed(BODIES[route], path, odd)
            if isinstance(sent, dict) and "trials:ask" in route:
                sent.setdefault("wait_s", 0)
            check(world.send(route, world.known, sent), (route, sent))


def test_odd_names_in_every_path(world):
    names = [
        "",
        "%00",
        "self",
        "a" * 300,
        "0",
        "-1",
        "%f0%9f%98%80",
        "%ff",
        "x.1",
        "1.99999999999999999",
    ]
    for route in world.routes:
        for name in names:
            answer = world.send(route, dict.fromkeys(world.known, name), BODIES.get(route))
            if name == "self" and "{token}" in route:
                continue
            check(answer, (route, name))


@given(data=st.data())
def test_any_request(world, data):
    for _ in range(5):
        route = data.draw(st.sampled_from(world.routes))
        key = data.draw(st.sampled_from(["after", "before", "limit", "state", "of"]))
        query = f"?{key}={data.draw(st.sampled_from(['', '0', '-1', '1e9', '%00', '%zz', 'a', '9' * 30, '1001']))}"
        headers = data.draw(
            st.dictionaries(
                st.sampled_from(["last-event-id", "idempotency-key", "content-type", "x-forwarded-for"]),
                st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
            )
        )
        body = data.draw(_JSON) if route in BODIES else None
        if isinstance(body, dict) and "trials:ask" in route:
            body["wait_s"] = 0
        check(world.send(route, world.known, body, query, headers), (route, query, headers, body))


def test_a_body_that_is_too_large_or_too_deep_is_refused(world):
    for sent in ("[" * 100_000, '{"a":' * 100_000, "x" * (2**20 + 1), '{"name": "' + "a" * 2**20 + '"}'):
        answer = world.client.post(
            "http://testserver/api/v1/tokens",
            content=sent,
            headers={"authorization": f"Bearer {world.token}", "content-type": "application/json"},
        )
        assert answer.status_code in (413, 422), answer.text
