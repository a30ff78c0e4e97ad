"""Names that a ClearML server refuses, said before it does."""

from __future__ import annotations

import re

import pytest

from clearml_hpo.backend.names import ensure_project, ensure_queue, find_queues, study_name, task_name
from clearml_hpo.core.errors import InputError


class Empty:
    """A server that has nothing, and makes everything."""

    def call(self, endpoint, **body):
        service = endpoint.partition(".")[0]
        return {"id": "made"} if endpoint.endswith(".create") else {service: []}


@pytest.mark.parametrize("name", ["", "q2", " q2 "])
def test_a_queue_whose_name_is_too_short(name):
    with pytest.raises(InputError, match="a ClearML queue's name has three characters or more"):
        ensure_queue(Empty(), name)


@pytest.mark.parametrize("name", ["ab", "tests/ab", "ab/tests", "tests//more"])
def test_a_project_a_part_of_whose_name_is_too_short(name):
    with pytest.raises(InputError, match="each part of a ClearML project's name has three characters or more"):
        ensure_project(Empty(), name)


@pytest.mark.parametrize("name", ["abc", "tests/abc", "/tests"])
def test_others_are_made(name):
    assert ensure_project(Empty(), name) == ensure_queue(Empty(), name) == "made"


class Queues:
    """A server whose list of queues ends after the first one, as ClearML's does after 500."""

    def __init__(self, *names):
        self.names = names

    def call(self, endpoint, name="", id=None, **_):
        found = [n for n in self.names if re.search(name, n) and (id is None or f"id of {n}" in id)]
        return {"queues": [{"id": f"id of {n}", "name": n} for n in (found if name or id else found[:1])]}


def test_a_queue_among_more_than_are_listed():
    server = Queues("default", "gpu", "gpu (big)")
    assert find_queues(server, ["gpu (big)", "gpu"]) == {"gpu (big)": "id of gpu (big)", "gpu": "id of gpu"}
    assert find_queues(server, ["gpu", "id of gpu"]) == {"gpu": "id of gpu", "id of gpu": "id of gpu"}
    with pytest.raises(InputError, match=r"x: no queue 'gp' on the server .*there are: default"):
        find_queues(server, ["gp"], key="x")


@pytest.mark.parametrize(("study", "task"), [("a", "a (study)"), ("ab", "ab (study)"), ("abc", "abc")])
def test_a_short_name_of_a_study_becomes_one_that_a_server_takes(study, task):
    assert task_name(study) == task and study_name(task) == study


def test_a_long_name_that_looks_like_a_lengthened_one_stays():
    assert study_name("abc (study)") == "abc (study)"
