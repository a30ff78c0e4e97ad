"""The dashboard in a browser: a study that runs, seen and steered."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from clearml_hpo.backend.api import Api
from clearml_hpo.dashboard import Dashboard, reading
from clearml_hpo.server import RunningServer
from clearml_hpo.studies.study import Study
from tests.dashboards import serving
from tests.integration.controller.recorded import RecordedStudy
from tests.integration.dashboard.conftest import change_file

from .conftest import PATIENCE_MS, Watched, eventually
from .pdf import check_paper

pytestmark = pytest.mark.browser

LOSSES = [0.9, 0.4, 0.7, 0.25, 0.6, 0.5, 0.8, 0.3, 0.55, 0.65, 0.45, 0.35]
OVERFLOWING = """[...document.querySelectorAll('figure.plot')].filter(figure => {
  const svg = figure.querySelector('svg.main-svg');
  return svg && svg.getBoundingClientRect().bottom > figure.getBoundingClientRect().bottom;
}).map(figure => figure.id)"""
BEST, FAILED, RUNNING = 3, (12, 13), 14


def report(study: RecordedStudy, task: str, steps: range) -> None:
    """A trial reports a loss at each step."""
    kind = {"type": "training_stats_scalar", "metric": "validation", "variant": "loss", "task": task}
    now = int(time.time() * 1000)
    study.api.send_events([{**kind, "iter": step, "value": 1 / (step + 1), "timestamp": now} for step in steps])


@pytest.fixture
def study(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> RecordedStudy:
    """Twelve trials that completed, two that failed, one that runs; no controller drives the study."""
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(reading, "_LIST_S", 0.0)
    monkeypatch.setattr(reading, "REFRESH_S", 0.5)
    api = Api()
    queue = f"queue-{uuid.uuid4().hex[:8]}"
    api.call("queues.create", name=queue)
    made = RecordedStudy(api, queue, name=f"tune-{uuid.uuid4().hex[:8]}")
    made.queue = queue
    for number, loss in enumerate(LOSSES):
        made.trial(number, loss=loss, x=number / 12, state="completed")
    for number in FAILED:
        made.failed = made.trial(number, "failed", state="failed", reason="CUDA out of memory")
    api.send_events([{"type": "log", "task": made.failed, "msg": "Traceback: <b>no memory</b>", "timestamp": 1}])
    made.running = made.trial(RUNNING, "in_progress")
    report(made, made.running, range(3))
    change_file(made, lambda text: text.replace("trials: 10", "trials: 20"))
    api.call("tasks.started", task=made.study_id)
    return made


@pytest.fixture
def address(study: RecordedStudy) -> Iterator[str]:
    with serving(Dashboard()) as address:
        yield address


@pytest.fixture
def look(browser: Browser, address: str) -> Iterator[Any]:
    """Opens a page in a window of some size; afterwards, nothing may have gone wrong in it."""
    contexts = []
    faults = []

    def look(path: str, width: int = 1280, scheme: Any = "light", allowed: str = "") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        watched = Watched(context, address)
        contexts.append(context)
        faults.append((watched, allowed))
        return watched.open(path)

    yield look
    for context in contexts:
        context.close()
    for watched, allowed in faults:
        assert [fault for fault in watched.faults if not allowed or allowed not in fault] == []


@pytest.fixture
def page(look: Any, study: RecordedStudy) -> Page:
    found: Page = look(f"/studies/{study.study_id}")
    expect(found.locator("#trials tbody tr")).to_have_count(15)
    return found


def numbers(page: Page) -> list[int]:
    """The trials in the table, in its order."""
    return [
        int(each) for each in page.locator("#trials tbody tr").evaluate_all("all => all.map(e => e.dataset.number)")
    ]


def row(page: Page, number: int) -> Any:
    return page.locator(f"#trials tr[data-number='{number}']")


def answered(page: Page, accepts: bool) -> list[str]:
    """Answers the next questions; what was asked."""
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        (dialog.accept if accepts else dialog.dismiss)()

    page.on("dialog", answer)
    return asked


def drawn(page: Page, name: str) -> Any:
    """The canvas of a figure, once it is drawn."""
    canvas = page.locator(f"[data-figure='{name}']")
    canvas.scroll_into_view_if_needed()
    canvas.locator("svg.main-svg").first.wait_for()
    return canvas


# --- the list --------------------------------------------------------------------------------------------------------


def test_the_list_draws_best_values(look: Any, study: RecordedStudy) -> None:
    page = look(f"/?text={study.name}")
    line = page.get_by_role("row", name=study.name)
    expect(line.locator("[data-best]")).to_have_text("0.25")
    expect(line.locator("[data-counts]")).to_have_text("12 completed, 2 failed, 1 running")
    expect(line.locator("[data-progress]")).to_have_text("14/20")
    points = line.locator("polyline").get_attribute("points").split()
    assert len(points) == 12
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights) and heights[0] == 2 and heights[-1] == 22, "smaller values are lower"
    line.get_by_role("link").click()
    expect(page.get_by_role("heading", name=study.name)).to_be_visible()


@pytest.mark.long
def test_filters_of_the_list_are_in_the_address(look: Any, study: RecordedStudy) -> None:
    page = look("/")
    page.get_by_label("name, project or id").fill(study.study_id[:10])
    page.get_by_label("state").select_option("in_progress")
    page.get_by_role("button", name="show").click()
    expect(page.locator("tr[data-study]")).to_have_count(1)
    assert "state=in_progress" in page.url
    page.get_by_label("state").select_option("")
    page.get_by_label("name, project or id").fill("nothing is called so")
    page.get_by_role("button", name="show").click()
    expect(page.get_by_text("No study fits.")).to_be_visible()


# --- live ------------------------------------------------------------------------------------------------------------


def test_the_head_says_where_the_study_stands(page: Page, study: RecordedStudy) -> None:
    expect(page.locator("#status")).to_have_text("in_progress")
    expect(page.locator("#best")).to_contain_text("validation/loss 0.25")
    expect(page.locator("#best")).to_contain_text("x=0.25")
    expect(page.locator("#budgets")).to_contain_text("14 of 20")
    expect(page.get_by_role("progressbar", name="trials")).to_have_attribute("aria-valuenow", "70")
    expect(page.locator("#counts")).to_have_text("1 running, 12 completed, 2 failed")
    href = page.locator("#best a").get_attribute("href") or ""
    assert study.read().latest[BEST].task_id in href


@pytest.mark.long
def test_what_happens_shows_without_a_reload(page: Page, study: RecordedStudy) -> None:
    page.evaluate("window.stays = true")
    line = page.locator(f"[data-running='{RUNNING}'] polyline")
    expect(line).to_have_count(1)
    before = line.get_attribute("points")
    report(study, study.running, range(3, 9))
    eventually(page, f"document.querySelector('[data-running] polyline').getAttribute('points') !== '{before}'")
    expect(page.locator(f"[data-running='{RUNNING}'] td:nth-child(4)")).to_have_text("8")
    history = drawn(page, "history-0")
    points = "document.querySelector('[data-figure=history-0]').data.reduce((n, t) => n + t.x.length, 0)"
    shown = page.evaluate(points)
    study.trial(15, loss=0.125, x=0.99, state="completed")
    expect(row(page, 15)).to_be_visible()
    expect(page.locator("#best")).to_contain_text("validation/loss 0.125")
    eventually(page, f"{points} > {shown}")
    expect(history).to_be_visible()
    assert page.evaluate("window.stays"), "the page was not loaded anew"


@pytest.mark.long
def test_a_dashboard_that_is_gone_is_said(look: Any, study: RecordedStudy, address: str) -> None:
    page = look(f"/studies/{study.study_id}", allowed="Failed to load resource")
    page.route("**/changes*", lambda route: route.abort())
    expect(page.locator("#problem")).to_contain_text("The dashboard does not answer")
    page.unroute("**/changes*")
    expect(page.locator("#problem")).to_be_hidden()


@pytest.mark.long
def test_names_are_shown_as_they_were_written(look: Any, study: RecordedStudy) -> None:
    """What runs in a page shows as a dialog, or as an error of the policy on scripts."""
    markup = "<img src=x onerror=alert(1)><script>alert(1)</script>"
    other = RecordedStudy(study.api, study.queue, name=markup)
    change_file(
        other, lambda text: text.replace("[a, b]", f"['{markup}', b]").replace("General/x", f"General/{markup}")
    )
    for number in range(12):
        trial = other.trial(number, "created")
        hyperparams = [{"section": "General", "name": markup, "value": str(number / 12)}]
        other.api.call("tasks.edit_hyper_params", task=trial, hyperparams=hyperparams)
        other.api.call("tasks.started", task=trial)
        report(other, trial, range(number + 1))
        other.api.call("tasks.completed", task=trial)
        other.tasks.mark(trial, state="completed")
    other.trial(12, "failed", state="failed", reason=markup)
    page = look(f"/studies/{other.study_id}")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    expect(page.get_by_role("heading", name=markup)).to_be_visible()
    expect(page.locator("#failures")).to_contain_text(markup)
    for name in ("history-0", "slices", "contour", "rank"):
        drawn(page, name).hover()
    expect(page.locator("img")).to_have_count(0)
    page.goto(page.url.partition("/studies/")[0])
    expect(page.get_by_role("link", name=markup)).to_be_visible()
    expect(page.locator("img")).to_have_count(0)


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_table_is_sorted_filtered_and_has_chosen_columns(page: Page) -> None:
    assert numbers(page)[:3] == [BEST, 7, 11], "the best first"
    page.get_by_role("columnheader", name="validation/loss").get_by_role("button").click()
    losses = {**dict(enumerate(LOSSES)), RUNNING: 1 / 3}
    assert numbers(page)[:13] == sorted(losses, key=losses.__getitem__)
    page.get_by_role("columnheader", name="validation/loss").get_by_role("button").click()
    assert numbers(page)[:13] == sorted(losses, key=losses.__getitem__, reverse=True), "without a value: at the end"
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("validation/loss")
    page.get_by_label("filter of trials").fill("failed memory")
    assert set(numbers(page)) == {*FAILED}
    expect(page.locator("#shown")).to_have_text("2 of 15")
    page.get_by_label("filter of trials").fill("")
    page.locator("summary", has_text="columns").click()
    page.locator("#columns").get_by_label("depth").uncheck()
    expect(page.get_by_role("columnheader", name="depth")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("columnheader", name="x", exact=True)).to_be_visible()
    expect(page.get_by_role("columnheader", name="depth")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert len(download.value.path().read_text().splitlines()) == 16


def test_the_choice_is_shared(page: Page) -> None:
    selected = "document.querySelector('[data-figure=history-0]').data.find(t => t.customdata).selectedpoints"
    drawn(page, "history-0")
    assert not page.evaluate(selected)
    for number in (BEST, 5):
        page.get_by_label(f"choose trial {number}").click()
    eventually(page, f"{selected}?.length === 2")
    chosen = page.evaluate("document.querySelector('[data-figure=history-0]').data.find(t => t.customdata)")
    assert {chosen["customdata"][at] for at in chosen["selectedpoints"]} == {BEST, 5}
    expect(page.locator("#trials tr.chosen")).to_have_count(2)
    expect(page.locator("#shown")).to_have_text("15 of 15, 2 chosen")
    assert {*numbers(page)[:2]} == {BEST, 5}, "what is chosen comes first"
    page.get_by_role("button", name="compare").click()
    compared = page.locator("#compared")
    expect(compared).to_contain_text("2 trials: what differs")
    expect(compared.get_by_role("row", name="x 0.25")).to_be_visible()
    expect(compared.get_by_role("row", name="depth")).to_have_count(0)
    expect(page.get_by_label("metric")).to_have_value("validation/loss")
    eventually(page, "document.querySelector('#curves').data?.length === 2")
    page.get_by_role("button", name="clear the choice").click()
    expect(page.locator("#trials tr.chosen")).to_have_count(0)
    expect(compared).to_be_hidden()
    eventually(page, f"!{selected}")


@pytest.mark.long
def test_brushing_an_axis_chooses_trials(page: Page) -> None:
    canvas = page.locator("#parallel")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + box["height"] - 16)  # the axis of x, from its end up to the middle
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 46 + (box["height"] - 62) / 2)
    page.mouse.up()
    expect(page.locator("#shown")).to_have_text("15 of 15, 6 chosen")
    assert {*numbers(page)[:6]} == {*range(6)}
    page.mouse.click(box["x"] + 60, box["y"] + 100)
    expect(page.locator("#shown")).to_have_text("15 of 15")


@pytest.mark.long
def test_failures_are_grouped_and_their_log_opens(page: Page) -> None:
    failures = page.locator("#failures p")
    expect(failures).to_have_count(1)
    expect(failures).to_contain_text("failed: CUDA out of memory")
    failures.get_by_role("button", name="log").click()
    expect(page.get_by_role("dialog")).to_contain_text("Traceback: <b>no memory</b>")
    page.get_by_role("button", name="close").click()
    failures.get_by_role("button", name="2 trials").click()
    assert {*numbers(page)[:2]} == {*FAILED}


# --- figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_pair_of_parameters_is_chosen(page: Page) -> None:
    drawn(page, "rank")
    page.locator("[data-pair=rank]").first.select_option("General/depth")
    page.locator("[data-pair=rank]").last.select_option("General/x")
    eventually(page, "document.querySelector('[data-figure=rank]').layout.xaxis.title.text === 'depth'")


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_has_all_figures(look: Any, study: RecordedStudy, scheme: str) -> None:
    """A browser prints as soon as the page has heard of it: what is not there by then is not on paper."""
    page = look(f"/studies/{study.study_id}", scheme=scheme)
    figures = page.locator("[data-figure]").count()
    eventually(page, "Figures.loaded() === document.querySelectorAll('[data-figure]').length")
    assert page.locator("[data-figure] svg.main-svg").count() < figures, "those out of sight are not drawn yet"
    white = "getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'"
    printed = check_paper(page)
    assert {"history-0", "slices", "contour", "rank", "edf", "curves", "timeline", "importances"} == set(printed)
    assert page.evaluate(white) == (scheme == "light")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelector('[data-figure=history-0]').layout.font.color") == "#1c2024"


@pytest.mark.long
@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light"), (390, "dark")])
def test_every_view_fits(look: Any, study: RecordedStudy, width: int, scheme: str) -> None:
    page = look(f"/studies/{study.study_id}", width, scheme)
    expect(page.locator("#trials tbody tr")).to_have_count(15)
    page.locator("summary", has_text="Steer").click()
    page.locator("summary", has_text="columns").click()
    for name in ("history-0", "slices", "contour", "timeline"):
        drawn(page, name)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(OVERFLOWING) == [], "no figure reaches out of its frame"
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 25, 29)")
    ink = page.evaluate("document.querySelector('[data-figure=history-0]').layout.font.color")
    assert ink == ("#1c2024" if scheme == "light" else "#dfe3e8")
    page.goto(page.url.partition("/studies/")[0])
    expect(page.locator("#studies")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- steering --------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_an_order_asks_first_and_says_what_happened(page: Page, study: RecordedStudy) -> None:
    page.locator("summary", has_text="Steer").click()
    asked = answered(page, accepts=False)
    page.get_by_role("button", name="stop", exact=True).click()
    assert asked == ["Stop the study? Trials that wait do not start."]
    assert study.status_of(study.study_id) == "in_progress"


def test_stop(page: Page, study: RecordedStudy) -> None:
    page.locator("summary", has_text="Steer").click()
    asked = answered(page, accepts=True)
    page.get_by_label("let running trials end").uncheck()
    page.get_by_role("button", name="stop", exact=True).click()
    expect(page.locator("#told")).to_contain_text("The study is stopped.")
    expect(page.locator("#status")).to_have_text("stopped")
    expect(page.locator("#running-part")).to_be_hidden()
    assert len(asked) == 1 and study.status_of(study.running) == "stopped"


@pytest.mark.long
def test_failed_trials_run_again(page: Page, study: RecordedStudy) -> None:
    page.locator("summary", has_text="Steer").click()
    page.locator("form[data-order=retry] button").click()
    expect(page.locator("#told")).to_contain_text("2 trials run once more.")
    assert [trial.state.value for trial in study.read().latest[12:14]] == ["stopped", "stopped"]


@pytest.mark.long
def test_chosen_trials_run_again(page: Page, study: RecordedStudy) -> None:
    asked = answered(page, accepts=True)
    page.get_by_label(f"choose trial {FAILED[0]}").click()
    page.locator("[data-chosen=retry]").click()
    expect(page.locator("#told")).to_contain_text("1 trials run once more.")
    assert asked == [f"run again trial {FAILED[0]}?"]


@pytest.mark.long
def test_a_point_is_tried_by_hand(page: Page, study: RecordedStudy) -> None:
    page.locator("summary", has_text="Steer").click()
    form = page.locator("form[data-order=try]")
    form.get_by_role("button", name="fill in the best").click()
    expect(form.get_by_label("x", exact=True)).to_have_value("0.25")
    expect(form.get_by_label("kind")).to_have_value("b")
    form.get_by_label("x", exact=True).fill("0.125")
    form.get_by_role("button", name="try it").click()
    expect(page.locator("#told")).to_contain_text("The point is tried when the study is resumed.")
    (order,) = Study.load(study.study_id).orders
    assert order["params"] == {"General/x": 0.125, "General/depth": 3, "General/kind": "b"}


@pytest.mark.long
def test_chosen_trials_are_ended(page: Page, study: RecordedStudy) -> None:
    asked = answered(page, accepts=True)
    page.get_by_label(f"choose trial {RUNNING}").click()
    page.locator("[data-chosen=abort]").click()
    expect(page.locator("#told")).to_have_text("Aborted.")
    expect(row(page, RUNNING)).to_contain_text("aborted")
    assert asked == [f"abort trial {RUNNING}?"] and study.status_of(study.running) == "stopped"


def test_what_is_refused_is_said(look: Any, study: RecordedStudy) -> None:
    page = look(f"/studies/{study.study_id}", allowed="status of 400")
    page.locator("summary", has_text="Steer").click()
    answered(page, accepts=True)
    page.get_by_label("type its name").fill("another")
    page.get_by_role("button", name="delete").click()
    expect(page.get_by_role("alert")).to_contain_text(f"type its name: {study.name}")
    expect(page.get_by_label("type its name")).to_have_value("another")


@pytest.mark.long
def test_a_deleted_study_leads_back_to_the_list(page: Page, study: RecordedStudy) -> None:
    study.api.call("tasks.stopped", task=study.running, force=True)
    page.locator("summary", has_text="Steer").click()
    answered(page, accepts=True)
    page.get_by_label("type its name").fill(study.name)
    page.get_by_role("button", name="delete").click()
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    expect(page.get_by_text(study.name)).to_have_count(0)


# --- launching -------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_study_is_launched_from_this_one(page: Page, study: RecordedStudy) -> None:
    page.locator("summary", has_text="Steer").click()
    page.get_by_role("link", name="edit and launch").click()
    file = page.get_by_label("study file")
    text = file.input_value()
    assert text.splitlines()[0] == f"study: {study.name}"
    file.fill(text.replace("budget: {trials: 20}", "budget: {trials: many}"))
    page.get_by_role("button", name="check").click()
    faults = page.locator("#found li")
    expect(faults).to_have_count(1)
    expect(faults).to_contain_text("budget.trials: found 'many'")
    expect(page.locator("#lines .wrong")).to_have_text("9")
    faults.get_by_role("button", name="line 9").click()
    line = page.evaluate("(e => e.value.slice(e.selectionStart, e.selectionEnd))(document.activeElement)")
    assert line == "budget: {trials: many}"
    file.fill(text.replace(study.name, "another"))
    refused: list[Dialog] = []
    page.once("dialog", lambda dialog: (refused.append(dialog), dialog.dismiss()))
    page.get_by_role("button", name="launch", exact=True).click()
    expect(page.locator("#found")).to_contain_text("sound: 3 parameters")
    expect(page.locator("#lines .wrong")).to_have_count(0)
    eventually(page, "!document.querySelector('button:disabled')")
    assert len(refused) == 1 and "Launch study another in project" in refused[0].message
    assert [each.name for each in Study.list(project=study.project)] == [study.name], "nothing has started"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="launch", exact=True).click()
    expect(page.locator("#found")).to_contain_text("Study another is a draft. Drive it: clearml-hpo resume")
    page.get_by_role("link", name="open it").click()
    expect(page.get_by_role("heading", name="another")).to_be_visible()
    expect(page.locator("#status")).to_have_text("created")
