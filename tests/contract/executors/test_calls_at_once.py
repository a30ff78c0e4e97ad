"""Calls that do not depend on each other, made at once."""

from __future__ import annotations

import threading

from clearml_hpo.backend.api import Api
from clearml_hpo.core.errors import ApiError


def made(api, count):
    return [api.call("tasks.create", name=f"task {i}", type="training")["id"] for i in range(count)]


def test_the_answers_come_in_the_order_of_the_calls(api):
    tasks = made(api, 9)
    before = api.calls["tasks.get_by_id"]
    answers = api.call_each([("tasks.get_by_id", {"task": task}) for task in tasks])
    assert [answer["task"]["id"] for answer in answers] == tasks
    assert api.calls["tasks.get_by_id"] == before + 9
    assert api.call_each([]) == []


def test_what_is_refused_keeps_no_other_from_its_answer(api):
    tasks = made(api, 3)
    api.call("tasks.delete", task=tasks[1], force=True)
    first, gone, last = api.call_each([("tasks.get_by_id", {"task": task}) for task in tasks])
    assert isinstance(gone, ApiError) and gone.subcode == 101
    assert [first["task"]["id"], last["task"]["id"]] == [tasks[0], tasks[2]]
    (alone,) = api.call_each([("tasks.get_by_id", {"task": tasks[1]})])
    assert isinstance(alone, ApiError)


def test_several_are_on_their_way_at_the_same_time(api, monkeypatch):
    real, together = Api.call, threading.Barrier(2, timeout=30)

    def call(self, endpoint, **body):
        together.wait()  # raises unless a second call is made before the first is answered
        return real(self, endpoint, **body)

    monkeypatch.setattr(Api, "call", call)
    answers = api.call_each([("queues.get_all", {})] * 4)
    assert all("queues" in answer for answer in answers)
