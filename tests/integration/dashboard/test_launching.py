"""A new study from the text of another one."""

from __future__ import annotations

import uuid

import pytest

from clearml_hpo.backend.study_records import find_studies, read_study
from clearml_hpo.core.trial import TrialState
from clearml_hpo.studies.study import Study
from clearml_hpo.testing import PlayedAgent
from tests.integration.controller.conftest import CONNECTS, quadratic
from tests.integration.controller.driving import resume

OWN = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def text(recorded):
    """The study file as its controller task keeps it."""
    return read_study(recorded.api, recorded.study_id).study_yaml


def sent(browser, step, text, status=200, **form):
    answer = browser.post(f"/{step}", {"text": text, **form}, **OWN)
    assert answer.status_code == status, answer.text
    return answer.json()


def names(recorded):
    return [each.name for each in find_studies(recorded.api, project=recorded.project)]


def test_the_page_has_the_studys_own_file(browser, recorded, text):
    page = browser.get(f"/studies/{recorded.study_id}/launch").text
    assert text in page.replace("&#39;", "'").replace("&#34;", '"')
    assert f'href="/studies/{recorded.study_id}/launch"' in browser.get(f"/studies/{recorded.study_id}").text
    assert "clearml-hpo agents up --queue services" in page, "no agent serves it"


def test_a_study_without_a_file_cannot_be_launched_from(browser, api, recorded):
    other = api.call("tasks.create", name="theirs", type="optimizer", project=recorded.project_id, tags=["clearml-hpo"])
    assert "keeps no study file" in browser.json(f"/studies/{other['id']}/launch", 404)["told"]


def test_a_sound_text_starts_nothing(browser, recorded, text):
    found = sent(browser, "check", text.replace(recorded.name, "another"), queue="services")
    assert found["remarks"][0].startswith("sound: 3 parameters")
    assert found["question"].startswith(f"Launch study another in project {recorded.project}, driven by an agent of")
    assert names(recorded) == [recorded.name]


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (lambda text: text.replace("trials: 10", "trials: many"), 9, "budget.trials: found 'many'"),
        (lambda text: text.replace("budget:", "buget:"), 9, "buget: unknown key; did you mean 'budget'?"),
        (lambda text: text.replace("General/x:", "General/y:"), 5, "search_space.General/y"),
        (lambda text: text.replace("validation/loss", "validation/los"), 8, "objective.metric"),
        (lambda text: text + "sampler: {name: tpe, options: {no_such: 1}}\n", 11, "sampler"),
        (lambda text: text + "]", 11, "not YAML"),
        (lambda text: "", None, "expected keys and values"),
        (lambda text: text.replace("{queue: ", "{queue: no-"), 10, "no queue 'no-"),
        (lambda text: text.replace("template: {task: ", "template: {task: 0"), 3, "no task"),
        (lambda text: text, None, "exists already"),
    ],
)
@pytest.mark.parametrize("step", ["check", "launch"])
def test_faults_have_their_line(browser, recorded, text, step, change, line, said):
    found = sent(browser, step, change(text), 400 if step == "launch" else 200)
    assert [each["line"] for each in found["faults"] if said in each["text"]] == [line], found
    assert "question" not in found and "told" not in found
    assert names(recorded) == [recorded.name]


def test_the_same_name_is_wanted(browser, recorded, text):
    assert "question" in sent(browser, "check", text, new="on")
    browser.get("/")
    told = sent(browser, "launch", text, new="on", queue="")
    assert names(recorded) == [recorded.name] * 2
    assert told["to"] in browser.get("/").text, "it is in the list at once"


def test_other_sites_launch_nothing(browser, recorded, text):
    answer = browser.post("/launch", {"text": text, "new": "on"}, **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403 and names(recorded) == [recorded.name]


def test_a_queue_gets_the_controller(browser, api, recorded, text):
    services = f"services-{uuid.uuid4().hex[:8]}"
    api.call("queues.create", name=services)
    launched = sent(browser, "launch", text.replace("trials: 10", "trials: 2"), new="on", queue=services)
    assert launched["told"][0] == f"Study {recorded.name} waits in queue {services}."
    assert launched["told"][1].startswith("no agent serves it yet: clearml-hpo agents up")
    study = Study.load(launched["to"].rpartition("/")[2])
    assert study.record.status == "queued" and study.file.budget.trials == 2
    assert browser.changes(study.study_id)["count"] == 0
    with PlayedAgent(quadratic, queue=services, connects=CONNECTS):
        assert f"an agent of queue {services} (1 of them)" in browser.get(f"/studies/{recorded.study_id}/launch").text


def test_a_draft_is_driven_from_a_terminal(browser, api, recorded, queue, text):
    launched = sent(browser, "launch", text.replace("trials: 10", "trials: 2"), new="on", queue="")
    study = launched["to"].rpartition("/")[2]
    assert launched["told"] == [f"Study {recorded.name} is a draft. Drive it: clearml-hpo resume {study}"]
    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS):
        resume(study, api)
    assert Study.load(study).counts == {TrialState.COMPLETED: 2}


def test_a_queue_that_is_not_there(browser, recorded, text):
    (fault,) = sent(browser, "launch", text, 400, new="on", queue="no-such-queue")["faults"]
    assert "no queue 'no-such-queue'" in fault["text"] and names(recorded) == [recorded.name]
