"""The recorded exchanges of the real client, answered by the gateway's own routes; and the rules beyond them."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from starlette.testclient import TestClient

from clearml_hpo.gateway.auth import Kind
from clearml_hpo.gateway.db.handouts import State
from clearml_hpo.gateway.hopaas.suggestions import is_suggestion, parse_suggestion
from tests.contract.gateway.recorded import Exchange, exchanges
from tests.gateways import TestGateway

CONFIG = {"title": "a", "direction": "minimize"}
ASK = {"x": "optuna#uniform(0,1)", "hopaas_config": CONFIG}
# A stub of the server answered this one with 404; real servers behind a proxy fold the slashes.
FOLDED = "//api/ask/<TOKEN>"


@pytest.fixture
def gateway(tmp_path) -> TestGateway:
    return TestGateway(tmp_path)


@pytest.fixture
def client(gateway) -> TestClient:
    return TestClient(gateway.app, client=("127.0.0.1", 5000), raise_server_exceptions=False)


class Hopaas:
    """The wire by hand."""

    def __init__(self, client: httpx.Client, token: str, base: str = "") -> None:
        self.client = client
        self.token = token
        self.base = base or str(client.base_url).rstrip("/")

    def post(self, call: str, body, prefix: str = "", **options):
        content = body if isinstance(body, (str, bytes)) else json.dumps(body)
        return self.client.post(f"{self.base}{prefix}/api/{call}/{self.token}", content=content, **options)

    def ask(self, body=ASK, **options) -> dict:
        answer = self.post("ask", body, **options)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text)

    def trial(self, body=ASK) -> str:
        return self.ask(body)["hopaas_trial"]

    def best(self, trial: str):
        return self.client.get(f"{self.base}/api/get_best_trial/{self.token}?hopaas_trial={trial}")


@pytest.fixture
def hopaas(client, gateway) -> Hopaas:
    return Hopaas(client, gateway.token())


# --- The recording -------------------------------------------------------------------------------------------------


def test_the_recording_is_whole():
    found = exchanges()
    assert len(found) == 86
    calls = {"version", "ask", "should_prune", "tell", "mark_as_failed", "get_best_trial"}
    assert {each.call for each in found} == calls


class Replay:
    """Sends what was recorded, with our own ids in place of those recorded."""

    def __init__(self, hopaas: Hopaas) -> None:
        self.hopaas = hopaas
        self.ours: dict[str, str] = {}

    def send(self, exchange: Exchange):
        token = self.hopaas.token if exchange.status != 401 else "gwh_nothing"
        target = exchange.target.replace("<TOKEN>", token)
        body = exchange.req_body
        for theirs in re.findall(r"[A-Za-z0-9_-]{43}:\d+", target + body):
            # Trials of asks that were not recorded are stood in for by one of the same kind.
            own = self.ours.get(theirs) or self.hopaas.trial()
            if exchange.call == "get_best_trial" and exchange.status == 200:
                self.hopaas.post("tell", {"hopaas_trial": own, "loss": 1.0})
            elif exchange.call == "get_best_trial":
                own = self.hopaas.trial({**ASK, "fresh": 1})
            target, body = target.replace(theirs, own), body.replace(theirs, own)
            self.ours[theirs] = own
        headers = {"user-agent": exchange.req_headers["user-agent"]}
        return self.hopaas.client.request(exchange.method, f"{self.hopaas.base}{target}", content=body, headers=headers)


def test_the_recorded_exchanges_are_answered_alike(hopaas):
    replay(hopaas, "1.2")


def replay(hopaas: Hopaas, version: str) -> None:
    """All recorded exchanges, in their order; each answer must be like the recorded one."""
    replay = Replay(hopaas)
    for number, exchange in enumerate(exchanges()):
        answer = replay.send(exchange)
        where = f"{number}: {exchange.method} {exchange.target} {exchange.req_body}: {answer.text}"
        if exchange.target == FOLDED:
            assert answer.status_code == 200, where
            continue
        assert answer.status_code == exchange.status, where
        kind = exchange.resp_headers.get("content-type")
        assert answer.headers.get("content-type") == kind, where
        if exchange.status != 200:
            assert json.loads(answer.text)["detail"], where
        elif exchange.call == "ask":
            _check_ask(exchange, answer.text, where)
            replay.ours[json.loads(exchange.resp_body)["hopaas_trial"]] = json.loads(answer.text)["hopaas_trial"]
        elif exchange.call == "version":
            assert answer.text == version
        elif exchange.call == "get_best_trial":
            assert re.fullmatch(r'"[A-Za-z0-9_-]{43}:\d+"', answer.text), where
        else:
            assert answer.text == exchange.resp_body, where


def _check_ask(exchange: Exchange, text: str, where: str) -> None:
    sent, recorded, answered = exchange.sent, json.loads(exchange.resp_body), json.loads(text)
    assert answered.keys() == recorded.keys(), where
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}:\d+", answered["hopaas_trial"]), where
    for name, value in sent.items():
        if name == "hopaas_config" or name.startswith("_"):
            assert name not in answered, where
        elif is_suggestion(value):
            assert parse_suggestion(value).contains(answered[name]), where
            assert type(answered[name]) is type(recorded[name]), where
        else:
            assert repr(answered[name]) == repr(value) == repr(recorded[name]), where


# --- Asking --------------------------------------------------------------------------------------------------------


def test_one_set_up_is_one_study(hopaas, gateway):
    trials = [hopaas.trial() for _ in range(3)]
    assert len({trial.split(":")[0] for trial in trials}) == 1
    assert [int(trial.split(":")[1]) for trial in trials] == [0, 1, 2]
    assert hopaas.trial({**ASK, "y": 1}).split(":")[0] != trials[0].split(":")[0]
    assert len(gateway.service.studies) == 2


def test_workers_say_who_they_are(hopaas, gateway):
    hopaas.ask({**ASK, "_node_name": "n1", "_gpu": 0})
    assert gateway.service.trials()[0].worker == {"node_name": "n1", "gpu": 0}


@pytest.mark.parametrize("prefix", ["", "/hopaas"])
def test_both_prefixes_are_one_wire(hopaas, prefix):
    assert hopaas.ask(prefix=prefix)["hopaas_trial"] == hopaas.trial().replace(":1", ":0")


@pytest.mark.parametrize("path", ["//api/ask/", "/api//ask/", "///api///ask///", "/hopaas//api/ask/"])
def test_doubled_slashes_are_folded_not_redirected(client, hopaas, path):
    answer = client.post(f"http://testserver{path}{hopaas.token}", content=json.dumps(ASK), follow_redirects=False)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/json", "image/png", "application/x-www-form-urlencoded"]
)
def test_bodies_may_have_any_type_or_none(hopaas, kind):
    headers = {} if kind is None else {"content-type": kind}
    assert hopaas.post("ask", ASK, headers=headers).status_code == 200


def test_the_same_request_again_gets_the_same_trial(hopaas, gateway):
    headers = {"idempotency-key": "abc"}
    assert hopaas.ask(headers=headers) == hopaas.ask(headers=headers)
    other = Hopaas(hopaas.client, gateway.token())
    assert other.ask(headers=headers)["hopaas_trial"] != hopaas.ask(headers=headers)["hopaas_trial"]


def test_answers_are_not_cached_and_open_to_no_other_site(client, hopaas):
    answer = client.post(f"/api/ask/{hopaas.token}", content=json.dumps(ASK), headers={"origin": "https://evil"})
    assert answer.headers["cache-control"] == "no-store"
    assert not [name for name in answer.headers if name.startswith("access-control")]


# --- Reporting -----------------------------------------------------------------------------------------------------


def test_a_step_that_comes_again_gets_its_answer(hopaas):
    trial = hopaas.trial(
        {**ASK, "hopaas_config": {**CONFIG, "pruner": {"name": "ThresholdPruner", "args": {"upper": 2}}}}
    )
    for _ in range(2):
        assert hopaas.post("should_prune", {"hopaas_trial": trial, "loss": 1, "step": 0}).text == "false"
    for _ in range(2):
        assert hopaas.post("should_prune", {"hopaas_trial": trial, "loss": 5, "step": 1}).text == "true"
    # it has ended by that
    assert hopaas.post("should_prune", {"hopaas_trial": trial, "loss": 1, "step": 2}).text == "true"
    assert hopaas.post("tell", {"hopaas_trial": trial, "loss": 1}).status_code == 200
    assert hopaas.best(trial).status_code == 404


def test_ends_that_come_again_change_nothing(hopaas, gateway):
    trial = hopaas.trial()
    for call, rest in (("tell", {"loss": 1.5}), ("tell", {"loss": 9}), ("mark_as_failed", {"error": "x"})):
        answer = hopaas.post(call, {"hopaas_trial": trial, **rest})
        assert (answer.status_code, answer.text) == (200, "")
    assert gateway.service.trials()[0].state == State.DONE
    assert hopaas.best(trial).text == f'"{trial}"'
    assert hopaas.post("should_prune", {"hopaas_trial": trial, "loss": 1, "step": 0}).text == "false"


def test_the_best_is_by_direction(hopaas):
    for direction, best in (("minimize", 1), ("maximize", 2)):
        body = {**ASK, "hopaas_config": {**CONFIG, "direction": direction}}
        trials = [hopaas.trial(body) for _ in range(3)]
        for trial, loss in zip(trials, (2, 1, 3), strict=True):
            hopaas.post("tell", {"hopaas_trial": trial, "loss": loss})
        assert hopaas.best(trials[0]).text == f'"{trials[best]}"'


@pytest.mark.parametrize("loss", ["NaN", "Infinity", "-Infinity"])
def test_losses_need_not_be_finite(hopaas, loss):
    trial = hopaas.trial()
    body = f'{{"hopaas_trial": "{trial}", "loss": {loss}, "step": 0}}'
    assert hopaas.post("should_prune", body).text == "false"
    assert hopaas.post("tell", body).status_code == 200
    assert hopaas.best(trial).status_code == 404


def test_long_reasons_are_cut(hopaas, gateway):
    hopaas.post("mark_as_failed", {"hopaas_trial": hopaas.trial(), "error": "x" * 10_000})
    hopaas.post("mark_as_failed", {"hopaas_trial": hopaas.trial()})
    assert [len(trial.reason) for trial in gateway.service.trials()] == [4096, 0]


@pytest.mark.parametrize(
    ("call", "rest", "detail"),
    [
        ("should_prune", {"step": 0}, "loss: expected a number"),
        ("should_prune", {"loss": "1", "step": 0}, "loss: expected a number, found str"),
        ("should_prune", {"loss": True, "step": 0}, "loss"),
        ("should_prune", {"loss": None, "step": 0}, "loss"),
        ("should_prune", {"loss": 10**400, "step": 0}, "too large"),
        ("should_prune", {"loss": 1}, "step: expected a whole number"),
        ("should_prune", {"loss": 1, "step": -1}, "step"),
        ("should_prune", {"loss": 1, "step": 2**31 + 1}, "step"),
        ("should_prune", {"loss": 1, "step": 1.5}, "step"),
        ("should_prune", {"loss": 1, "step": True}, "step"),
        ("should_prune", {"loss": 1, "step": "-x"}, "step"),
        ("tell", {}, "loss"),
        ("tell", {"loss": [1]}, "loss"),
        ("mark_as_failed", {"error": {"a": 1}}, "error: expected a text"),
    ],
)
def test_bad_reports_are_422(hopaas, call, rest, detail):
    answer = hopaas.post(call, {"hopaas_trial": hopaas.trial(), **rest})
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"a":' * 40 + b"1" + b"}" * 40, "null", '"a"'])
@pytest.mark.parametrize("call", ["ask", "should_prune", "tell", "mark_as_failed"])
def test_bad_bodies_are_422(hopaas, call, body):
    assert hopaas.post(call, body).status_code == 422


def test_bodies_that_are_too_large_are_413(hopaas):
    assert hopaas.post("ask", b" " * (2**20 + 1)).status_code == 413


@pytest.mark.parametrize(
    "trial", [None, 7, "", "abc:0", f"{'a' * 43}:0", f"{'a' * 43}", f"{'a' * 43}:-1", f"{'a' * 43}:{'9' * 30}", "a:b:c"]
)
def test_unknown_trials_are_404(hopaas, trial):
    known = hopaas.trial()
    for call in ("should_prune", "tell", "mark_as_failed"):
        assert hopaas.post(call, {"hopaas_trial": trial, "loss": 1, "step": 0}).status_code == 404
        of_known = {"hopaas_trial": known.replace(":0", ":7"), "loss": 1, "step": 0}
        assert hopaas.post(call, of_known).status_code == 404
    assert hopaas.best(str(trial)).status_code == 404


def test_other_paths_and_methods(client, hopaas):
    for path in ("/api", "/api/ask", "/api/ask/", "/api/nothing/x", f"/api/ask/{hopaas.token}/", "/docs", "/redoc"):
        assert client.get(path).status_code in (404, 405), path
    assert client.get(f"/api/ask/{hopaas.token}").status_code == 405
    assert client.get("/api/version/").status_code == 404
    assert "ask" not in client.get("/api/v1/openapi.json").text


# --- Tokens --------------------------------------------------------------------------------------------------------


def every_call(hopaas: Hopaas, trial: str) -> list[int]:
    body = {**ASK, "hopaas_trial": trial, "loss": 1, "step": 0}
    found = [hopaas.post("ask", ASK).status_code]
    found += [hopaas.post(call, body).status_code for call in ("should_prune", "tell", "mark_as_failed")]
    return [*found, hopaas.best(trial).status_code]


def test_without_a_token_nothing_is_answered(client, hopaas, gateway):
    trial = hopaas.trial()
    revoked = gateway.new()
    gateway.tokens.revoke(revoked.text.id, by="ann")
    for token in ("x", "gwh_", hopaas.token[:-1], revoked.text.reveal(), "%20", "..%2F"):
        assert set(every_call(Hopaas(client, token), trial)) <= {401, 404}, token
        assert Hopaas(client, token).post("ask", ASK).status_code in (401, 404)


def test_a_token_of_the_native_api_is_never_taken_from_a_path(client, hopaas, gateway):
    token = gateway.token(kind=Kind.API, scope="owner")
    assert every_call(Hopaas(client, token), hopaas.trial()) == [401] * 5


def test_trials_of_another_project_are_unknown(client, hopaas, gateway):
    trial = hopaas.trial()
    hopaas.post("tell", {"hopaas_trial": trial, "loss": 1})
    other = Hopaas(client, gateway.token(project="another"))
    assert every_call(other, trial) == [200, 404, 404, 404, 404]
    assert other.trial().split(":")[0] != trial.split(":")[0]


def test_a_viewer_only_looks(client, hopaas, gateway):
    trial = hopaas.trial()
    hopaas.post("tell", {"hopaas_trial": trial, "loss": 1})
    assert every_call(Hopaas(client, gateway.token(scope="viewer")), trial) == [403, 403, 403, 403, 200]


def test_a_token_that_came_in_the_open_is_revoked(gateway):
    far = TestClient(gateway.app, client=("192.0.2.7", 5000))
    token = gateway.token()
    answer = Hopaas(far, token).post("ask", ASK)
    assert answer.status_code == 403 and "is revoked" in answer.json()["detail"]
    near = TestClient(gateway.app, client=("127.0.0.1", 5000))
    assert Hopaas(near, token).post("ask", ASK).status_code == 401


@pytest.mark.parametrize(
    ("peer", "scheme", "headers", "status"),
    [
        ("127.0.0.1", "http", {}, 200),
        ("::1", "http", {}, 200),
        ("127.0.0.1", "http", {"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.7"}, 200),
        ("127.0.0.1", "http", {"x-forwarded-proto": "http", "x-forwarded-for": "192.0.2.7"}, 403),
        ("127.0.0.1", "http", {"x-forwarded-proto": "https, http", "x-forwarded-for": "192.0.2.7"}, 403),
        ("127.0.0.1", "http", {"x-forwarded-proto": "http", "x-forwarded-for": "127.0.0.1"}, 200),
        ("192.0.2.7", "https", {}, 200),
        ("192.0.2.7", "http", {"x-forwarded-proto": "https"}, 403),  # no proxy that is believed
        ("10.0.0.9", "http", {"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.7"}, 200),
        ("10.0.0.9", "http", {}, 403),
    ],
)
def test_what_counts_as_in_the_open(tmp_path, peer, scheme, headers, status):
    gateway = TestGateway(tmp_path, proxies=frozenset({"10.0.0.9"}))
    client = TestClient(gateway.app, base_url=f"{scheme}://gateway", client=(peer, 5000))
    assert Hopaas(client, gateway.token()).post("ask", ASK, headers=headers).status_code == status


# --- When things are away ------------------------------------------------------------------------------------------


def test_a_service_that_is_away_is_503(client, hopaas, gateway):
    trial = hopaas.trial()
    assert client.get("/readyz").json() == {"ready": True, "faults": []}
    gateway.service.is_away = True
    answer = hopaas.post("ask", ASK)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert hopaas.post("should_prune", {"hopaas_trial": trial, "loss": 1, "step": 0}).status_code == 200
    assert client.get("/readyz").status_code == 503 and client.get("/healthz").status_code == 200


def test_a_database_that_is_away_is_503(client, hopaas, gateway, tmp_path):
    gateway.database.close()
    for file in tmp_path.iterdir():
        file.unlink()
    tmp_path.joinpath("gateway.sqlite3").mkdir()
    answer = hopaas.post("ask", ASK)
    assert answer.status_code == 503 and answer.json() == {"detail": "the database is away"}


def test_an_error_of_ours_is_one_500_without_its_text(client, hopaas, gateway, monkeypatch):
    def fails(*given, **more):
        raise RuntimeError(f"a secret {hopaas.token}")

    monkeypatch.setattr(gateway.service, "open_study", fails)
    answer = hopaas.post("ask", ASK)
    assert answer.status_code == 500 and "secret" not in answer.text
