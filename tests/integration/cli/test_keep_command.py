"""``clearml-hpo study keep`` as a person types it."""

from __future__ import annotations

import pytest
from clearml import StorageManager
from click.testing import CliRunner

from clearml_hpo.cli.keep import keep
from tests.integration.controller.recorded import RecordedStudy


@pytest.fixture
def recorded(api, queue, tmp_path):
    """Three completed trials, each with an artifact of 500 bytes; trial 1 is the best."""
    recorded = RecordedStudy(api, queue)
    for number, loss in enumerate((0.5, 0.1, 0.3)):
        task_id = recorded.trial(number, loss=loss, state="completed")
        path = tmp_path / "data.bin"
        path.write_bytes(b"x" * 500)
        uri = f"{api.files}/{task_id}/artifacts/data/data.bin"
        StorageManager.upload_file(str(path), uri)
        recorded.artifact(task_id, "data", uri, content_size=500)
        recorded.uris = [*getattr(recorded, "uris", []), uri]
    return recorded


@pytest.fixture
def command(tmp_path):
    def run(*arguments, typed=""):
        environ = {"CLEARML_HPO_HOME": str(tmp_path / "state")}
        result = CliRunner().invoke(keep, list(arguments), env=environ, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout if not result.exit_code else result.output

    return run


def sizes(api, recorded):
    return [api.file_server.size(uri) for uri in recorded.uris]


def test_a_dry_run_says_what_would_go_and_changes_nothing(command, api, recorded):
    code, output = command(recorded.study_id, "--top", "1", "--dry-run")
    assert code == 0 and output.splitlines() == [
        "keep: trials 1",
        f"trial 0: artifact data (500 B)  {recorded.uris[0]}",
        f"trial 2: artifact data (500 B)  {recorded.uris[2]}",
        "delete: 2 models and artifacts, 1 kB",
    ]
    assert sizes(api, recorded) == [500, 500, 500]


def test_it_asks_first(command, api, recorded):
    code, output = command(recorded.study_id, "--top", "2", typed="n\n")
    assert code == 1 and "Aborted" in output and sizes(api, recorded) == [500, 500, 500]
    code, output = command(recorded.study_id, "--top", "2", typed="y\n")
    assert code == 0 and "keep: 1 models and artifacts are deleted, 500 B" in output
    assert sizes(api, recorded) == [None, 500, 500]


def test_archive(command, api, recorded):
    code, output = command(recorded.study_id, "--top", "1", "--others", "archive", "--yes")
    assert (code, output) == (0, "keep: 2 tasks and models are archived\n")
    assert sizes(api, recorded) == [500, 500, 500]


def test_what_could_not_be_deleted_is_said(command, api, recorded):
    task_id = recorded.uris[0].split("/")[3]
    recorded.artifact(task_id, "lost", f"http://127.0.0.1:1/{task_id}/lost")
    code, output = command(recorded.study_id, "--top", "1", "--yes")
    assert code == 1 and f"artifact lost  http://127.0.0.1:1/{task_id}/lost stays: " in output
    assert sizes(api, recorded) == [None, 500, None]
