"""A browser, and a server with a made-up study."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from clearml_hpo.server import RunningServer
from clearml_hpo.server.pages.gate import COOKIE

from . import made_up

PATIENCE_MS = 120_000


def chromium() -> str | None:
    """The browser that the system has."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


@pytest.fixture(scope="module")  # Playwright keeps an event loop running, which must not outlive these tests
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        text = "no chromium: apt-get install --no-install-recommends chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=flags, timeout=PATIENCE_MS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def client(server: RunningServer) -> made_up.Client:
    return made_up.Client(server.address)


@pytest.fixture(scope="session")
def world(client: made_up.Client) -> made_up.World:
    return made_up.make(client)


class Watched:
    """A tab of the browser that notes what must not happen: errors, and requests to anywhere else."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self._address = address
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("request", self._check)

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.faults.append(f"{kind}: {text}")

    def _check(self, request: Request) -> None:
        if not request.url.startswith((f"{self._address}/", "data:", "blob:")):
            self.faults.append(f"request to {request.url}")

    def open(self, path: str) -> Page:
        """A page of the server."""
        self.page.goto(f"{self._address}{path}")
        return self.page


def eventually(page: Page, expression: str) -> None:
    """Waits until a JavaScript expression holds. Playwright's own way would need the pages to allow ``eval``."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never: {expression}"
        page.wait_for_timeout(100)


@pytest.fixture
def tab(browser: Browser, server: RunningServer, client: made_up.Client) -> Iterator[Watched]:
    """A tab; afterwards, nothing may have gone wrong in it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    token = client.call("auth.login")["token"]
    context.add_cookies([{"name": COOKIE, "value": token, "url": server.address.web}])
    watched = Watched(context, server.address.web)
    yield watched
    context.close()
    assert watched.faults == []
