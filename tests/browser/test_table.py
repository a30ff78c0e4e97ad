"""The experiment table in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .conftest import Watched, eventually
from .made_up import World

pytestmark = pytest.mark.browser


def column(page: Page, number: int) -> list[str]:
    """The texts of a column; 0 has the boxes, 1 the names."""
    return page.locator(f"tbody tr td:nth-child({number + 1})").all_inner_texts()


@pytest.mark.long
def test_sort_by_a_click_and_back(tab: Watched, world: World) -> None:
    page = tab.open(f"/projects/{world.project}?columns=p%2FGeneral%2Fdepth&all=1")
    expect(page.locator("tbody tr")).to_have_count(len(world.trials) + 2)
    page.get_by_role("link", name="General/depth").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("General/depth")
    depths = [int(text) for text in column(page, 2) if text]
    assert depths == sorted(depths) and depths[0] < 10 <= depths[-1]  # as numbers: 10 is not before 4
    page.get_by_role("link", name="General/depth").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("General/depth")
    assert column(page, 2) == [
        *map(str, depths[::-1]),
        "",
        "",
    ]  # the controller and the template, which have none, stay last
    page.go_back()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("General/depth")


def test_filters_are_in_the_address(tab: Watched, world: World) -> None:
    page = tab.open(f"/projects/{world.project}")
    page.get_by_label("parameter", exact=True).fill("depth=1")
    page.locator("summary", has_text="status").click()
    page.get_by_role("checkbox", name="completed").check()
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("summary", has_text="status (1)")).to_be_visible()
    shown = column(page, 1)
    assert shown and set(column(page, 2)) == {"completed"}
    assert "parameter=depth%3D1" in page.url and "status=completed" in page.url and "tag=" not in page.url
    again = tab.page.context.new_page()
    again.goto(page.url)
    assert column(again, 1) == shown
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("tbody tr")).to_have_count(len(world.trials))


def test_columns_are_chosen_in_a_dialog(tab: Watched, world: World) -> None:
    page = tab.open(f"/projects/{world.project}?text=%23")
    page.get_by_role("link", name="Columns").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_placeholder("find a column").fill("auc")
    expect(dialog.get_by_text("l2_leaf_reg")).to_be_hidden()
    dialog.get_by_role("row", name="validation/AUC").get_by_label("max").check()
    dialog.get_by_placeholder("find a column").fill("")
    dialog.get_by_label("l2_leaf_reg").check()
    dialog.get_by_role("button", name="Show").click()
    expect(page.get_by_role("columnheader", name="validation/AUC max")).to_be_visible()
    expect(page.get_by_role("columnheader", name="General/l2_leaf_reg")).to_be_visible()
    page.get_by_role("link", name="validation/AUC max").click()
    expect(page.locator("th[aria-sort]")).to_contain_text("validation/AUC max")
    place = page.locator("thead th").all_inner_texts().index("validation/AUC max ↑".removesuffix(" ↑"))
    values = [float(text) for text in column(page, place) if text]
    assert len(values) == len(world.trials) and values == sorted(values)


def test_rows_are_chosen_and_compared(tab: Watched, world: World) -> None:
    page = tab.open(f"/projects/{world.project}?text=%23&sort=name")
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    page.locator("tbody .pick input").nth(0).check()
    page.locator("tbody .pick input").nth(2).click(modifiers=["Shift"])
    expect(page.locator(".chosen")).to_have_text("3 chosen")
    compare.click()
    expect(page.get_by_role("heading", name="Compare 3 tasks")).to_be_visible()
    assert "back=" not in page.url and page.url.count("task=") == 3


def test_what_is_chosen_survives_a_refresh(tab: Watched, world: World) -> None:
    page = tab.open(f"/projects/{world.project}")
    box = page.locator(f"input[value='{world.trials[0]}']")
    box.check()
    page.evaluate("known.set('table', ''); refresh()")
    eventually(page, "known.get('table') !== ''")
    expect(box).to_be_checked()
    expect(page.locator(".chosen")).to_have_text("1 chosen")


def test_the_table_as_a_file(tab: Watched, world: World, tmp_path: Path) -> None:
    page = tab.open(f"/projects/{world.project}?columns=status")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    path = tmp_path / "tasks.csv"
    download.value.save_as(path)
    assert len(path.read_text().splitlines()) == len(world.trials) + 1


@pytest.mark.long
@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_sticks_out(width: int, tab: Watched, world: World) -> None:
    tab.page.set_viewport_size({"width": width, "height": 800})
    chosen = "&".join(f"task={trial}" for trial in world.trials)
    for path in (
        *("/", "/projects", f"/projects/{world.project}", "/queues", "/workers", f"/tasks/{world.running}"),
        *(f"/tasks/{world.running}/{name}" for name in ("scalars", "console", "clone", "execution")),
        *(f"/compare?{chosen}&tab={name}" for name in ("parameters", "values", "scalars", "parallel")),
    ):
        page = tab.open(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_project_is_reached_by_the_keyboard(tab: Watched, world: World) -> None:
    page = tab.open("/projects")
    for _ in range(500):  # past the projects of other tests
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "tabular":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="tabular")).to_be_visible()
