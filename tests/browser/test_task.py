"""A task's page in a browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from clearml_hpo.server import RunningServer

from .conftest import Watched, eventually
from .made_up import Client, World, make_rich

pytestmark = pytest.mark.browser
REPORT = Path(__file__).parent / "scripts" / "report.py"


def drawn(page: Page, title: str) -> list[dict[str, Any]]:
    """The traces of the plot of that title, once it is drawn."""
    canvas = page.locator("figure", has=page.locator("figcaption", has_text=title)).locator(".canvas").first
    canvas.scroll_into_view_if_needed()
    canvas.locator("svg.main-svg").first.wait_for()
    found: list[dict[str, Any]] = canvas.evaluate(
        "each => each.data.map(t => ({name: t.name, type: t.type, x: t.x && [...t.x], y: t.y && [...t.y]}))"
    )
    return found


def test_scalars_are_plotted(tab: Watched, world: World) -> None:
    page = tab.open(f"/tasks/{world.trials[0]}/scalars")
    lines = drawn(page, "logloss")
    assert [line["name"] for line in lines] == ["learn", "validation"]
    assert lines[0]["x"] == list(range(120)) and 0.6 < lines[1]["y"][0] < 0.9 > lines[1]["y"][-1]
    expect(page.locator("figure", has_text="logloss").locator(".scatterlayer .trace")).to_have_count(2)
    page.get_by_label("smooth").fill("0.9")
    eventually(page, "document.querySelector('.canvas').data.length === 4")
    page.get_by_label("logarithmic").check()
    eventually(page, "document.querySelector('.canvas').layout.yaxis.type === 'log'")
    page.get_by_label("along").select_option("time")
    page.wait_for_url("**along=iso_time")
    assert str(drawn(page, "logloss")[0]["x"][0]).startswith("20")


@pytest.mark.long
def test_new_points_and_lines_arrive_without_a_reload(tab: Watched, client: Client, world: World) -> None:
    task = client.call("tasks.create", name="in progress", type="training", project=world.scratch)["id"]
    client.call("tasks.started", task=task)

    def report(metric: str, iteration: int) -> None:
        kind = {"type": "training_stats_scalar", "metric": metric, "variant": "v"}
        client.report([{**kind, "task": task, "iter": iteration, "value": iteration}])

    report("first", 0)
    report("first", 1)
    page = tab.open(f"/tasks/{task}/scalars")
    assert drawn(page, "first")[0]["x"] == [0, 1]
    page.evaluate("window.stays = true")
    report("first", 2)
    report("second", 7)
    eventually(page, "document.querySelector('.canvas').data[0].x.length === 3")
    expect(page.locator("figcaption", has_text="second")).to_be_visible()
    expect(page.locator(".state")).to_contain_text("iteration 7")
    client.call("tasks.completed", task=task)
    expect(page.locator(".state")).to_contain_text("completed")
    expect(page.get_by_role("button", name="Abort")).to_have_count(0)
    assert page.evaluate("window.stays")


@pytest.mark.long
def test_the_console_follows_and_goes_back(tab: Watched, client: Client, world: World) -> None:
    task = client.call("tasks.create", name="talks", type="training", project=world.scratch)["id"]
    client.call("tasks.started", task=task)
    client.report([{"type": "log", "task": task, "timestamp": 1000 + n, "msg": f"line {n:03}"} for n in range(300)])
    page = tab.open(f"/tasks/{task}/console")
    console = page.locator("pre.console")
    assert console.inner_text().splitlines()[0] == "line 100"
    page.get_by_role("link", name="Earlier").click()
    expect(console).to_contain_text("line 000")
    expect(page.get_by_role("link", name="Earlier")).to_be_hidden()
    console.evaluate("each => each.scrollTop = each.scrollHeight")
    client.report([{"type": "log", "task": task, "timestamp": 5000, "msg": "<i>the last</i>"}])
    expect(console).to_contain_text("<i>the last</i>")
    assert console.evaluate("each => each.scrollTop + each.clientHeight >= each.scrollHeight - 20")
    assert len(console.inner_text().splitlines()) == 301


@pytest.mark.long
def test_one_of_everything(tab: Watched, client: Client, world: World) -> None:
    task = make_rich(client, world.scratch)
    page = tab.open(f"/tasks/{task}/plots")
    assert drawn(page, "bars/one")[0]["y"] == [3, 5]
    assert drawn(page, "bars/3d")[0]["type"] == "scatter3d"
    expect(page.locator("figure", has_text="bars/bad")).to_contain_text("nothing to draw")
    page = tab.open(f"/tasks/{task}/images")
    expect(page.get_by_text("s3://bucket/p.png")).to_be_visible()
    page.get_by_role("link", name="all 3").click()
    expect(page.locator("figure")).to_have_count(3)
    eventually(page, "[...document.images].length === 2 && [...document.images].every(each => each.naturalWidth === 8)")
    page = tab.open(f"/tasks/{task}/artifacts")
    page.get_by_text("preview").click()
    expect(page.locator("pre")).to_have_text("a b")
    expect(page.get_by_role("cell", name="CatBoost")).to_be_visible()
    page = tab.open(f"/tasks/{task}/scalars")
    expect(page.get_by_role("row", name="Summary/final")).to_contain_text("3.25")
    page = tab.open(f"/tasks/{task}/console")
    assert page.locator("pre.console").inner_text().splitlines() == ["red", "100%"]


@pytest.mark.long
def test_what_the_sdk_reports(
    tab: Watched, server: RunningServer, server_environ: dict[str, str], tmp_path: Path
) -> None:
    environ = {**server_environ, "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, REPORT], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = tab.page
    page.goto(done.stderr.split()[-1])
    assert page.url.startswith(f"{server.address.web}/tasks/") and page.url.endswith("/overview")
    expect(page.locator("pre")).to_contain_text("a line of the console")
    for name, least in (("scalars", 1), ("plots", 9)):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(f"**/{name}")
        titles = [
            text.strip().splitlines()[0].partition(" iteration")[0]
            for text in page.locator("figcaption").all_inner_texts()
        ]
        assert len(titles) >= least, titles
        for title in titles:
            assert drawn(page, title) or title == "matplotlib/picture", title
            if title == "matplotlib/picture":  # a plot without lines: a picture that the SDK has put into it
                expect(page.locator("figure", has_text=title).locator("image")).to_have_count(1)
    page.get_by_role("link", name="images", exact=True).click()
    eventually(page, "document.images.length > 0 && [...document.images].every(each => each.naturalWidth > 0)")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel does not say whose a connection is")
def test_the_servers_own_user_needs_no_log_in(tab: Watched, world: World) -> None:
    tab.page.context.clear_cookies()
    page = tab.open(f"/projects/{world.project}")
    expect(page.locator("tbody tr").first).to_be_visible()
