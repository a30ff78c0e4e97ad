"""The unmodified SDK, in processes of its own, against a server in another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearml_hpo.server import RunningServer

from .client import last_json

SCRIPTS = Path(__file__).parent / "scripts"

Script = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def script(server_environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Script:
    """Runs one of the scripts; what it printed last on its standard error, which is JSON."""
    directory = tmp_path_factory.mktemp("sdk")

    def run(name: str, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, str(SCRIPTS / name), *arguments],
            cwd=directory,
            env=server_environ,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return last_json(done.stderr)

    return run


@pytest.fixture(scope="module")
def reported(script: Script) -> dict[str, Any]:
    return script("report.py")


@pytest.fixture(scope="module")
def read(script: Script, reported: dict[str, Any]) -> dict[str, Any]:
    return script("read.py", reported["id"])


@pytest.fixture(scope="module")
def queried(script: Script, reported: dict[str, Any]) -> dict[str, Any]:
    return script("query.py", reported["id"])


def test_a_task_that_ended_is_completed(read: dict[str, Any]) -> None:
    assert read["status"] == "completed"


def test_hyperparameters_keep_names_values_and_types(read: dict[str, Any]) -> None:
    assert read["parameters"] == {
        "General/lr": "0.1",
        "General/depth": "6",
        "General/name": "adam",
        "General/flag": "True",
        "General/sizes": "[1, 2]",
        "General/nested/a.b": "1.5",
        "General/nothing": "",
        "Other section/x": "1",
        "properties/study": "s1",
        "properties/trial": "7",
    }
    typed = read["typed"]
    assert [typed[f"General/{name}"] for name in ("lr", "depth", "flag", "sizes")] == [0.1, 6, True, [1, 2]]


def test_configuration(read: dict[str, Any]) -> None:
    assert read["configuration"] == {"layers": {"first": 3}}


def test_scalars(read: dict[str, Any]) -> None:
    assert read["loss"]["x"] == list(range(40))
    assert read["loss"]["y"] == pytest.approx([1 / (i + 1) for i in range(40)], rel=1e-6)
    score = read["last_scalars"]["validation"]["score"]
    assert score == {"last": pytest.approx(0.51), "min": pytest.approx(0.5), "max": pytest.approx(0.7)}
    assert read["last_iteration"] == 39


def test_single_values_are_no_iterations(read: dict[str, Any]) -> None:
    assert read["single"] == {"final": 3.25}
    assert read["last_scalars"]["Summary"]["final"]["last"] == 3.25


def test_plots(read: dict[str, Any]) -> None:
    # The SDK asks for the plots of the last iteration of each metric.
    assert read["plots"] == ["histogram", "scatter", "table"]


def test_console(read: dict[str, Any]) -> None:
    assert "a line of the console" in read["console"]


def test_artifacts(read: dict[str, Any]) -> None:
    assert read["object"] == {"answer": 42}
    assert read["weights"] == 700_000


def test_output_model(read: dict[str, Any], reported: dict[str, Any]) -> None:
    assert read["model"] == {
        "name": "the model",
        "bytes": 700_000,
        "task": reported["id"],
        "tags": ["best"],
        "found": True,
    }


def test_user_properties_tags_and_comment(read: dict[str, Any]) -> None:
    assert read["properties"] == {"study": "s1", "trial": "7"}
    assert read["tags"] == ["first", "second"]
    assert read["comment"] == "made for a test"


@pytest.mark.long
def test_clone_enqueue_dequeue_pop(queried: dict[str, Any]) -> None:
    assert queried["statuses"] == ["queued", "created", "queued"]
    assert queried["queued"]


def test_order_by_metric_and_parameter(queried: dict[str, Any]) -> None:
    assert queried["by metric"] == [1, 2, 0]
    assert queried["by metric, best first"] == [0, 2, 1]
    assert queried["by lr"] == [1, 2, 0]
    assert queried["by property"] == [2, 1, 0]


def test_filters(queried: dict[str, Any]) -> None:
    assert (queried["of the study"], queried["of another"]) == (3, 0)
    assert (queried["by name"], queried["by tag"], queried["by two tags"], queried["without tag"]) == (3, 5, 5, 0)
    assert queried["additional"] == "clone 0"


def test_reset_and_delete(queried: dict[str, Any]) -> None:
    assert (queried["reset"], queried["deleted"], queried["left"]) == ("created", True, 2)


@pytest.mark.embedded
def test_the_link_that_the_sdk_prints_opens_a_page(reported: dict[str, Any], read: dict[str, Any]) -> None:
    import urllib.request

    with urllib.request.urlopen(reported["page"], timeout=30) as answer:
        page = answer.read().decode()
    for text in ("reports", "completed", "depth", "validation", "a line of the console", "weights"):
        assert text in page


@pytest.mark.embedded
def test_nothing_failed_inside(server: RunningServer, read: dict[str, Any], queried: dict[str, Any]) -> None:
    said = (server.data_dir / "server.log").read_text().splitlines()
    # Tests that share the server leave tasks that nobody runs; in a long session it stops them.
    assert [line for line in said if "nothing was heard of it" not in line] == []
