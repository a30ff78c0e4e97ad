"""What users can have done to a study from its page."""

from __future__ import annotations

import pytest

from clearml_hpo.backend.lease import Lease
from clearml_hpo.studies.study import Study


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


# --- orders that a controller carries out, or that are done at once --------------------------------------------------


def orders_of(recorded):
    return [dict(each) for each in Study.load(recorded.study_id).orders]


def test_try_a_point(browser, recorded):
    form = {"param.General/x": " 0.75 ", "param.General/depth": "5", "param.General/kind": "b"}
    assert browser.order(recorded.study_id, "try", **form) == (200, "The point is tried when the study is resumed.")
    (order,) = orders_of(recorded)
    assert order["do"] == "try" and order["params"] == {"General/x": 0.75, "General/depth": 5, "General/kind": "b"}
    Lease(recorded.api, recorded.study_id).acquire()
    assert "controller was asked" in browser.order(recorded.study_id, "try", **{"param.General/x": "0.8"})[1]


def test_a_larger_budget(browser, recorded):
    told = "The budget is larger. `clearml-hpo resume` goes on with the study."
    assert browser.order(recorded.study_id, "extend", trials=" 40 ", time="") == (200, told)
    (order,) = orders_of(recorded)
    assert order["do"] == "extend" and "40" in str(order)


@pytest.mark.parametrize(("order", "told"), [("prune", "Pruned."), ("abort", "Aborted.")])
def test_trials_are_ended(browser, recorded, order, told):
    before = browser.changes(recorded.study_id)["version"]
    assert browser.order(recorded.study_id, order, trials="5, 6") == (200, told)
    assert recorded.status_of(recorded.running) in ("stopped", "completed")
    ended = {row["number"]: row["state"] for row in browser.changes(recorded.study_id, before)["rows"]}
    assert set(ended.values()) == {"pruned" if order == "prune" else "aborted"} and set(ended) == {5, 6}


def test_a_range_is_narrowed_and_opened_again(browser, recorded):
    def narrowed():
        return Study.load(recorded.study_id).narrowed

    assert browser.order(recorded.study_id, "narrow", name="General/x", low="0.2", high="0.5", choices="")[0] == 200
    assert browser.order(recorded.study_id, "narrow", name="General/kind", low="", high="", choices=" b ")[0] == 200
    assert narrowed() == {"General/x": {"low": 0.2, "high": 0.5}, "General/kind": {"choices": ["b"]}}
    told = browser.order(recorded.study_id, "narrow", name="General/x", low="", high="", choices="")[1]
    assert told == "All of the range is open again." and narrowed() == {"General/kind": {"choices": ["b"]}}


def test_the_best_are_kept(browser, recorded):
    best = recorded.read().latest[1].task_id
    status, told = browser.order(recorded.study_id, "keep", top="1")
    assert status == 200 and "archived" in told

    def is_archived(task):
        found = recorded.api.call("tasks.get_all", id=[task], search_hidden=True, only_fields=["system_tags"])
        return "archived" in found["tasks"][0].get("system_tags", [])

    assert is_archived(recorded.failed) and not is_archived(best) and not is_archived(recorded.running)
    assert browser.changes(recorded.study_id)["count"] == 7


@pytest.mark.parametrize(
    ("order", "form", "said"),
    [
        ("try", {}, "no parameter has a value"),
        ("try", {"param.General/x": ""}, "no parameter has a value"),
        ("try", {"param.General/x": "7"}, "General/x"),
        ("try", {"param.General/x": "[1, 2]"}, "General/x"),
        ("try", {"param.General/x": "{"}, "General/x"),
        ("try", {"param.General/x": "nan"}, "General/x"),
        ("try", {"param.General/kind": "c"}, "General/kind"),
        ("try", {"param.no/such": "1"}, "no/such"),
        ("extend", {}, "no budget was given"),
        ("extend", {"trials": "many"}, "'many' is no number of trials"),
        ("extend", {"trials": "5"}, "10"),
        ("extend", {"time": "soon"}, "soon"),
        ("extend", {"time": "2h"}, "can only grow"),
        ("prune", {"trials": "1"}, "trial 1 is completed"),
        ("abort", {"trials": "99"}, "no trial 99"),
        ("prune", {}, "no trial is chosen"),
        ("narrow", {"name": "no/such", "low": "1"}, "no/such"),
        ("narrow", {"name": "General/x", "low": "high"}, "high"),
        ("narrow", {"name": "General/x", "low": "["}, "low"),
        ("narrow", {"name": "General/x", "low": "5"}, "General/x"),
        ("narrow", {"name": "General/kind", "choices": "c"}, "General/kind"),
        ("keep", {"top": "0"}, "'0' is no number of trials"),
        ("keep", {}, "'' is no number of trials"),
    ],
)
def test_what_is_not_sound_changes_nothing(browser, recorded, order, form, said):
    status, told = browser.order(recorded.study_id, order, **form)
    assert status == 400 and said in told, told
    assert orders_of(recorded) == [] and Study.load(recorded.study_id).narrowed == {}
