"""What people do in the pages: clone, edit, enqueue, abort, archive, delete."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from clearml_hpo.server import RunningServer

from .conftest import Watched
from .made_up import STUDY, Client, World

pytestmark = pytest.mark.browser


def shown_task(page: Page) -> str:
    page.wait_for_url("**/tasks/*")
    return page.url.rpartition("/")[2]


@pytest.mark.long
def test_clone_edit_enqueue(tab: Watched, client: Client, world: World) -> None:
    """As a study is copied: another seed, another budget."""
    page = tab.open(f"/tasks/{world.controller}")
    page.get_by_role("link", name="Clone").click()
    page.get_by_label("name", exact=True).fill("tabular, more trials")
    page.get_by_label("project", exact=True).fill("vision/detection")
    page.get_by_label("value of seed").fill("8")
    page.get_by_role("button", name="Another").click()
    page.get_by_label("parameter", exact=True).last.fill("added")
    page.get_by_label("value of the new parameter").last.fill("yes")
    text = page.get_by_label("text of study")
    assert text.input_value() == STUDY
    text.fill(STUDY.replace("24", "48"))
    page.get_by_role("button", name="Clone", exact=True).click()
    made = shown_task(page)
    assert made != world.controller and client.status(made) == "created"

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("text of study").fill(STUDY.replace("24", "96"))
    page.get_by_label("queue", exact=True).select_option("gpu")
    page.get_by_role("button", name="Save and enqueue").click()
    expect(page.locator(".state")).to_contain_text("queued")
    expect(page.locator(".state")).to_contain_text("in gpu")
    task = client.call("tasks.get_by_id", task=made)["task"]
    assert task["project"] == world.scratch and task["name"] == "tabular, more trials" and task["status"] == "queued"
    assert task["configuration"]["study"]["value"] == STUDY.replace("24", "96")
    values = {name: item["value"] for name, item in task["hyperparams"]["General"].items()}
    assert values == {"seed": "8", "added": "yes"}
    page.get_by_role("link", name="gpu").click()
    expect(page.get_by_role("row", name="tabular, more trials")).to_be_visible()
    entry = client.call("queues.get_next_task", queue=world.queue)["entry"]
    assert entry["task"] == made
    client.call("tasks.dequeue", task=made)


@pytest.mark.long
def test_abort_archive_delete(tab: Watched, client: Client, world: World) -> None:
    task = client.call("tasks.create", name="to be aborted", type="training", project=world.scratch)["id"]
    client.call("tasks.started", task=task)
    page = tab.open(f"/tasks/{task}")
    page.get_by_role("button", name="Abort").click()
    expect(page.locator(".state")).to_contain_text("stopped")
    assert client.status(task) == "stopped"
    page.get_by_role("button", name="Archive").click()
    expect(page.locator(".state")).to_contain_text("archived")
    tab.open(f"/projects/{world.scratch}?text=aborted")
    expect(page.get_by_text("no task fits")).to_be_visible()
    tab.open(f"/projects/{world.scratch}?text=aborted&archived=only")
    page.get_by_label("choose to be aborted").check()
    page.locator("summary", has_text="more").click()
    page.get_by_role("button", name="Delete archived").click()
    page.get_by_role("button", name="Delete 1 task").click()
    expect(page.get_by_text("no task fits")).to_be_visible()
    assert client.call("tasks.get_all", id=[task])["tasks"] == []


def test_several_at_once_and_the_order_of_a_queue(tab: Watched, client: Client, world: World) -> None:
    queue = client.call("queues.create", name="many")["id"]
    for n in range(3):
        client.call("tasks.create", name=f"many {n}", type="training", project=world.scratch)
    page = tab.open(f"/projects/{world.scratch}?text=many&sort=name")
    page.get_by_label("choose all on this page").check()
    page.get_by_label("queue", exact=True).select_option("many")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("tbody .status.queued")).to_have_count(3)
    page = tab.open(f"/queues/{queue}")
    page.get_by_label("move many 2 to the front").click()
    expect(page.locator("tr:nth-child(2)")).to_contain_text("many 2")
    page.get_by_label("take many 0 out").click()
    expect(page.locator("tr:has(td)")).to_have_count(2)
    order = [each["task"] for each in client.call("queues.get_by_id", queue=queue)["queue"]["entries"]]
    names = [client.call("tasks.get_by_id", task=each)["task"]["name"] for each in order]
    assert names == ["many 2", "many 1"]


def test_another_site_cannot_give_orders(tab: Watched, server: RunningServer, client: Client, world: World) -> None:
    task = client.call("tasks.create", name="not yours", type="training", project=world.scratch)["id"]
    attack = f"<form method=post action='{server.address.web}/actions/archive'><input name=task value='{task}'></form>"
    other = tab.page.context.new_page()
    other.route("http://elsewhere.example/", lambda route: route.fulfill(body=attack, content_type="text/html"))
    other.goto("http://elsewhere.example/")
    with other.expect_navigation():
        other.evaluate("document.forms[0].submit()")
    expect(other.get_by_text("Only this server's own pages may send changes")).to_be_visible()
    assert client.call("tasks.get_by_id", task=task)["task"]["system_tags"] == []
