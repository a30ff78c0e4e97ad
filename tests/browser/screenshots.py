"""Makes the pictures of docs/images from a made-up study: ``python -m tests.browser.screenshots FOLDER``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from clearml_hpo import server as embedded
from clearml_hpo.server.pages.gate import COOKIE
from clearml_hpo.server.state import DataDir, Listening

from . import made_up
from .conftest import PATIENCE_MS, chromium

_COLUMNS = ("status", "m/logloss/validation/min", "m/validation/AUC/max", "p/General/learning_rate", "p/General/depth")


def pages(world: made_up.World) -> dict[str, str]:
    """The pictures by name, and the page of each."""
    columns = "".join(f"&columns={each}" for each in _COLUMNS)
    some = "&".join(f"task={trial}" for trial in world.trials[:5])
    every = "&".join(f"task={trial}" for trial in world.trials)
    return {
        "table": f"/projects/{world.project}?sort={_COLUMNS[1]}{columns}",
        "scalars": f"/tasks/{world.running}/scalars",
        "compare": f"/compare?tab=scalars&{some}",
        "parallel": f"/compare?tab=parallel&{every}&metric=logloss&variant=validation&which=min",
    }


def take(page: Page, path: Path) -> None:
    """One picture, with few colours, which keeps it small."""
    page.wait_for_load_state("networkidle")
    for canvas in page.locator(".canvas").all()[:2]:
        canvas.locator("svg.main-svg").first.wait_for()
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(160).save(path, optimize=True)


def main(folder: Path) -> None:
    """Makes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        data = Path(home)
        DataDir(data).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
        server = embedded.start(data, with_parent=True)
        client = made_up.Client(server.address)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
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
