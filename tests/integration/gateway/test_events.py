"""Changes of trials as server-sent events, over a real study on the real server."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress

import pytest
import requests

from clearml_hpo import RemoteStudy
from clearml_hpo.testing.executor_contract import eventually
from tests.integration.gateway.test_v1 import FILE, loss


class Follower(threading.Thread):
    """Reads a stream to its end."""

    def __init__(self, gateway, study, token, last=""):
        super().__init__(daemon=True)
        headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": last} if last else {})}
        url = f"{gateway.url}/api/v1/studies/{study}/events"
        self.answer = requests.get(url, headers=headers, stream=True, timeout=30)
        self.events, self.ids, self.ended_at = [], [], 0.0
        self.start()

    def run(self):
        with suppress(AttributeError, requests.RequestException):  # a test has closed it
            self.read()
        self.ended_at = time.monotonic()

    def read(self):
        kind = ""
        for line in self.answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("id: "):
                self.ids.append(line[4:])
            if line.startswith("event: "):
                kind = line[7:]
            if line.startswith("data: "):
                self.events.append((kind, json.loads(line[6:])))

    def states(self):
        return {data["number"]: data["state"] for kind, data in self.events if kind == "trial"}


@pytest.fixture
def study(gateway):
    return RemoteStudy(gateway.url, "followed", FILE, project="physics", token=gateway.token())


def test_a_study_is_followed_to_its_end_and_nothing_is_missed_in_between(gateway, study):
    viewer = gateway.token("viewer")
    whole = Follower(gateway, study.id, viewer)
    first = study.ask()
    eventually(lambda: 0 in whole.states(), "the trial is seen")
    last = whole.ids[-1]
    first.complete(loss=0.5)
    for trial in study.trials():
        trial.complete(loss=loss(trial))
    whole.join(30)
    assert not whole.is_alive()
    assert whole.states() == dict.fromkeys(range(5), "completed")
    assert whole.events[-1] == ("ended", {"reason": "the budget of 5 trials is used up"})
    assert [*map(int, whole.ids)] == sorted({*map(int, whole.ids)})
    assert whole.answer.headers["content-type"].startswith("text/event-stream")
    row = next(data for kind, data in whole.events if kind == "trial" and data["state"] == "completed")
    assert row["values"] == [0.5] and set(row["params"]) == {"x", "Args/kind"}

    rest = Follower(gateway, study.id, viewer, last)
    rest.join(30)
    assert rest.states() == dict.fromkeys(range(5), "completed") and len(rest.events) == 6
    nothing = Follower(gateway, study.id, viewer, whole.ids[-1])
    nothing.join(30)
    assert [kind for kind, _ in nothing.events] == ["ended"]


def test_a_revoked_token_is_cut_off_within_5_s_and_needs_the_right(gateway, study):
    viewer = gateway.token("viewer")
    status, problem = gateway.call("GET", f"/studies/{study.id}/events", gateway.token("trials:ask"))
    assert (status, problem["detail"]) == (403, "this token has no right studies:read here")
    follower = Follower(gateway, study.id, viewer)
    eventually(lambda: gateway.streams._open.total() == 1, "it is open")
    elsewhere = type(gateway.tokens)(gateway.database, gateway.tokens._pepper)  # as the command line does it
    began = time.monotonic()
    elsewhere.revoke(viewer.split("_")[1], by="ann")
    follower.join(20)
    assert not follower.is_alive() and follower.ended_at - began < 5.5
    assert gateway.call("GET", f"/studies/{study.id}/events", viewer)[0] == 401


def test_streams_hold_no_thread_are_bounded_and_end_with_the_gateway(gateway, study):
    viewer, other = gateway.token("viewer"), gateway.token("viewer")
    followers = [Follower(gateway, study.id, viewer) for _ in range(3)]
    status, problem = gateway.call("GET", f"/studies/{study.id}/events", viewer)
    assert (status, problem["detail"]) == (429, "this token has 3 streams of events, and gets no more")
    followers.append(Follower(gateway, study.id, other))
    status, problem = gateway.call("GET", f"/studies/{study.id}/events", gateway.token("viewer"))
    assert status == 503 and "the gateway has 4 streams" in problem["detail"]
    study.ask().complete(loss=0.1)  # with more streams than threads for reports
    eventually(lambda: all(each.states().get(0) == "completed" for each in followers), "all of them see it")
    followers[0].answer.close()
    eventually(lambda: gateway.streams._open.total() == 3, "who goes gives a place free")
    began = time.monotonic()
    gateway.server.should_exit = True
    gateway.thread.join(30)
    assert not gateway.thread.is_alive() and time.monotonic() - began < 5
    assert all(kind != "ended" for each in followers for kind, _ in each.events)


def test_another_project_and_nonsense(gateway, study):
    other = gateway.token("owner", project="chemistry")
    for path in (study.id, "abc", "%00"):
        assert gateway.call("GET", f"/studies/{path}/events", other)[0] == 404
