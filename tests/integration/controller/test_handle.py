"""``Study``: a recorded study looked at and steered, as a notebook does it."""

from __future__ import annotations

import csv
import io
import json
import sys
import uuid

import pytest
import yaml

from clearml_hpo import InputError, Study
from clearml_hpo.backend.study_records import read_study
from clearml_hpo.backend.trial_records import read_trials
from clearml_hpo.core.trial import TrialState

from .recorded import RecordedStudy


@pytest.fixture
def recorded(api, queue):
    return RecordedStudy(api, queue, name=f"study <{uuid.uuid4().hex[:8]}>")


@pytest.fixture
def some_trials(recorded):
    """Two completed ones, of which the second is better; one that failed twice; one that runs."""
    recorded.trial(0, loss=0.5, state="completed", x=0.9)
    recorded.trial(1, loss=0.25, state="completed", x=0.3)
    recorded.trial(2, "failed", state="failed", reason="CUDA out of memory")
    recorded.trial(2, "failed", attempt=2, state="failed", reason="CUDA out of memory")
    recorded.trial(3, "in_progress", loss=0.75)
    return recorded


def test_loaded_by_name_or_id(recorded):
    for given in (recorded.name, recorded.study_id):
        study = Study.load(given)
        assert (study.study_id, study.name) == (recorded.study_id, recorded.name)
        assert study.file.spec.budget.trials == 10
        assert str(study.goal) == "minimize validation/loss"
    assert Study.load(recorded.name, project=recorded.project).url == study.url
    with pytest.raises(InputError, match="no study"):
        Study.load(recorded.name, project="tests")


def test_listed(recorded):
    assert [study.study_id for study in Study.list(project=recorded.project)] == [recorded.study_id]
    assert [study.study_id for study in Study.list(name=recorded.name, limit=1)] == [recorded.study_id]


def test_trials_best_and_counts(some_trials):
    study = Study.load(some_trials.study_id)
    assert [(trial.number, trial.attempt) for trial in study.trials] == [(0, 1), (1, 1), (2, 2), (3, 1)]
    assert [trial.attempt for trial in study.earlier_attempts] == [1]
    assert study.best.number == 1 and study.best.params["General/x"] == 0.3
    assert [trial.number for trial in study.pareto_front] == [1]
    assert study.counts == {TrialState.RUNNING: 1, TrialState.COMPLETED: 2, TrialState.FAILED: 1}
    assert study.url_of(study.best) == some_trials.api.task_url(some_trials.project_id, study.best.task_id)


def test_what_ended_unseen_is_shown_as_it_ended(recorded):
    recorded.trial(0, loss=0.5)
    recorded.trial(1)
    recorded.trial(2, "failed", reason="no memory")
    states = [trial.state.value for trial in Study.load(recorded.study_id).trials]
    assert states == ["completed", "no_objective", "failed"]


def test_what_was_taken_back_is_stopped_once_the_study_has_ended(recorded):
    recorded.trial(0, loss=0.5, state="completed")
    recorded.trial(1, "created")
    recorded.api.call("tasks.started", task=recorded.study_id)
    study = Study.load(recorded.study_id)
    assert study.counts == {TrialState.QUEUED: 1, TrialState.COMPLETED: 1}, "a controller is about to submit it"
    recorded.api.call("tasks.failed", task=recorded.study_id, status_reason="5 trials in a row have failed")
    study.refresh()
    assert study.counts == {TrialState.COMPLETED: 1, TrialState.STOPPED: 1}
    assert study.trials[1].reason == "5 trials in a row have failed"
    study.retry([1])
    assert read_trials(recorded.api, recorded.study_id, study.file.space, study.goal).drafts, "it is run as it is"


def test_refresh_reads_anew(recorded):
    study = Study.load(recorded.study_id)
    assert study.trials == ()
    recorded.trial(0)
    assert study.trials == () and len(study.refresh().trials) == 1


def test_a_study_is_read_in_few_calls(some_trials):
    study = Study.load(some_trials.study_id)
    _ = study.best, study.counts, study.pareto_front
    calls = study._api.calls
    assert calls["tasks.get_all"] == 2 and calls["queues.get_all"] == calls["projects.get_all"] == 1


def test_the_data_frame(some_trials):
    pandas = pytest.importorskip("pandas")
    frame = Study.load(some_trials.study_id).trials_dataframe()
    assert list(frame.columns)[:7] == [
        "number",
        "attempt",
        "state",
        "validation/loss",
        "params.General/x",
        "params.General/depth",
        "params.General/kind",
    ]
    assert frame.loc[frame["validation/loss"].idxmin(), "number"] == 1
    assert list(frame["state"]) == ["completed", "completed", "failed", "running"]
    assert (frame["ended_at"] - frame["started_at"]).dropna().dt.total_seconds().ge(0).all()
    assert frame["queued_at"].dt.tz is not None
    assert pandas.isna(frame.loc[3, "duration_s"])
    assert frame.loc[2, "reason"] == "CUDA out of memory"
    attempts = Study.load(some_trials.study_id).trials_dataframe(attempts=True)
    assert list(attempts["attempt"]) == [1, 1, 1, 2, 1]


def test_the_data_frame_of_no_trials(recorded):
    pytest.importorskip("pandas")
    frame = Study.load(recorded.study_id).trials_dataframe()
    assert len(frame) == 0 and "validation/loss" in frame


def test_without_pandas_it_is_said_what_to_install(recorded, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'clearml-hpo\[pandas\]'"):
        Study.load(recorded.study_id).trials_dataframe()


def test_exported(some_trials, tmp_path):
    study = Study.load(some_trials.study_id)
    for ending, read in (("json", json.loads), ("yaml", yaml.safe_load), ("YML", yaml.safe_load)):
        text = study.export(tmp_path / f"study.{ending}")
        assert (tmp_path / f"study.{ending}").read_text() == text
        data = read(text)
        assert data["study_id"] == study.study_id and data["best"]["number"] == 1
        assert len(data["trials"]) == 4 and len(data["attempts"]) == 1
    rows = list(csv.DictReader(io.StringIO(study.export("csv"))))
    assert [row["validation/loss"] for row in rows] == ["0.5", "0.25", "", "0.75"]
    assert rows[1]["params.General/x"] == "0.3"


@pytest.mark.parametrize("target", ["study.txt", "study", "nowhere/study.json"])
def test_where_it_cannot_be_exported_to(some_trials, tmp_path, target):
    with pytest.raises(InputError, match=target):
        Study.load(some_trials.study_id).export(tmp_path / target)


def test_a_driven_study_is_asked_to_stop(some_trials):
    some_trials.held()
    study = Study.load(some_trials.study_id)
    assert study.is_driven() and study.stop()
    assert study.record.properties["stop"] == "abort"
    assert study.trials[3].state is TrialState.RUNNING, "that is its controller's business"
    assert study.stop(drain=True)
    assert study.record.properties["stop"] == "drain"


def test_a_study_that_nobody_drives_is_ended_at_once(some_trials):
    waiting = some_trials.trial(4, "queued")
    some_trials.api.call("tasks.started", task=some_trials.study_id, force=True)
    study = Study.load(some_trials.study_id)
    assert not study.stop()
    assert study.record.status == "stopped"
    assert some_trials.status_of(waiting) == "created"
    assert study.trials[3].state is TrialState.STOPPED, "it is run again if the study goes on"


def test_drained_trials_run_on(some_trials):
    waiting = some_trials.trial(4, "queued")
    study = Study.load(some_trials.study_id)
    assert not study.stop(drain=True)
    assert some_trials.status_of(waiting) == "created"
    assert study.trials[3].state is TrialState.RUNNING


def test_a_study_that_waits_for_an_agent_leaves_its_queue(recorded):
    recorded.api.call("tasks.enqueue", task=recorded.study_id, queue=recorded.queue_id)
    assert not Study.load(recorded.study_id).stop()
    entries = recorded.api.call("queues.get_by_id", queue=recorded.queue_id)["queue"]["entries"]
    assert entries == [] and recorded.status_of(recorded.study_id) == "stopped"


def test_the_controller_is_asked_to_run_trials_again(some_trials):
    some_trials.held()
    some_trials.trial(4, "stopped", state="aborted")
    study = Study.load(some_trials.study_id)
    retried = study.retry([4])
    assert retried.is_driven and [trial.number for trial in retried.trials] == [4]
    assert study.record.properties["retry"] == "4"
    study.retry(states=[TrialState.FAILED])
    assert study.record.properties["retry"] == "4,2", "what was asked for before is not forgotten"


def test_without_a_controller_trials_wait_for_the_study_to_be_resumed(some_trials):
    study = Study.load(some_trials.study_id)
    retried = study.retry()
    assert not retried.is_driven and [trial.number for trial in retried.trials] == [2]
    assert study.trials[2].state is TrialState.STOPPED
    assert "retry" not in read_study(some_trials.api, some_trials.study_id).properties


@pytest.mark.parametrize(("number", "said"), [(9, "they are 0 to 3"), (0, "trial 0 is completed"), (3, "is running")])
def test_what_cannot_be_run_again(some_trials, number, said):
    with pytest.raises(InputError, match=said):
        Study.load(some_trials.study_id).retry([number])


def test_a_notebook_shows_where_it_stands(some_trials):
    shown = Study.load(some_trials.study_id)._repr_html_()
    assert "2 completed" in shown and "best: trial 1" in shown and "validation/loss = 0.25" in shown
    assert some_trials.name not in shown and some_trials.name.replace("<", "&lt;").replace(">", "&gt;") in shown
