"""Names that a ClearML server refuses, said before it does."""

from __future__ import annotations

import pytest

from clearml_hpo.errors import InputError
from clearml_hpo.tasks.names import ensure_project, ensure_queue


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
