from __future__ import annotations

import pytest

from clearml_hpo.backend.study_records import StudyRecord, own_properties
from clearml_hpo.backend.trial_records import TrialRecords
from clearml_hpo.core.trial import Trial, TrialState


def record(**properties):
    return StudyRecord("id", "name", "project", "p1", "stopped", "http://web", properties=properties)


def test_a_study_says_who_drives_it_and_how_it_stands():
    driven = record(holder="host pid 1", driven_s="12.5", best_value="-3e-05")
    assert (driven.holder, driven.driven_s, driven.best_value) == ("host pid 1", 12.5, -3e-05)


@pytest.mark.parametrize("text", ["", "none yet"])
def test_what_is_no_number_is_none(text):
    odd = record(driven_s=text, best_value=text)
    assert (odd.holder, odd.driven_s, odd.best_value) == ("", 0.0, None)


def test_all_trials_by_number():
    settled, draft = Trial(2, {}, "c", state=TrialState.FAILED), Trial(0, {}, "a")
    records = TrialRecords(settled=(settled,), unsettled=(Trial(1, {}, "b"),), drafts=(draft,))
    assert [trial.number for trial in records.latest] == [0, 1, 2]


def controller(task_id, **properties):
    entries = {name: {"section": "properties", "name": name, "value": text} for name, text in properties.items()}
    return {"id": task_id, "hyperparams": {"properties": entries}}


def test_a_copy_has_no_properties_of_its_own():
    assert own_properties(controller("t1", controller="t1", holder="x")) == {"controller": "t1", "holder": "x"}
    assert own_properties(controller("t2", controller="t1", holder="x")) == {}
    assert own_properties(controller("t1", holder="x")) == {"holder": "x"}, "of a version that did not say"
    assert own_properties({"id": "t1"}) == {}
