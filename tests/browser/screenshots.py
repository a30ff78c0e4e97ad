"""Makes the pictures of docs/images: ``python -m tests.browser.screenshots FOLDER``.

Those of the server's pages are of a study that was never run, those of the dashboard of studies that run: each view at
1280 and 390 pixels, light and dark.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from clearml_hpo import server as embedded
from clearml_hpo.dashboard import Dashboard
from clearml_hpo.machine import settings
from clearml_hpo.server.pages.gate import COOKIE
from clearml_hpo.server.state import DataDir, Listening
from tests.dashboards import serving

from . import made_up, played
from .conftest import PATIENCE_MS, chromium, eventually


def pages(world: made_up.World) -> dict[str, str]:
    """The pictures by name, and the page of each."""
    some = "&".join(f"task={trial}" for trial in world.trials[:5])
    every = "&".join(f"task={trial}" for trial in world.trials)
    return {
        "table": f"/projects/{world.project}?sort=p/properties/value",
        "scalars": f"/tasks/{world.running}/scalars",
        "compare": f"/compare?tab=scalars&{some}",
        "parallel": f"/compare?tab=parallel&{every}&metric=logloss&variant=validation&which=min",
    }


def take(page: Page, path: Path) -> None:
    """One picture of the server's pages."""
    page.wait_for_load_state("networkidle")
    for canvas in page.locator(".canvas").all()[:2]:
        canvas.locator("svg.main-svg").first.wait_for()
    _keep(Image.open(io.BytesIO(page.screenshot())), path)


def views(page: Page, address: str, study: str) -> Iterator[tuple[str, bytes]]:
    """The pictures of the dashboard by name, made one after the other in one page."""
    page.goto(address)
    eventually(page, "[...document.querySelectorAll('[data-study] svg')].every(e => e.firstChild)")
    yield "list", page.screenshot()
    page.goto(f"{address}/studies/{study}")
    page.locator("#trials tbody tr").first.wait_for()
    for canvas in page.locator("[data-figure]").all():
        canvas.scroll_into_view_if_needed()
        canvas.locator("svg.main-svg, p").first.wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1000)
    yield "study", page.screenshot(full_page=True)
    page.locator("summary", has_text="Steer").click()
    yield "steer", page.locator(".steer").screenshot()
    page.locator("summary", has_text="Steer").click()
    for row in page.locator("#trials tbody tr").all()[:4]:
        page.get_by_label(f"choose trial {row.get_attribute('data-number')}", exact=True).evaluate("e => e.click()")
    page.get_by_role("button", name="compare").click()
    page.locator("#curves svg.main-svg").first.wait_for()
    page.wait_for_timeout(500)
    yield "compare", page.locator("#compared").screenshot()
    page.goto(f"{address}/studies/churn")
    page.locator("#trials tbody tr").first.wait_for()
    page.locator("#plot-front").scroll_into_view_if_needed()
    page.locator("#plot-front svg.main-svg").first.wait_for()
    page.wait_for_timeout(500)
    yield "front", page.locator("#plot-front").screenshot()
    page.goto(f"{address}/studies/{study}/launch")
    text = page.get_by_label("study file")
    text.fill(text.input_value().replace("metric: validation/logloss", "metric: validation/loss").replace("60", "many"))
    page.get_by_role("button", name="check").click()
    page.locator("#found li").first.wait_for()
    yield "launch", page.screenshot(full_page=True)


def take_dashboard(browser: Browser, folder: Path, study: str) -> None:
    """All views at both widths, light and dark."""
    with serving(Dashboard()) as address:
        for width, scheme in product((1280, 390), ("light", "dark")):
            context = browser.new_context(viewport={"width": width, "height": 720}, color_scheme=scheme)  # type: ignore[arg-type]
            context.set_default_timeout(PATIENCE_MS)
            for name, content in views(context.new_page(), address, study):
                _keep(Image.open(io.BytesIO(content)), folder / f"dashboard_{name}_{width}_{scheme}.png")
            context.close()


def _keep(picture: Image.Image, path: Path) -> None:
    """With few colours, which keeps it small."""
    picture.convert("RGB").quantize(160).save(path, optimize=True)


def main(folder: Path) -> None:
    """Makes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        data = Path(home) / "server"
        data.mkdir()
        DataDir(data).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
        server = embedded.start(data, with_parent=True)
        settings.use_server(server.address)
        client = made_up.Client(server.address)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        with played.studies(Path(home)) as study:
            take_dashboard(browser, folder, study.study_id)
        context = browser.new_context(viewport={"width": 1120, "height": 720})
        context.set_default_timeout(PATIENCE_MS)
        context.add_cookies([{"name": COOKIE, "value": client.call("auth.login")["token"], "url": server.address.web}])
        for name, path in pages(made_up.make(client)).items():
            page = context.new_page()
            page.goto(f"{server.address.web}{path}")
            take(page, folder / f"{name}.png")
        browser.close()
        embedded.stop(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
