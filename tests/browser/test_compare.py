"""Comparing tasks in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import Watched
from .made_up import World
from .test_task import drawn

pytestmark = pytest.mark.browser


def test_differences_are_marked(tab: Watched, world: World) -> None:
    page = tab.open("/compare?" + "&".join(f"task={trial}" for trial in world.trials[:4]))
    rate = page.get_by_role("row", name="General/learning_rate")
    expect(rate.locator(".unusual")).to_have_count(4)
    assert rate.locator("td").first.evaluate("each => getComputedStyle(each).backgroundColor") != "rgba(0, 0, 0, 0)"
    same = page.get_by_role("row", name="General/iterations")
    expect(same.locator(".unusual")).to_have_count(0)
    page.get_by_label("only what differs").check()
    expect(same).to_be_hidden()
    expect(rate).to_be_visible()


def test_scalars_over_one_another(tab: Watched, world: World) -> None:
    page = tab.open("/compare?tab=scalars&" + "&".join(f"task={trial}" for trial in world.trials[:3]))
    lines = drawn(page, "logloss/validation")
    assert [line["name"] for line in lines] == [f"tabular #{n}" for n in range(3)]
    assert len({tuple(line["y"]) for line in lines}) == 3 and len(lines[0]["x"]) == 120


def test_last_values(tab: Watched, world: World) -> None:
    page = tab.open("/compare?tab=values&" + "&".join(f"task={trial}" for trial in world.trials[:3]))
    row = page.get_by_role("row", name="logloss/validation")
    last = [float(text) for text in row.locator("td").all_inner_texts()]
    assert float(row.locator(".least").inner_text()) == min(last)
    assert float(row.locator(".greatest").inner_text()) == max(last)
    page.get_by_label("value").select_option("greatest")
    page.wait_for_url("**which=max")
    assert min(float(text) for text in row.locator("td").all_inner_texts()) > max(last)


@pytest.mark.long
def test_parallel_coordinates(tab: Watched, world: World) -> None:
    page = tab.open("/compare?tab=parallel&" + "&".join(f"task={trial}" for trial in world.trials))
    assert len(drawn(page, "and the parameters that vary")) == len(world.trials)
    axes = page.locator(".xaxislayer-above .xtick").all_text_contents()
    assert {"depth", "learning_rate", "bootstrap_type"} < set(axes) and "iterations" not in axes
    page.get_by_label("metric").select_option("validation/AUC")
    page.wait_for_url("**metric=validation&variant=AUC**")
    assert len(drawn(page, "and the parameters that vary")) == len(world.trials)
    point = page.locator(".scatterlayer .trace").first.locator(".points path").first.bounding_box()
    assert point
    page.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.wait_for_url("**/tasks/*")
