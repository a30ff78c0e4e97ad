"""The page that stays of a study, opened from a file: it draws everything, and asks nobody for anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from clearml_hpo.core.trial import Trial
from clearml_hpo.report import StudySummary, summary_page
from tests.unit.report.study import LOSS, SPACE, TWO, study

from .conftest import PATIENCE_MS, Watched, eventually
from .pdf import check_paper

MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"
DRAW_ALL = """async () => {
  for (const canvas of document.querySelectorAll("[data-figure]")) {
    const isDone = () => "drawn" in canvas.dataset || canvas.querySelector(".message");
    canvas.scrollIntoView();
    while (!isDone()) await new Promise((go) => setTimeout(go, 20));
  }
}"""


def summary(trials: list[Trial], name: str = "credit", goal: object = LOSS, at: float = 1.79e9) -> StudySummary:
    moved = [replace(t, started_at=at + (t.started_at or 0), ended_at=at + (t.ended_at or 0)) for t in trials]
    given = {"name": name, "study_id": "3f9c2a", "project": "p", "url": "http://server/s", "status": "completed"}
    rest = {"goal": goal, "space": SPACE, "trials": moved, "earlier": (), "driven_s": 600.0, "at": at + 1000}
    curves = {trial.task_id: [(0, 1.0), (1, 0.5)] for trial in moved[:9]}
    return StudySummary(**given, **rest, reason=name, url_of=lambda trial: "http://server/t", histories=curves)  # type: ignore[arg-type]


CASES = {
    "one": [summary(study(30))],
    "front": [summary(study(30, 2), goal=TWO)],
    "several": [summary(study(30, seed=seed), name=f"study {seed}") for seed in range(2)],
    "markup": [
        summary([replace(t, params={**t.params, MARKUP: MARKUP}, worker=MARKUP) for t in study(30)], name=MARKUP)
    ],
}


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=lambda param: param[1])
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Watched]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE_MS)
    watched = Watched(context, "file:/")
    watched.page.on("dialog", lambda dialog: watched.faults.append(f"dialog: {dialog.message}"))
    yield watched
    context.close()
    assert watched.faults == []


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_everything_is_drawn_and_nothing_is_fetched(opened: Watched, tmp_path: Path, case: str) -> None:
    path = tmp_path / "summary.html"
    path.write_text(summary_page(CASES[case][0].name, CASES[case]), encoding="utf-8")
    page = opened.page
    page.goto(path.as_uri())
    page.evaluate(DRAW_ALL)
    assert page.locator("[data-figure]").count() >= 7
    assert page.locator("[data-figure] .main-svg").count() >= page.locator("[data-figure]").count()
    assert page.locator("figure .message").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it fits the screen"
    assert page.locator("img").count() == 0
    if case == "markup":
        texts = json.dumps(page.locator("svg text").all_text_contents())
        assert "<b>" in texts, "what users have written is shown as they wrote it"


@pytest.mark.parametrize("width", [1920, 390])
def test_paper_is_white_and_has_all_figures(browser: Browser, tmp_path: Path, width: int) -> None:
    path = tmp_path / "summary.html"
    path.write_text(summary_page("credit", CASES["one"]), encoding="utf-8")
    context = browser.new_context(color_scheme="dark", viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    back = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(back) != "rgb(255, 255, 255)"
    eventually(page, "window.Plotly !== undefined")
    drawn, figures = page.locator("[data-drawn]").count(), page.locator("[data-figure]").count()
    assert drawn < figures == 10, "those out of sight are not drawn yet"
    assert len(check_paper(page)) == figures
    assert page.evaluate(back) != "rgb(255, 255, 255)"
    context.close()


def test_without_scripts_the_tables_are_there(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "summary.html"
    path.write_text(summary_page("credit", CASES["one"]), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert "drawn by JavaScript" in page.inner_text("body") and "The best 10 of 30 trials" in page.inner_text("body")
    context.close()
