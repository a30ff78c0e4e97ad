"""The summary of studies: as text, and as a page."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import TrialState
from clearml_hpo.report import StudySummary, summary_page, summary_text
from clearml_hpo.report.figures import by_model, comparison_figure, model_parameter, parallel_lines_figure, usage_figure
from clearml_hpo.search.space import Categorical, Float, SearchSpace

from .study import LOSS, SPACE, TWO, study, trial

MARKUP = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


def summary(trials, goal=LOSS, **fields):
    given = {
        "name": "credit",
        "study_id": "3f9c2a",
        "project": "finance",
        "url": "http://server/study",
        "status": "completed",
        "reason": "the budget is used up",
        "goal": goal,
        "space": SPACE,
        "trials": trials,
        "earlier": (),
        "driven_s": 3600.0,
        "at": 2000.0,
        "url_of": lambda trial: f"http://server/{trial.task_id}",
    }
    return StudySummary(**{**given, **fields})


class Page(HTMLParser):
    """Tags, attributes and texts of a page, and what is packed in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.ids = [], [], [], {}
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._within = dict(attrs).get("id") or tag

    def handle_data(self, data):
        self.ids.setdefault(self._within, data)
        if self._within not in ("style", "script", "plotly", "figures"):
            self.texts.append(data.strip())

    @property
    def text(self):
        return " ".join(filter(None, self.texts))

    def unpacked(self, name):
        return gzip.decompress(base64.b64decode(self.ids[name])).decode()

    @property
    def figures(self):
        return json.loads(self.unpacked("figures"))


def page_of(*studies, **options):
    return Page(summary_page("title", studies, **options))


def test_a_page_has_facts_tables_plots_and_what_draws_them():
    trials = study(60)
    page = page_of(summary(trials, histories={trials[0].task_id: [(1, 0.5), (2, 0.4)]}), top=5)
    assert [name.partition("-")[2] for name in page.figures] == [
        *("history-0", "importances", "model-0", "parallel", "slices", "contour", "rank", "edf"),
        *("curves", "timeline"),
    ]
    assert len(page.unpacked("plotly")) > 1_000_000 and "Plotly" in page.unpacked("plotly")
    for text in ("the budget is used up", "The best 5 of 60 trials", "no such file", "trials an hour"):
        assert text in page.text
    assert page.tags.count("tr") < 60


def test_a_page_needs_nothing_else():
    text = summary_page("title", [summary(study(30))])
    assert not re.findall(r"""(?:src|srcset)=|url\(|@import|<link|<iframe""", text.partition('id="figures"')[0])
    assert "default-src 'none'" in text


def test_what_users_have_written_is_text():
    trials = [
        replace(t, params={**t.params, MARKUP: MARKUP}, reason=MARKUP, worker=MARKUP, queue=MARKUP) for t in study(30)
    ]
    goal = Goal((Objective(MARKUP, "loss"),))
    space = SearchSpace({**SPACE.parameters, MARKUP: Categorical((MARKUP, "b"))})
    bad = {"url": "javascript:alert(3)", "url_of": lambda trial: "javascript:alert(4)"}
    given = summary(trials, goal, name=MARKUP, project=MARKUP, reason=MARKUP, space=space, group=MARKUP, **bad)
    page = page_of(given, replace(given, name=f"{MARKUP}2"))
    assert "img" not in page.tags and page.tags.count("script") == 3
    assert not [name for name, value in page.attributes if name.startswith("on") or "javascript:" in (value or "")]
    assert MARKUP in page.text
    drawn = json.dumps(page.figures)
    assert "&lt;img" in drawn and not re.search(r"<(?!br>)", drawn)
    assert MARKUP in summary_text(MARKUP, [given]).replace("\n", "")


@pytest.mark.parametrize(
    ("trials", "said", "drawn"),
    [
        ([], "The study has no trials.", set()),
        ([trial(0, 0.5)], "0.5: trial 0", {"history-0", "parallel", "slices", "timeline"}),
        ([trial(0, state=TrialState.FAILED, reason="CUDA out of memory\nmore")], "CUDA out of memory", {"timeline"}),
        ([trial(0, state=TrialState.LOST, reason="no sign of life")], "no sign of life", {"timeline"}),
        ([trial(0, math.nan, TrialState.NOT_FINITE), trial(1, 0.5)], "not_finite", {"history-0", "slices"}),
        ([trial(0, 0.5, TrialState.PRUNED)], "1 pruned", {"timeline"}),
    ],
)
def test_small_and_failed_studies(trials, said, drawn):
    given = summary(trials)
    page = page_of(given)
    assert said in page.text and said.removesuffix(".") in summary_text("t", [given]) + page.text
    assert drawn <= {name.partition("-")[2] for name in (page.figures if trials else {})}


def test_several_objectives_show_the_front():
    given = summary(study(60, 2), TWO)
    page = page_of(given)
    assert {"0-history-0", "0-history-1", "0-front", "0-hypervolume", "0-model-1"} <= set(page.figures)
    assert f"{len(given.front)} trials" in page.text
    three = Goal((*TWO.objectives, Objective("memory", "mb")))
    assert {
        each["type"] for figure in page_of(summary(study(60, 3), three)).figures.values() for each in figure["data"]
    } <= {*("scatter", "bar", "box", "contour")}, "nothing needs WebGL"


def test_a_thousand_trials_take_bounded_space_and_time():
    trials = study(1000)
    began = time.process_time()
    size = len(summary_page("t", [summary(trials, earlier=trials)]))
    assert size < len(summary_page("t", [summary(study(1))])) + 300_000
    assert time.process_time() - began < 30


def test_several_studies_are_compared_within_their_group():
    names = [(data, model) for data in ("iris", "wine") for model in ("catboost", "xgboost")]
    studies = [summary(study(30, seed=i), name=f"{d}-{m}", group=d) for i, (d, m) in enumerate(names)]
    page = page_of(*studies)
    assert {each["name"] for each in page.figures["compare-0"]["data"]} == {"iris-catboost", "iris-xgboost"}
    assert {each["name"] for each in page.figures["usage"]["data"]} == {each.name for each in studies}
    assert "Compared: wine" in page.text and ("href", "#study-3") in page.attributes
    assert summary_text("both", studies).startswith("both: 4 studies\n")


def test_the_text_says_it_in_words():
    trials = [trial(0, 0.5), trial(1, 0.25), trial(2, state=TrialState.FAILED, reason="no such file\ntrace")]
    text = summary_text("t", [summary(trials, earlier=[replace(trials[1], state=TrialState.LOST, reason="gone")])])
    assert text.splitlines()[:4] == [
        "credit: completed: the budget is used up",
        "http://server/study",
        "  objective       validation/loss, minimize",
        "  best            0.25: trial 1",
    ]
    for line in ("  trial 0         0.5", "  trials          2 completed, 1 failed", "  trials an hour  3.0"):
        assert line in text.splitlines()
    assert re.search(r"failed +1 +2 +no such file\n", text) and re.search(r"lost +1 +1 +gone\n", text)


@pytest.mark.parametrize(
    ("names", "conditions", "found"),
    [
        (("General/depth_kind", "General/model_name"), {}, "General/model_name"),
        (("General/kind", "General/other"), {"General/x": {"General/other": ("a",)}}, "General/other"),
        (("General/kind",), {}, None),
        (("General/remodel",), {}, None),
    ],
)
def test_which_parameter_names_the_model(names, conditions, found):
    kinds = {name: Categorical(("a", "b")) for name in names}
    assert model_parameter(SearchSpace({**kinds, "General/x": Float(0, 1)}, conditions=conditions)) == found


def test_models_are_compared_the_best_on_top():
    trials = [trial(i, value, params={"m": m}) for i, (m, value) in enumerate([("a", 3.0), ("b", 1.0), ("a", 2.0)])]
    drawn = json.loads(comparison_figure(by_model(trials, "m"), LOSS.objectives[0]))
    assert [(each["name"], each["x"]) for each in drawn["data"]] == [("a", [3.0, 2.0]), ("b", [1.0])]
    assert comparison_figure({"a": trials}, LOSS.objectives[0]) == ""


def test_parallel_lines_have_one_gap_for_each_trial_and_the_best_is_alone():
    trials = study(40)
    done = [each for each in trials if each.final_values]
    drawn = json.loads(parallel_lines_figure(trials, LOSS, SPACE.distributions))
    gaps = {each["name"]: each["y"].count(None) for each in drawn["data"]}
    assert sum(gaps.values()) == len(done) and gaps["the best"] == 1
    assert drawn["layout"]["xaxis"]["ticktext"][-1] == "validation/loss"
    assert all(y is None or 0 <= y <= 1 for each in drawn["data"] for y in each["y"])


def test_usage_names_workers_without_their_controller():
    given = [trial(0, 0.5, worker=f"host:local-{'a' * 32}-12:cpu0")]
    drawn = json.loads(usage_figure({"one": given}, 10.0))
    assert drawn["data"][0]["y"] == ["host:cpu0"]
    assert usage_figure({"one": []}, 10.0) == ""


def test_what_pruning_has_saved_and_may_have_cost():
    trials = [trial(0, 0.5, iteration=10), trial(1, 0.9, TrialState.PRUNED, iteration=5)]
    saved = "about 25 % of the iterations, by 1 pruned trial"
    assert dict(summary(trials).facts)["saved"] == saved
    histories = {"task-0": [(1, 0.9), (5, 0.8), (10, 0.5)], "task-1": [(1, 0.95), (5, 0.9)]}
    ahead = "none of 1 was ahead of the best trial when it was pruned"
    assert dict(summary(trials, histories=histories).facts)["saved"] == f"{saved}; {ahead}"
