"""The list of studies, and the page of one."""

from __future__ import annotations

import json
import re
import uuid

import pytest

from clearml_hpo.dashboard import reading
from tests.integration.controller.recorded import RecordedStudy
from tests.integration.dashboard.conftest import TWO, change_file, eventually, report

MARKUP = "<script>alert(1)</script>"
FIGURES = {"history-0", "importances", "slices", "contour", "rank", "edf", "curves", "timeline"}


def rows_of(page):
    return re.findall(r'<tr[^>]* data-study="([0-9a-f]{32})"', page)


def data_of(page):
    """What the page gives to its script."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


# --- the list --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "is_shown"),
    [
        ("", True),
        ("?text={name}", True),
        ("?text={NAME}&state=in_progress", True),
        ("?text={id}", True),
        ("?project={project}", True),
        ("?text={name}&state=completed", False),
        ("?text={name}&project=elsewhere", False),
    ],
)
def test_the_list_is_filtered(browser, recorded, query, is_shown):
    given = {"name": recorded.name, "NAME": recorded.name.upper(), "id": recorded.study_id, "project": recorded.project}
    page = browser.get(f"/{query.format(**given)}").text
    assert (recorded.study_id in rows_of(page)) == is_shown
    if is_shown:
        assert f">{recorded.name}</a>" in page and 'class="status in_progress"' in page
    else:
        assert "No study fits" in page and rows_of(page) == []


def test_without_any_study_the_list_says_how_to_start_one(browser, monkeypatch):
    monkeypatch.setattr(reading, "find_studies", lambda api: [])
    assert "clearml-hpo run study.yaml" in browser.get("/").text


def test_studies_of_a_campaign_stand_together(browser, api, recorded):
    campaign = api.call(
        "tasks.create",
        name="all data",
        type="controller",
        project=recorded.project_id,
        tags=["clearml-hpo", "campaign"],
        configuration={"campaign": {"name": "campaign", "type": "yaml", "value": "campaign: all data"}},
    )["id"]
    study = api.call(
        "tasks.create",
        name="of a campaign",
        type="optimizer",
        project=recorded.project_id,
        parent=campaign,
        tags=["clearml-hpo"],
        configuration={"study": {"name": "study", "type": "yaml", "value": "study: a"}},
    )["id"]
    page = browser.get("/").text
    group = page.partition("campaign all data")[2].partition("</tbody>")[0]
    assert rows_of(group) == [study] and recorded.study_id in rows_of(page)


def test_best_values_of_a_row(browser, recorded):
    found = browser.json(f"/studies/{recorded.study_id}/line")
    assert found["line"] == [0.5, 0.25, 0.25, 0.25] and found["best"] == "0.25"
    assert found["progress"] == "5/10"
    assert found["counts"] == {"completed": 4, "failed": 1, "running": 1, "queued": 1}


# --- the page of a study ---------------------------------------------------------------------------------------------


def test_the_page_has_what_its_script_draws(browser, recorded):
    page = browser.get(f"/studies/{recorded.study_id}")
    assert page.status_code == 200
    assert [each["short"] for each in data_of(page.text)["parameters"]] == ["x", "depth", "kind"]
    found = browser.changes(recorded.study_id)
    assert len(found["rows"]) == found["count"] == 7
    head = found["head"]
    assert (head["status"], head["is_driven"], head["is_over"]) == ("in_progress", False, False)
    assert head["best"]["number"] == 1 and head["best"]["values"] == [0.25]
    assert head["budgets"] == [{"name": "trials", "text": "5 of 10", "share": 0.5}]
    assert dict(head["facts"])["slots"] == "1 busy" and dict(head["facts"])["driven by"] == "none"
    assert set(re.findall(r'data-figure="([^"]+)"', page.text)) == FIGURES


def test_a_prefix_and_a_name_lead_to_the_study(browser, recorded):
    for other in (recorded.study_id[:12], recorded.name):
        answer = browser.get(f"/studies/{other}")
        assert answer.status_code == 303 and answer.headers["location"] == f"/studies/{recorded.study_id}"


def test_what_is_not_there(browser, recorded):
    here = f"/studies/{recorded.study_id}"
    nothing = ("/studies/no-such-study", f"{here}/figures/no-such", f"{here}/trials/99/log", "/static/no.js", "/a/b")
    for path in nothing:
        answer = browser.get(path)
        assert answer.status_code == 404 and 'role="alert"' in answer.text, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert browser.json(path, 404)["told"]


def test_a_study_of_clearmls_own_optimizer_says_so(browser, api, recorded):
    other = api.call("tasks.create", name="theirs", type="optimizer", project=recorded.project_id, tags=["clearml-hpo"])
    assert "keeps no study file" in browser.json(f"/studies/{other['id']}/changes", 404)["told"]
    assert "keeps no study file" in browser.get(f"/studies/{other['id']}").text
    page = browser.get("/?text=theirs").text
    assert f"/studies/{other['id']}" in page and other["id"] not in rows_of(page), "no best values are asked for"


def test_a_study_file_of_another_version_says_what_is_wrong(browser, recorded):
    change_file(recorded, lambda text: text + "colour: red\n")
    assert "colour" in browser.json(f"/studies/{recorded.study_id}/changes", 404)["told"]


def test_names_are_never_markup(browser, api, queue):
    study = RecordedStudy(api, queue, name=MARKUP)
    change_file(
        study, lambda text: text.replace("[a, b]", f"['{MARKUP}', b]").replace("General/x", f"General/{MARKUP}")
    )
    study.trial(0, loss=0.5, state="completed")
    study.trial(1, "failed", state="failed", reason=f"said {MARKUP}")
    api.call("tasks.started", task=study.study_id)
    api.call("tasks.stopped", task=study.study_id, status_reason=MARKUP, status_message=MARKUP)
    for path in ("/", f"/studies/{study.study_id}"):
        page = browser.get(path).text
        assert MARKUP not in page and "alert(1)" in page, path
    assert MARKUP in data_of(page)["parameters"][2]["choices"]
    answer = browser.get(f"/studies/{study.study_id}/changes")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["head"]["reason"] == MARKUP and answer.json()["rows"][1]["reason"].endswith(MARKUP)


# --- what changes ----------------------------------------------------------------------------------------------------


def test_only_changed_rows_come_again(browser, recorded):
    first = browser.changes(recorded.study_id)
    assert first["is_whole"] and len(first["rows"]) == 7
    still = browser.changes(recorded.study_id, first["version"])
    assert still["rows"] == [] and not still["is_whole"]
    report(recorded, recorded.running, 8, 0.1)
    changed = eventually(lambda: browser.changes(recorded.study_id, first["version"])["rows"])
    assert [(row["number"], row["iteration"]) for row in changed] == [(5, 8)]
    recorded.api.call("tasks.completed", task=recorded.running, force=True)
    recorded.tasks.mark(recorded.running, state="completed")
    after = eventually(
        lambda: (found := browser.changes(recorded.study_id, first["version"]))["plotted"] > first["plotted"] and found
    )
    assert after["head"]["best"]["number"] == 5 and after["head"]["best"]["values"] == [0.1]


def test_versions_of_an_earlier_dashboard_are_old(browser, recorded):
    """A page that was open when the dashboard was started anew gets all rows."""
    found = browser.changes(recorded.study_id, since=1_000_000)
    assert len(found["rows"]) == 7
    assert len(browser.changes(recorded.study_id, since="soon")["rows"]) == 7


def test_a_deleted_trial_leaves_the_page(browser, recorded, monkeypatch):
    monkeypatch.setattr("clearml_hpo.backend.trial_records._ALL_S", 0.0)
    first = browser.changes(recorded.study_id)
    recorded.api.call("tasks.delete", task=recorded.failed, force=True)
    recorded.trial(7, "queued")  # so that there are as many as before
    found = eventually(
        lambda: (each := browser.changes(recorded.study_id, first["version"]))["is_whole"] and each["rows"][6:] and each
    )
    assert sorted(row["number"] for row in found["rows"]) == [0, 1, 2, 3, 5, 6, 7]


def test_a_deleted_study_is_no_longer_there(browser, recorded):
    browser.changes(recorded.study_id)
    recorded.api.call("tasks.delete", task=recorded.study_id, force=True)
    eventually(lambda: browser.get(f"/studies/{recorded.study_id}/changes").status_code == 404)
    assert "was deleted" in browser.json(f"/studies/{recorded.study_id}/line", 404)["told"]


def test_curves_of_running_trials(browser, recorded):
    change_file(recorded, lambda text: text + "pruner: median\n")
    for step in range(100, 300):
        report(recorded, recorded.running, step, 1 / step)
    first = browser.changes(recorded.study_id)
    curve = eventually(
        lambda: browser.changes(recorded.study_id, first["version"]).get("curves", {}).get(recorded.running)
    )
    assert len(curve) == 30 and curve[-1][0] == 299, "thinned, with its newest point"
    report(recorded, recorded.running, 301, 0.5)
    eventually(lambda: browser.changes(recorded.study_id)["curves"][recorded.running][-1] == [301, 0.5])
    last = browser.changes(recorded.study_id)["version"]
    assert "curves" not in browser.changes(recorded.study_id, last), "they come only when they were read anew"


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figures_of_a_study(browser, recorded):
    for name in FIGURES:
        query = "?x=General/x&y=General/depth" if name in ("contour", "rank") else ""
        figure = browser.json(f"/studies/{recorded.study_id}/figures/{name}{query}")
        assert figure["data"] or name == "importances", name


@pytest.mark.parametrize("query", ["", "?x=General/x", "?x=General/x&y=no-such"])
def test_a_pair_is_two_parameters(browser, recorded, query):
    assert "There is no" in browser.json(f"/studies/{recorded.study_id}/figures/rank{query}", 404)["told"]


def test_curves_of_chosen_trials_one_metric_at_a_time(browser, recorded):
    first, second = (trial.task_id for trial in recorded.read().latest[:2])
    for step in range(10):
        report(recorded, first, step, 1 / (step + 1), series="accuracy")
        report(recorded, second, step, step, series="a/b")
    machine = {"type": "training_stats_scalar", "task": first, "metric": ":monitor:gpu", "variant": "gpu_0_mem"}
    recorded.api.send_events([{**machine, "iter": 1, "value": 1.0, "timestamp": 1}])

    def compared(query):
        found = browser.json(f"/studies/{recorded.study_id}/compared?{query}")
        return found["metrics"], found["metric"], json.loads(found["figure"])["data"]

    metrics, metric, drawn = compared("trials=0,1")
    assert metrics == ["validation/a/b", "validation/accuracy", "validation/loss"] and metric == "validation/loss"
    assert [(line["name"], line["x"], line["y"]) for line in drawn] == [
        ("trial 0", [7], [0.5]),
        ("trial 1", [7], [0.25]),
    ]
    _, metric, drawn = compared("trials=1,0&metric=validation/accuracy")
    assert metric == "validation/accuracy" and [line["name"] for line in drawn] == ["trial 0"]
    assert drawn[0]["y"][-1] == 0.1 and len(drawn[0]["x"]) == 10
    assert compared("trials=4")[1:] == ("", []), "it has reported nothing"
    assert compared("trials=99") == ([], "", [])
    assert "'x' is no number" in browser.json(f"/studies/{recorded.study_id}/compared?trials=x", 404)["told"]


def test_without_a_completed_trial_figures_are_empty(browser, api, queue):
    study = RecordedStudy(api, queue, name=f"new-{uuid.uuid4().hex[:8]}")
    assert browser.changes(study.study_id)["head"]["best"] is None
    for name in FIGURES:
        figure = browser.json(f"/studies/{study.study_id}/figures/{name}?x=General/x&y=General/depth")
        assert figure["data"] == [], name


def test_several_objectives(browser, recorded):
    change_file(recorded, lambda text: re.sub("objective: .*\n", TWO, text))
    for number, trial in enumerate(recorded.read().latest[:4]):
        report(recorded, trial.task_id, 8, float(number), series="size")
    page = browser.get(f"/studies/{recorded.study_id}")
    assert browser.changes(recorded.study_id)["head"]["front"] == [1, 3]
    for name in ("history-0", "history-1", "front", "hypervolume"):
        assert f'data-figure="{name}"' in page.text
        assert browser.json(f"/studies/{recorded.study_id}/figures/{name}")["data"], name


def test_a_figure_is_drawn_anew_when_a_trial_has_ended(browser, recorded):
    def points():
        return sum(len(each["x"]) for each in browser.json(f"/studies/{recorded.study_id}/figures/history-0")["data"])

    before = points()
    recorded.trial(8, loss=0.05, x=0.3, state="completed")
    eventually(lambda: points() > before)


# --- texts -----------------------------------------------------------------------------------------------------------


def test_csv(browser, recorded):
    answer = browser.get(f"/studies/{recorded.study_id}/trials.csv")
    lines = answer.text.splitlines()
    assert len(lines) == 8 and lines[0].startswith("number,attempt,state,validation/loss")
    assert answer.headers["content-disposition"] == f'attachment; filename="{recorded.name}.csv"'


def test_log_and_notes(browser, api, recorded):
    for task, text in ((recorded.failed, "Traceback"), (recorded.study_id, "trial 4 failed")):
        api.send_events([{"type": "log", "task": task, "msg": f"{text} {MARKUP}\n", "timestamp": 1}])
    log = browser.get(f"/studies/{recorded.study_id}/trials/4/log")
    notes = browser.get(f"/studies/{recorded.study_id}/notes")
    assert log.text.startswith("Traceback") and notes.text.startswith("trial 4 failed")
    for answer in (log, notes):
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
