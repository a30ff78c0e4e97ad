"""What users can have done to a study from its page."""

from __future__ import annotations

import pytest

from clearml_hpo.backend.lease import Lease


def property_of(recorded, name):
    task = recorded.api.call("tasks.get_by_id", task=recorded.study_id)["task"]
    return task["hyperparams"].get("properties", {}).get(name, {}).get("value")


def test_stop(browser, recorded):
    before = browser.changes(recorded.study_id)
    assert before["head"]["status"] == "in_progress"
    assert browser.order(recorded.study_id, "stop") == (
        200,
        "The study is stopped. `clearml-hpo resume` goes on with it.",
    )
    assert recorded.status_of(recorded.study_id) == recorded.status_of(recorded.running) == "stopped"
    after = browser.changes(recorded.study_id, before["version"])
    assert after["head"]["status"] == "stopped" and after["head"]["is_over"], "the page shows it at once"


def test_stop_leaves_running_trials_alone(browser, recorded):
    assert browser.order(recorded.study_id, "stop", drain="yes")[0] == 200
    assert recorded.status_of(recorded.study_id) == "stopped"
    assert recorded.status_of(recorded.running) == "in_progress"


def test_a_controller_is_asked(browser, recorded):
    Lease(recorded.api, recorded.study_id).acquire()
    assert "controller was asked" in browser.order(recorded.study_id, "stop", drain="yes")[1]
    assert property_of(recorded, "stop") == "drain" and recorded.status_of(recorded.study_id) == "in_progress"
    told = browser.order(recorded.study_id, "retry", trials="4")[1]
    assert told.startswith("1 trials run once more.") and property_of(recorded, "retry") == "4"
    assert "stop it first" in browser.order(recorded.study_id, "delete", name=recorded.name)[1]


def test_retry(browser, recorded):
    told = "1 trials run once more. They run when the study is resumed."
    assert browser.order(recorded.study_id, "retry") == (200, told)
    assert [trial.number for trial in recorded.read().latest if trial.state.value == "stopped"] == [4]
    assert browser.order(recorded.study_id, "retry", trials=" 4 ,")[0] == 200


@pytest.mark.parametrize(
    ("order", "form", "status", "said"),
    [
        ("retry", {"trials": "1"}, 400, "trial 1 is completed; only these can run again"),
        ("retry", {"trials": "99"}, 400, "no trial 99"),
        ("retry", {"trials": "4 x"}, 400, "'x' is no number of a trial"),
        ("retry", {"trials": ","}, 400, "no trial is chosen"),
        ("delete", {}, 400, "type its name: tune-"),
        ("delete", {"name": "another"}, 400, "type its name: tune-"),
        ("no-such-order", {}, 404, "There is no 'no-such-order' here."),
    ],
)
def test_what_is_refused(browser, recorded, order, form, status, said):
    found, told = browser.order(recorded.study_id, order, **form)
    assert found == status and said in told
    assert recorded.status_of(recorded.study_id) == recorded.status_of(recorded.running) == "in_progress"


def test_an_order_to_a_study_that_is_not_there(browser):
    assert browser.order("no-such-study", "stop")[0] == 400


def test_delete(browser, recorded):
    browser.order(recorded.study_id, "stop")
    assert recorded.name in browser.get("/").text
    assert browser.order(recorded.study_id, "delete", name=recorded.name) == (200, "The study is deleted.")
    assert recorded.name not in browser.get("/").text
    assert (
        recorded.api.call("tasks.get_all", id=[recorded.study_id, recorded.running], only_fields=["id"])["tasks"] == []
    )
    assert browser.get(f"/studies/{recorded.study_id}").status_code == 404
