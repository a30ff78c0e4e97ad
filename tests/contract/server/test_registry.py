"""What scripts report and store, through the unmodified SDK and back: plots, images, artifacts, models."""

from __future__ import annotations

from typing import Any

import pytest

from .client import Script


@pytest.fixture(scope="module")
def found(script: Script) -> dict[str, Any]:
    return script("registry.py")


def test_scalars_by_iteration_and_by_time(found: dict[str, Any]) -> None:
    shown = pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert {axis: kind for axis, (_, kind) in found["by time"].items()} == {
        **{"iter": "int", "timestamp": "int", "iso_time": "str"},
    }
    assert all(values == shown for values, _ in found["by time"].values())
    assert found["in order"] and found["all scalars"] == shown


def test_images_of_the_last_iterations(found: dict[str, Any]) -> None:
    assert found["samples"] == [3, 2, 1]


def test_plots(found: dict[str, Any]) -> None:
    assert found["plots"] == found["metrics"] == ["figures", "matrices", "surfaces", "tables"]
    assert found["figure"] == [1, 2]


def test_the_console_in_its_order(found: dict[str, Any]) -> None:
    assert found["console"].index("the first line") < found["console"].index("the second line")


def test_artifacts_but_those_deleted(found: dict[str, Any]) -> None:
    assert found["artifacts"] == ["array", "frame"]
    assert (found["frame"], found["array"]) == ([3, 4], [[0, 1, 2], [3, 4, 5]])
    assert found["preview"]


def test_configuration_objects_and_properties(found: dict[str, Any]) -> None:
    assert found["configuration"] == ["a = 1", {"a": {"b": [1, 2]}}]
    assert found["properties"] == {"typed": ["3", "int"], "plain": ["x", None]}


def test_a_model_with_all_that_is_noted_about_it(found: dict[str, Any]) -> None:
    assert found["model"] == {
        **{"task": True, "published": True, "labels": {"cat": 1, "dog": 2}, "design": {"layers": 2}},
        **{"metadata": {"accuracy": 0.9, "owner": "me"}, "framework": "PyTorch", "weights": "weights"},
    }
    assert found["of the model"] == [0.9]
    assert found["models"] == {"input": ["given"], "output": ["draft"]}


def test_models_are_found(found: dict[str, Any]) -> None:
    assert (found["published"], found["tagged"], found["by name"]) == (["draft"], ["given"], ["given"])
    assert (found["with metadata"], found["none"]) == (["draft"], [])


def test_models_are_archived_and_removed(found: dict[str, Any]) -> None:
    assert found["archived"] == [["given"], ["draft", "given"]]
    assert found["removed"] == [True, []]
