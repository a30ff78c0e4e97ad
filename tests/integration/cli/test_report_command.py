"""``clearml-hpo study report``: what stays of a study, as files."""

from __future__ import annotations

import csv
import os
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
import yaml

from clearml_hpo.backend import storage
from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.core.errors import ServerError
from tests.integration.controller.recorded import RecordedStudy


@pytest.fixture
def recorded(api, queue):
    """Two completed trials of equal value and one that is worse, all with submissions; one that failed twice."""
    recorded = RecordedStudy(api, queue, name=f"re/port {uuid.uuid4().hex[:8]}")
    ids = [recorded.trial(n, loss=loss, state="completed") for n, loss in enumerate((0.5, 0.25, 0.25))]
    for number, task_id in enumerate(ids):
        ControllerTask(api, task_id, "").upload_artifact("submission", f"id,y\n1,{number}\n", "test.csv", "text/csv")
    recorded.trial(3, "failed", state="failed", reason="CUDA out of memory")
    failed = recorded.trial(3, "failed", attempt=2, state="failed", reason="CUDA out of memory")
    now = int(time.time() * 1000)
    lines = [{"type": "log", "task": failed, "msg": f"line {n}\n", "timestamp": now + n} for n in range(6_000)]
    recorded.api.send_events(lines)
    recorded.failed = failed
    return recorded


def test_a_folder_has_all_of_a_study(command, recorded, tmp_path):
    folder = tmp_path / "new" / "out"
    code, output = command("study", "report", recorded.study_id, "--output", str(folder), "--top", "2")
    assert code == 0, output
    short = recorded.name.replace("/", "_").replace(" ", "_")
    first = f"scores/{short}-validation_loss-0.25.csv"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == sorted(
        [
            *("summary.html", "summary.txt", "trials.csv", "best.yaml", first),
            first.replace("-0.25.csv", "-0.25-trial-0002.csv"),
            *(f"logs/trial-{number:04d}.log" for number in range(4)),
            "logs/trial-0003-attempt-2.log",
        ]
    )
    assert (folder / first).read_text() == "id,y\n1,1\n"
    log = (folder / "logs/trial-0003-attempt-2.log").read_text().splitlines()
    assert log == [f"line {n}" for n in range(6_000)]
    assert len([*csv.DictReader((folder / "trials.csv").open())]) == 4
    assert yaml.safe_load((folder / "best.yaml").read_text())["General/x"] == 0.25
    text = (folder / "summary.txt").read_text()
    assert "the best 2 of 4 trials" in text and "CUDA out of memory" in text
    assert f"<h1>{recorded.name}</h1>" in (folder / "summary.html").read_text()


def test_without_logs_into_a_folder_of_the_studys_name(command, recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = command("study", "report", recorded.study_id, "--no-logs")
    (folder,) = (path for path in tmp_path.iterdir() if path.name.startswith("re_port_"))
    assert code == 0 and f"{folder.name}/summary.html, and 6 more files" in output.replace("\n", "")
    assert not (folder / "logs").exists()
    assert command("study", "report", recorded.study_id, "--no-logs")[0] == 0, "files are replaced"


def test_a_study_without_any_trial(command, api, queue, tmp_path):
    empty = RecordedStudy(api, queue, name="empty")
    code, _ = command("study", "report", empty.study_id, "--output", str(tmp_path))
    assert code == 0 and "has no trials" in (tmp_path / "summary.html").read_text()
    assert not (tmp_path / "best.yaml").exists() and not (tmp_path / "scores").exists()


def test_what_cannot_be_fetched_is_said_and_the_rest_is_written(command, api, recorded, tmp_path):
    task_id = recorded.trial(4, loss=0.1, state="completed")
    recorded.artifact(task_id, "submission", f"{api.files}/gone.csv")
    code, output = command("study", "report", recorded.study_id, "--output", str(tmp_path), "--no-logs")
    assert code == 1 and "submission of trial 4: cannot download" in output and "1 could not be fetched" in output
    assert len([*(tmp_path / "scores").iterdir()]) == 3 and (tmp_path / "summary.html").is_file()


@pytest.fixture
def elsewhere():
    """The address of a host that is no file server, and what it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the canary of a host")

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    host = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{host.server_port}", asked
    host.shutdown()
    host.server_close()


def test_nothing_but_a_storage_is_read_whatever_an_artifact_says(command, api, recorded, tmp_path, elsewhere):
    canary, (host, asked) = tmp_path / "canary.csv", elsewhere
    canary.write_text("the canary of this machine")
    files = urlsplit(api.files)
    addresses = [
        canary.as_uri(),
        f"FILE://{canary}",
        f"file:{canary}",
        str(canary),
        os.path.relpath(canary),
        f"{host}/canary.csv",
        f"http://{files.netloc}@{urlsplit(host).netloc}/canary.csv",
        f"http://{files.netloc}\\@{urlsplit(host).netloc}/canary.csv",
        f"{api.files}.example/canary.csv",
        f"ftp://{files.netloc}/canary.csv",
        f"http://[{files.netloc}/canary.csv",
        f" {api.files}/../../../../../../../..{canary}",
        f"ht\ttp://{files.netloc}/../../../../../../../..{canary}",
        f"{api.files}/../canary.csv",
        f"{api.files}/a/%2E%2e/canary.csv",
        f"{api.files}/canary.csv#.gz",
        f"s3:{canary}",
    ]
    for number, address in enumerate(addresses):
        task_id = recorded.trial(10 + number, loss=0.01 * (number + 1), state="completed")
        recorded.artifact(task_id, "submission", address)
        with pytest.raises(ServerError, match="neither on the file server"):
            api.file_server.check(address)
        with pytest.raises(ServerError, match="neither on the file server"):
            storage.delete(api, address)
    code, output = command(
        "study", "report", recorded.study_id, "--output", str(tmp_path / "out"), "--no-logs", "--top", "20"
    )
    assert code == 1 and f"{len(addresses)} could not be fetched" in output
    assert output.count("neither on the file server") == len(addresses)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and b"canary of" in path.read_bytes()]
    with pytest.raises(ServerError, match="neither on the file server"):
        api.file_server.size(f"{host}/canary.csv")
    assert canary.exists() and not asked


def test_the_file_server_and_buckets_are_storages(api):
    port = urlsplit(api.files).port
    for address in (f"{api.files}/a.csv", f"http://localhost:{port}/a", "s3://bucket/a", "gs://b/a", "azure://b/a"):
        api.file_server.check(address)


def test_a_folder_that_cannot_be_written(command, recorded, tmp_path):
    (tmp_path / "file").write_text("")
    code, output = command("study", "report", recorded.study_id, "--output", str(tmp_path / "file" / "below"))
    assert code == 2 and "cannot be written" in output
