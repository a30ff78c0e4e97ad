"""What people do with tasks besides running them, through the unmodified SDK."""

from __future__ import annotations

from typing import Any

import pytest

from tests import place

from .client import Script


@pytest.fixture(scope="module")
def found(script: Script) -> dict[str, Any]:
    return script("manage.py", script("offline.py")["session"])


def test_the_order_of_a_queue(found: dict[str, Any]) -> None:
    # As enqueued; c to the front, a to the back, a forward, c backward.
    assert found["orders"] == ["abc", "cab", "cba", "cab", "acb"]
    assert (found["waiting"], found["left"]) == (3, "cb"), "a was dequeued; b was stopped, which leaves its entry"


def test_projects_names_tags_and_the_archive(found: dict[str, Any]) -> None:
    assert found["moved"] == [place.project("tasks", "moved"), ["one", "two"], "a new name", True]
    assert found["listed"] == [1, 0]
    assert found["projects"] == [place.project("tasks"), place.project("tasks", "moved")]


def test_tasks_are_found(found: dict[str, Any]) -> None:
    assert found["text"] == found["any"] == ["a new name"]
    assert found["tags"] == [["a new name"], [], ["b task", "c task"]]
    assert found["changed"] == ["b task"]


def test_a_task_is_exported_and_imported(found: dict[str, Any]) -> None:
    assert found["copy"] == [True, "a new name", "3"]


def test_a_session_that_was_offline_is_imported(found: dict[str, Any]) -> None:
    assert found["offline"] == {"status": "completed", "lr": "0.5", "loss": [0.25], "object": {"answer": 42}}


def test_a_task_is_deleted_with_its_files(found: dict[str, Any]) -> None:
    assert (found["files"], found["deleted"], found["files then"]) == ([200, 200], True, [404, 404])
    assert found["gone"] == [[], 0]


def test_ends(found: dict[str, Any]) -> None:
    assert (found["published"], found["published stays"]) == ("published", True)
    assert found["failed"] == ["failed", "why", "what"]
    assert found["reset"] == ["created", "reset"]
