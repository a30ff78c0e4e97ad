"""What the environment says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from requests.utils import should_bypass_proxies

from clearml_hpo.machine import settings


def test_home():
    assert settings.load({"CLEARML_HPO_HOME": "/x/y"}) == settings.Settings(Path("/x/y"))


def test_the_default_home_is_the_users_state_directory():
    assert settings.load({}).home.name == "clearml-hpo"


def test_a_server_is_five_variables():
    server = settings.ServerAddress("http://a", "http://w", "http://f", "key", "secret")
    assert server.environ() == {
        "CLEARML_API_HOST": "http://a",
        "CLEARML_WEB_HOST": "http://w",
        "CLEARML_FILES_HOST": "http://f",
        "CLEARML_API_ACCESS_KEY": "key",
        "CLEARML_API_SECRET_KEY": "secret",
    }


LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({}, LOOPBACK),
        ({"NO_PROXY": "intranet"}, f"intranet,{LOOPBACK}"),
        ({"no_proxy": "a, b", "NO_PROXY": "b,c,"}, f"a,b,c,{LOOPBACK}"),
        ({"no_proxy": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_a_server_of_this_machine_is_reached_around_proxies(monkeypatch, given, then):
    environ = {"http_proxy": "http://proxy:3128", **given}
    monkeypatch.setattr(os, "environ", environ)
    settings.use_server(settings.ServerAddress("http://127.0.0.1:8008", "http://w", "http://f", "key", "secret"))
    assert environ["no_proxy"] == environ["NO_PROXY"] == then
    assert environ["CLEARML_API_HOST"] == "http://127.0.0.1:8008"
    assert should_bypass_proxies("http://127.0.0.1:8008/debug.ping", None)


def test_a_server_elsewhere_is_reached_as_the_environment_says(monkeypatch):
    environ = {"http_proxy": "http://proxy:3128", "no_proxy": "intranet"}
    monkeypatch.setattr(os, "environ", environ)
    settings.use_server(settings.ServerAddress("http://lab:8008", "http://w", "http://f", "key", "secret"))
    assert environ["no_proxy"] == "intranet" and "NO_PROXY" not in environ
