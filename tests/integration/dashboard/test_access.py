"""Who may come in."""

from __future__ import annotations

import pytest


@pytest.fixture
def stranger(browser):
    """Somebody behind a proxy, whose user the kernel of this machine does not know."""
    browser.session.headers["x-forwarded-for"] = "192.0.2.1"
    return browser


def test_without_a_key_nothing_is_shown(stranger, recorded):
    for path in (
        "/",
        f"/studies/{recorded.study_id}",
        f"/studies/{recorded.study_id}/changes",
        "/?key=wrong",
        "/?key=",
    ):
        answer = stranger.get(path)
        assert answer.status_code == 403 and "Open the link" in answer.text and recorded.name not in answer.text
    answer = stranger.get("/", accept="application/json")
    assert answer.status_code == 403 and "Open the link" in answer.json()["told"]
    assert stranger.post(f"/studies/{recorded.study_id}/orders/stop").status_code == 403


def test_the_key_becomes_a_cookie(stranger, recorded):
    answer = stranger.get(f"/studies/{recorded.study_id}?key=key")
    assert answer.status_code == 303 and answer.headers["location"] == f"/studies/{recorded.study_id}"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=" in cookie
    assert stranger.get(answer.headers["location"]).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "192.0.2.1"])
def test_another_host_name_is_refused(browser, host):
    answer = browser.get("/", host=host)
    assert answer.status_code == 403 and "only at an address of this machine" in answer.text


@pytest.mark.parametrize("host", ["localhost:80", "127.0.0.1:80", "[::1]:80"])
def test_names_of_this_machine_are_answered(browser, host):
    assert browser.get("/", host=host).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil.example"}],
    ids=lambda each: "-".join(each.values()) or "none",
)
def test_orders_come_from_the_dashboards_own_pages(browser, recorded, headers):
    answer = browser.post(f"/studies/{recorded.study_id}/orders/stop", {"drain": "yes"}, **headers)
    assert answer.status_code == 403 and "own pages" in answer.json()["told"]
    assert recorded.status_of(recorded.study_id) == "in_progress"


def test_a_large_form_is_refused(browser, recorded):
    own = {"sec-fetch-site": "same-origin"}
    path = f"/studies/{recorded.study_id}/orders/stop"
    for body in (b"x" * 1_100_000, iter([b"x" * 1_100_000])):  # the second one does not say how long it is
        answer = browser.post(path, body, **own)
        assert answer.status_code == 413 and "too large" in answer.json()["told"]


def test_the_user_who_started_it_needs_no_key(browser):
    assert browser.get("/").status_code == 200
