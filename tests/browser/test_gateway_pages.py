"""The gateway's pages in a browser: log-in by a link, outside trials that run, tokens, the guide."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from clearml_hpo import RemoteStudy
from clearml_hpo.dashboard import reading
from clearml_hpo.gateway.db import studies
from clearml_hpo.gateway.db.accounts import Role
from clearml_hpo.server import RunningServer
from tests.dashboards import eventually
from tests.pages import PagesGateway

from .conftest import PATIENCE_MS, Watched

pytestmark = pytest.mark.browser

FILE = {
    "search_space": {"x": {"type": "float", "low": 0.0, "high": 1.0}, "y": {"type": "float", "low": 0.0, "high": 1.0}},
    "objective": {"metric": "valid/loss", "direction": "minimize"},
    "sampler": {"name": "random", "seed": 1},
    "pruner": {"name": "median", "options": {"n_startup_trials": 50}},
    "budget": {"trials": 12},
    "execution": {"poll_interval": 0.2},
}


@pytest.fixture
def gateway(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PagesGateway]:
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(reading, "_LIST_S", 0.0)
    monkeypatch.setattr(reading, "REFRESH_S", 0.5)
    made = PagesGateway(tmp_path)
    yield made
    made.close()


class Worker:
    """An outside worker that reports when it is told to."""

    def __init__(self, gateway: PagesGateway, name: str = "w7") -> None:
        project = gateway.project("physics", olga=Role.OWNER)
        token = gateway.token(project)
        self.study = RemoteStudy(
            gateway.url, f"bowl-{uuid.uuid4().hex[:6]}", FILE, project="physics", token=token, worker=name
        )
        with gateway.database.read() as connection:
            found = eventually(lambda: studies.by_id(connection, self.study.id))
        assert found
        self.trial = self.study.ask()
        with gateway.database.read() as connection:
            row = studies.by_id(connection, self.study.id)
        assert row
        self.controller = row.controller
        self.step = 0

    def report(self, loss: float) -> bool:
        assert self.trial is not None
        self.step += 1
        return self.trial.report_values(self.step - 1, {"valid/loss": loss})


@pytest.fixture
def page(browser: Browser, gateway: PagesGateway) -> Iterator[Page]:
    """A browser that has opened a link and pressed its button; afterwards, nothing may have gone wrong in it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    watched = Watched(context, gateway.url)
    watched.open(gateway.link("olga"))
    watched.page.get_by_role("button", name="Log in").click()
    watched.page.wait_for_url(f"{gateway.url}/studies")
    yield watched.page
    context.close()
    assert watched.faults == []


def test_values_move_while_trials_run(page: Page, gateway: PagesGateway) -> None:
    worker = Worker(gateway)
    worker.report(0.75)
    page.goto(f"{gateway.url}/studies")
    page.get_by_role("link", name=worker.study.name).click()
    row = page.locator("#outside tbody tr")
    expect(row).to_have_count(1)
    cells = row.locator("td")
    expect(cells.nth(1)).to_have_text("w7")
    expect(cells.nth(3)).to_have_text("1")
    expect(cells.nth(4)).to_have_text("valid/loss 0.75")
    worker.report(0.5)
    worker.report(0.25)
    expect(cells.nth(3)).to_have_text("3")
    expect(cells.nth(4)).to_have_text("valid/loss 0.25")
    running = page.locator("#running tbody tr")
    expect(running.locator("svg polyline")).to_have_count(1)
    drawn = running.locator("svg polyline")
    before = drawn.get_attribute("points")
    worker.report(0.125)
    for _ in range(600):
        if drawn.get_attribute("points") != before:
            break
        page.wait_for_timeout(100)
    assert drawn.get_attribute("points") != before, "the live curve moves"
    assert worker.trial is not None
    worker.trial.complete({"valid/loss": 0.125})
    expect(page.locator("#outside-part")).to_be_hidden()
    expect(page.locator("#best")).to_contain_text("0.125")


def test_declare_failed(page: Page, gateway: PagesGateway) -> None:
    worker = Worker(gateway)
    worker.report(0.75)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.goto(f"{gateway.url}/studies/{worker.controller}")
    page.get_by_role("button", name="Declare failed").click()
    expect(page.locator("#told")).to_contain_text("Declared failed")
    expect(page.locator("#outside-part")).to_be_hidden()
    assert asked == ["Declare trial 0 failed? Its worker stops when it reports next."]
    assert worker.report(0.5)
    expect(page.locator("#failures")).to_contain_text("declared failed by olga")


def test_what_a_worker_says_is_only_text(page: Page, gateway: PagesGateway) -> None:
    worker = Worker(gateway, "<img src=x onerror=alert(1)>")
    worker.report(0.75)
    page.goto(f"{gateway.url}/studies/{worker.controller}")
    expect(page.locator("#outside tbody td").nth(1)).to_have_text("<img src=x onerror=alert(1)>")


def test_orders_of_the_study_page_work_behind_the_log_in(page: Page, gateway: PagesGateway) -> None:
    worker = Worker(gateway)
    page.goto(f"{gateway.url}/studies/{worker.controller}")
    page.get_by_text("Steer", exact=True).click()
    form = page.locator("form[data-order=extend]")
    form.locator("input[name=trials]").fill("15")
    form.get_by_role("button", name="extend").click()
    expect(page.locator("#told")).to_contain_text("controller was asked")


def test_tokens_and_the_guide(page: Page, gateway: PagesGateway) -> None:
    gateway.project("physics", olga=Role.OWNER)
    page.get_by_role("link", name="tokens").click()
    page.get_by_label("for", exact=True).fill("batch jobs")
    page.get_by_role("button", name="make").click()
    expect(page.locator("#export")).to_contain_text("export CLEARML_HPO_TOKEN=gwt_")
    row = page.locator("#tokens tbody tr")
    expect(row).to_contain_text(["batch jobs"])
    page.get_by_role("button", name="rotate").click()
    expect(page.locator("#tokens tbody tr")).to_have_count(2)
    expect(page.locator("#export")).to_contain_text("gwt_")
    page.get_by_role("button", name="revoke").first.click()
    expect(page.locator("#tokens tbody tr", has_text="revoked")).to_have_count(1)
    expect(page.locator("#made")).to_have_count(0)
    page.get_by_role("link", name="guide").click()
    expect(page.locator("#python")).to_contain_text(f'RemoteStudy("{gateway.url}"')


def test_log_out(page: Page, gateway: PagesGateway) -> None:
    page.get_by_role("button", name="log out").click()
    page.wait_for_url(f"{gateway.url}/login")
    page.goto(f"{gateway.url}/studies")
    expect(page).to_have_url(f"{gateway.url}/login")
