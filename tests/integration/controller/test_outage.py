"""A server that goes away, is slow or in trouble: it is said, waited out, and nothing is lost."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from clearml_hpo import server as embedded
from clearml_hpo.backend import api as module
from clearml_hpo.backend.api import Api
from clearml_hpo.backend.http import Client
from clearml_hpo.core.budget import Budget
from clearml_hpo.core.errors import ApiError, ServerError, UnreachableError, is_trouble
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.scheduler import Hooks, Policy, Scheduler, run_loop
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.space import SearchSpace
from clearml_hpo.server.state import DataDir, Listening
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import Listener, run

DEADLINE_S = 60.0


@pytest.fixture
def data_dir(tmp_path):
    """Of a server of its own, which may be stopped and comes back on the same ports."""
    path = tmp_path / "server"
    path.mkdir()
    DataDir(path).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    yield path
    embedded.stop(path)


@pytest.fixture
def server(data_dir):
    return embedded.start(data_dir, with_parent=True)


class Outages(Listener):
    """Stops the server when a trial ends, and starts it again a little later; as often as told."""

    def __init__(self, data_dir, times, seconds):
        super().__init__()
        self.data_dir, self.times, self.seconds = data_dir, times, seconds
        self.thread = None
        self.addresses = []

    def trial(self, trial):
        super().trial(trial)
        if not trial.state.is_live and self.times and not (self.thread and self.thread.is_alive()):
            self.times -= 1
            self.thread = threading.Thread(target=self.happens)
            self.thread.start()

    def happens(self):
        embedded.stop(self.data_dir)
        time.sleep(self.seconds)
        self.addresses.append(embedded.start(self.data_dir, with_parent=True).address)


def test_a_study_waits_out_outages_and_loses_nothing(study_file, api, queue, data_dir, server):
    view = Outages(data_dir, times=2, seconds=0.6)
    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS, step_s=0.02) as agent:
        outcome = run(study_file, api, view=view)
        view.thread.join(DEADLINE_S)
    assert view.addresses == [server.address] * 2, "it came back where it was"
    assert outcome.status == "completed"
    assert [(trial.number, trial.attempt) for trial in outcome.trials] == [(number, 1) for number in range(6)]
    assert {trial.state.value for trial in outcome.trials} == {"completed"}
    assert sorted(agent.ran) == sorted(trial.task_id for trial in outcome.trials), "none is run twice"
    assert any("no answer from" in note and "asking again in" in note for note in view.notes)


def test_a_stop_is_heard_while_the_server_is_away(api, data_dir, server):
    notes, stopped = [], threading.Event()

    class OfServer:
        """Whatever the loop needs is one call."""

        def __getattr__(self, name):
            return lambda *arguments, **named: api.call("tasks.get_all", page_size=1, only_fields=["id"])

    def heard(text):
        notes.append(text)
        if len(notes) == 3:
            stopped.set()

    goal = Goal((Objective("validation", "loss"),))
    study = OptunaStudy(SearchSpace(), ["minimize"])
    hooks = Hooks(on_note=heard)
    scheduler = Scheduler(study, OfServer(), OfServer(), goal, Policy(Budget(trials=3)), hooks=hooks)
    embedded.stop(data_dir)
    before = time.monotonic()
    run_loop(scheduler, 0.05, stopped)
    assert time.monotonic() - before < DEADLINE_S / 2
    assert all("no answer from" in note for note in notes) and len(notes) == 3


@pytest.mark.long
def test_a_call_fails_at_once_while_nobody_answers_and_succeeds_after(api, data_dir, server):
    assert api.call("queues.get_all")["queues"] is not None
    embedded.stop(data_dir)
    for _ in range(2):
        with pytest.raises(ApiError, match=r"no answer from http://127\.0\.0\.1:\d+ \(NewConnectionError\)") as raised:
            api.call("queues.get_all")
        assert raised.value.code == 503
    embedded.start(data_dir, with_parent=True)
    assert api.call("queues.get_all")["queues"] is not None


def test_a_token_that_runs_out_during_an_outage_is_renewed_after_it(api, data_dir, server):
    forget_token(api)
    embedded.stop(data_dir)
    with pytest.raises(ApiError, match=r"auth\.login failed \(503/0\): no answer"):
        api.call("queues.get_all")
    embedded.start(data_dir, with_parent=True)
    assert api.call("queues.get_all")["queues"] is not None


def forget_token(api):
    api._client._token.renewed_at = 0.0


# --- answers of a server in trouble, in front of a real one ----------------------------------------------------------


class Troubled:
    """Passes calls on to a real server, except as planned: a status, seconds until it answers at all, or a lie."""

    def __init__(self, real, plan=()):
        self.plan, self.paths = list(plan), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.paths.append(self.path)
                planned = outer.plan.pop(0) if outer.plan else None
                if isinstance(planned, float):
                    time.sleep(planned)
                if isinstance(planned, int):
                    meta = {"result_code": planned, "result_subcode": 7, "result_msg": "busy"}
                    return self._answer(planned, json.dumps({"meta": meta, "data": {}}).encode())
                if isinstance(planned, tuple):
                    return self._answer(*planned)
                connection = http.client.HTTPConnection(urlsplit(real).netloc, timeout=10)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                self._answer(answer.status, answer.read())

            do_GET = do_POST

            def _answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def troubled(server, monkeypatch):
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    proxy = Troubled(server.address.api)
    monkeypatch.setenv("CLEARML_API_HOST", proxy.url)
    yield proxy
    proxy.http.shutdown()
    proxy.http.server_close()


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_trouble_is_said_and_the_call_is_made_once(troubled, code):
    api = Api()
    troubled.plan, troubled.paths = [code], []
    with pytest.raises(ApiError, match="busy") as raised:
        api.call("queues.get_all")
    assert (raised.value.code, raised.value.subcode) == (code, 7)
    assert troubled.paths == ["/queues.get_all"]
    assert api.call("queues.get_all")["queues"] is not None


def test_a_gateway_that_answers_with_a_page(troubled):
    api = Api()
    troubled.plan = [(502, b"<html>Bad gateway</html>")]
    with pytest.raises(ApiError, match="Bad gateway") as raised:
        api.call("queues.get_all")
    assert raised.value.code == 502


PAGE = b"<html>Log in to the network</html>"
LIES = [
    (200, PAGE),
    (200, b""),
    (200, b"{}"),
    (200, b"[]"),
    (200, b'"meta"'),
    (200, b'{"meta": null, "data": {}}'),
    (200, b'{"meta": {}, "data": {"queues": []}}'),
    (200, b'{"meta": {"result_code": 200}, "data": ["queues"]}'),
    (302, b""),
    (403, PAGE),
    (404, b"default backend - 404"),
]


@pytest.mark.long
def test_what_is_not_of_a_clearml_server_is_trouble(troubled):
    api = Api()
    troubled.plan, troubled.paths = [*LIES], []
    for status, _ in LIES:
        why = f"HTTP {status} from {troubled.url}/queues.get_all, not of a ClearML server"
        with pytest.raises(ApiError, match=why) as raised:
            api.call("queues.get_all")
        assert is_trouble(raised.value)
    assert troubled.paths == ["/queues.get_all"] * len(LIES)
    troubled.plan = [LIES[0]]
    with api.asking_again(print, threading.Event()):
        assert api.call("queues.get_all")["queues"] is not None


@pytest.mark.long
def test_a_log_in_that_something_else_answers_is_trouble(troubled):
    api = Api()
    for lie in (*LIES, (200, b'{"meta": {"result_code": 200}, "data": {}}')):
        forget_token(api)
        troubled.plan = [lie]
        with pytest.raises(ApiError, match="not of a ClearML server") as raised:
            api.call("queues.get_all")
        assert is_trouble(raised.value) and raised.value.endpoint == "auth.login"
        troubled.plan = [None, lie]
        with pytest.raises(UnreachableError, match="not of a ClearML server"):
            Api()


def test_a_body_that_a_proxy_finds_too_large_is_refused(troubled):
    api = Api()
    troubled.plan = [(413, b"<html>Request Entity Too Large</html>")]
    with pytest.raises(ApiError, match="Too Large") as raised:
        api.call("queues.get_all")
    assert not is_trouble(raised.value)


def test_the_supervisor_of_agents_hears_no_answer_where_something_else_answers(server, troubled):
    client = Client(replace(server.address, api=troubled.url))
    for lie in LIES:
        troubled.plan = [lie]
        with pytest.raises(UnreachableError, match=f"no ClearML server answers at {troubled.url}"):
            client.call("queues.get_all")
    assert client.call("queues.get_all")["queues"] is not None


@pytest.mark.long
def test_a_study_waits_until_a_proxy_tells_the_truth_again(study_file, agent, troubled):
    """The page of a network that wants a log-in comes in place of each twelfth answer."""
    api = Api()
    troubled.plan = [answer for lie in LIES[:3] for answer in (*[None] * 11, lie)]
    outcome = run(study_file, api)
    assert not troubled.plan
    assert outcome.status == "completed", outcome.reason
    assert [trial.state.value for trial in outcome.trials] == ["completed"] * 6
    assert sorted(agent.ran) == sorted(trial.task_id for trial in outcome.trials)


def test_a_server_that_is_too_slow_does_not_answer(troubled, monkeypatch):
    monkeypatch.setattr(module, "_TIMEOUT_S", (1.0, 0.2))
    api = Api()
    troubled.plan = [0.6]
    with pytest.raises(ApiError, match="ReadTimeout") as raised:
        api.call("queues.get_all")
    assert raised.value.code == 503
    assert api.call("queues.get_all")["queues"] is not None


def test_a_large_body_is_waited_for_no_longer(troubled, monkeypatch):
    monkeypatch.setattr(module, "_TIMEOUT_S", (1.0, 0.2))
    api = Api()
    troubled.plan = [0.6]
    with pytest.raises(ApiError, match="ReadTimeout"):
        api.call("queues.get_all", id=["x" * 32] * 1000)  # it arrives after all


def test_a_token_that_the_server_no_longer_takes_is_renewed_once(troubled):
    api = Api()
    troubled.plan, troubled.paths = [401], []
    assert api.call("queues.get_all")["queues"] is not None
    assert troubled.paths == ["/queues.get_all", "/auth.login", "/queues.get_all"]


def test_rights_that_are_gone_are_a_refusal(troubled):
    api = Api()
    troubled.plan = [401, None, 401]
    with pytest.raises(ApiError) as raised:
        api.call("queues.get_all")
    assert raised.value.code == 401


def test_a_log_in_in_trouble_is_trouble_of_the_server(troubled):
    api = Api()
    forget_token(api)
    troubled.plan = [503]
    with pytest.raises(ApiError, match="busy") as raised:
        api.call("queues.get_all")
    assert (raised.value.code, raised.value.endpoint) == (503, "auth.login")


def test_a_server_that_goes_away_before_the_log_in_does_not_answer(troubled):
    troubled.plan = [None, 503]  # it is looked at first
    with pytest.raises(
        UnreachableError, match=r"no ClearML server answers at .* \(auth\.login failed \(503/7\): busy\)"
    ):
        Api()
    troubled.plan = [None, 401]
    with pytest.raises(ServerError, match=r"refused the login: .*busy"):
        Api()


@pytest.mark.long
def test_where_a_call_is_one_of_many_it_is_made_again(troubled):
    api, notes = Api(), []
    troubled.plan, troubled.paths = [503, 502], []
    with api.asking_again(notes.append, threading.Event()):
        assert api.call("queues.get_all")["queues"] is not None
        troubled.plan = [400]
        with pytest.raises(ApiError, match="busy"):
            api.call("queues.get_all")
    assert troubled.paths == ["/queues.get_all"] * 4
    assert "asking again in" in notes[0] and notes[-1] == "the server answers again"
    troubled.plan = [503]
    with pytest.raises(ApiError, match="busy"):
        api.call("queues.get_all")


def test_a_log_in_that_is_refused_is_no_trouble(troubled):
    api = Api()
    forget_token(api)
    troubled.plan = [403]
    with pytest.raises(ApiError) as raised:
        api.call("queues.get_all")
    assert raised.value.code == 403
