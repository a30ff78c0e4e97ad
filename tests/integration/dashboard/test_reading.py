"""How often the dashboard reads, for how long, and what it does when the server is away."""

from __future__ import annotations

import math
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from clearml_hpo import server as embedded
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.dashboard import reading
from clearml_hpo.dashboard.changes import to_json
from clearml_hpo.dashboard.rows import Rows
from clearml_hpo.server.state import DataDir, Listening
from tests.integration.controller.recorded import RecordedStudy
from tests.integration.dashboard.conftest import change_file, eventually


def test_many_browsers_cost_two_calls_a_reading(browser, recorded, sent):
    change_file(recorded, lambda text: text + "pruner: median\n")
    first = browser.changes(recorded.study_id)["version"]
    begun = len(sent)

    def look(_):
        version = first
        while version < first + 10:
            version = browser.changes(recorded.study_id, version)["version"]
        return version

    with ThreadPoolExecutor(5) as pool:
        last = max(pool.map(look, range(5)))
    readings = last - first + 1
    assert readings >= 10
    assert len(sent) - begun <= 2 * readings + 1, sent[begun:]  # and once the workers


def test_nothing_is_read_when_nobody_looks(browser, dashboard, recorded, sent, monkeypatch):
    monkeypatch.setattr(reading, "_LOOKED_AT_S", 1.0)
    browser.changes(recorded.study_id)
    reader = dashboard._readers.reader(recorded.study_id)
    assert reader._thread is not None
    eventually(lambda: reader._thread is None)
    calls = len(sent)
    recorded.trial(8, loss=0.05, state="completed")
    assert len(sent) > calls, "the test's own calls are noted too"
    found = browser.changes(recorded.study_id)
    assert found["head"]["best"]["number"] == 8, "whoever looks again sees the study as it is now"


def test_a_row_of_the_list_is_read_once(browser, dashboard, recorded, sent, monkeypatch):
    monkeypatch.setattr(reading, "_LOOKED_AT_S", 1e9)
    assert browser.json(f"/studies/{recorded.study_id}/line")["best"] == "0.25"
    reader = dashboard._readers.reader(recorded.study_id)
    eventually(lambda: reader._thread is None)
    recorded.trial(8, loss=0.05, state="completed")
    assert browser.json(f"/studies/{recorded.study_id}/line")["best"] == "0.05", "and again when it is asked for again"


def test_a_list_that_takes_long_does_not_keep_a_page_from_its_changes(browser, dashboard, recorded):
    first = browser.changes(recorded.study_id)["version"]
    with dashboard._readers._lock:  # as while the list is read
        eventually(lambda: browser.changes(recorded.study_id, first)["version"] > first)


def test_a_fault_in_reading_is_said_and_tried_again(browser, recorded, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(reading.Watch, "look", lambda *_, **__: 1 // 0)
        told = browser.json(f"/studies/{recorded.study_id}/changes", 502)["told"]
        assert "the log of the dashboard says why" in told
    assert len(browser.changes(recorded.study_id)["rows"]) == 7


@pytest.fixture
def own_server(tmp_path, monkeypatch, api):
    """A server that a test may stop."""
    data_dir = tmp_path / "server"
    data_dir.mkdir()
    DataDir(data_dir).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    for name, value in embedded.start(data_dir, with_parent=True).address.environ().items():
        monkeypatch.setenv(name, value)
    yield data_dir
    embedded.stop(data_dir)


@pytest.mark.long
@pytest.mark.embedded
def test_a_server_that_goes_away_and_comes_back(own_server, browser, quick, monkeypatch):
    from clearml_hpo.backend.api import Api

    monkeypatch.setattr(reading, "_LONGEST_WAIT_S", 1.0)
    api, queue = Api(), f"queue-{uuid.uuid4().hex[:8]}"
    api.call("queues.create", name=queue)
    study = RecordedStudy(api, queue)
    study.trial(0, loss=0.5, state="completed")
    assert browser.changes(study.study_id)["head"]["problem"] == ""
    embedded.stop(own_server)
    troubled = eventually(lambda: (found := browser.changes(study.study_id))["head"]["problem"] and found)
    assert troubled["rows"][0]["values"] == [0.5], "what was read last is shown on"
    list_ = browser.get("/")
    assert list_.status_code == 502 and "The ClearML server is in trouble" in list_.text
    embedded.start(own_server, with_parent=True)
    study.trial(1, loss=0.25, state="completed")
    eventually(lambda: browser.changes(study.study_id)["count"] == 2)
    assert browser.changes(study.study_id)["head"]["problem"] == ""
    assert browser.get("/").status_code == 200


def test_values_that_are_no_numbers_are_texts_in_json():
    trial = Trial(number=0, task_id="t", params={"x": math.inf}, state=TrialState.NOT_FINITE, values=(math.nan, 1.0))
    rows = Rows()
    rows.take([trial], 1)
    text = to_json({"rows": rows.changed(0)})
    assert '"values":["nan",1.0]' in text and '"x":"inf"' in text
