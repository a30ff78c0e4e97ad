"""What the dashboard asks, and what it reads, beside exchanges that were recorded with ClearML's own server.

All other tests of the dashboard run on the embedded server. This one shows that they hold for ClearML's server: the
dashboard sends only calls that this server takes, and no answer has a form in which this server has not answered.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clearml_hpo.backend.api import Api
from tests import calls
from tests.calls import Call
from tests.contract.server import matrix
from tests.contract.server.replay import envelope_of, load, title
from tests.contract.server.shape import MAPS
from tests.integration.dashboard.conftest import change_file, report
from tests.integration.dashboard.test_studies import FIGURES

# Parts that have the same form wherever they stand.
DOCUMENTS = {
    **{"task": "task", "tasks": "task", "fields": "task", "configuration": "configuration"},
    **{"queues": "queue", "workers": "worker", "projects": "project"},
}
# Objects whose keys are names that users choose, and what is in them.
BELOW = {
    **{"last_metrics": "metric_stats", "hyperparams": "a section"},
    **{"metrics": "variants", "variants": "tasks of a variant"},
}
# expected.jsonl has it, written in another way: the answer to a call that does not ask for addresses.
ELSEWHERE = {("tasks.delete_many.succeeded[].urls", "NoneType")}
PAGES = (
    *("launch", "changes", "line", "notes", "trials.csv", "trials/4/log", "compared?trials=0,1"),
    *(f"figures/{name}?x=General/x&y=General/depth" for name in sorted(FIGURES)),
)
ORDERS = (
    ("try", {"param.General/x": "0.75"}),
    ("extend", {"trials": "40"}),
    ("narrow", {"name": "General/x", "low": "0.2"}),
    ("retry", {"trials": "4"}),
    ("prune", {"trials": "5"}),
    ("abort", {"trials": "6"}),
    ("keep", {"top": "1"}),
    ("stop", {}),
    ("delete", {}),
)


def forms(value, path, name=""):
    """The paths in an answer, and what stands at each."""
    kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
    is_document = path in DOCUMENTS.values()
    yield path, "dict" if is_document and kind == "list" else kind
    if isinstance(value, list):
        for each in value:
            yield from forms(each, path if is_document else f"{path}[]", name)
    for key, each in value.items() if isinstance(value, dict) else ():
        if name in MAPS or name in BELOW or name in BELOW.values():
            yield from forms(each, path if is_document else f"{path}.*", BELOW.get(name, ""))
        else:
            yield from forms(each, DOCUMENTS.get(key, f"{path}.{key}"), key)


@pytest.fixture(scope="module")
def recorded_forms():
    """All forms of the recorded answers."""
    answers = [
        (title(exchange), envelope_of(exchange).get("data") or {})
        for exchange in (*load("exchanges.jsonl"), *load("exchanges_webapp.jsonl"))
        if exchange["status"] == 200
    ]
    for line in (Path(matrix.__file__).parent / "expected.jsonl").read_text().splitlines():
        case = json.loads(line)
        if case["code"] == 200:
            answers.append((case["endpoint"], case["answer"]))
    return {form for endpoint, answer in answers for form in forms(answer, endpoint)}


@pytest.fixture
def made(monkeypatch):
    """The calls of this process with their answers, as they come: endpoint, request, answer."""
    found = []
    call = Api.call

    def noted(self, endpoint, **body):
        answer = call(self, endpoint, **body)
        found.append((endpoint, body, answer))
        return answer

    monkeypatch.setattr(Api, "call", noted)
    return found


@pytest.fixture
def looked_at(made, browser, recorded):
    """The calls of all pages, figures and orders of a study."""
    change_file(recorded, lambda text: f"{text}pruner: median\n")
    report(recorded, recorded.running, 8, 0.1)
    text = recorded.api.call("tasks.get_by_id", task=recorded.study_id)["task"]["configuration"]["study"]["value"]
    made.clear()
    for page in ("", *PAGES):
        answer = browser.get(f"/studies/{recorded.study_id}/{page}".rstrip("/"))
        assert answer.status_code == 200, (page, answer.text)
    assert browser.get("/").status_code == 200
    own = {"sec-fetch-site": "same-origin"}
    for step, queue in (("check", ""), ("launch", ""), ("launch", recorded.read().latest[6].queue)):
        answer = browser.post(f"/{step}", {"text": text, "new": "on", "queue": queue}, **own)
        assert answer.status_code == 200, (step, answer.text)
    for order, form in ORDERS:
        status, told = browser.order(recorded.study_id, order, **{"name": recorded.name, **form})
        assert status == 200, (order, told)
    return [*made]


def test_clearmls_server_takes_each_call(looked_at):
    sent = {Call(name, tuple(sorted(body)), bool(body.get("force")), (), (200, 0)) for name, body, _ in looked_at}
    assert len({call.endpoint for call in sent}) > 12, "all that a study needs was asked"
    assert [*calls.faults(sent)] == []


def test_every_answer_has_a_form_in_which_clearmls_server_has_answered(looked_at, recorded_forms):
    odd = {form for endpoint, _, answer in looked_at for form in forms(answer, endpoint)} - recorded_forms - ELSEWHERE
    assert sorted(odd) == []


def test_a_form_that_was_not_recorded_is_found(recorded_forms):
    for answer in ({"tasks": [{"status": 7}]}, {"tasks": [{"colour": "red"}]}, {"tasks": {}, "more": 1}):
        assert {*forms(answer, "tasks.get_all")} - recorded_forms, answer
    assert not {*forms({"tasks": [{"id": "a", "status": "queued"}]}, "tasks.get_all")} - recorded_forms
