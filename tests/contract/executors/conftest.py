"""A connection to the embedded server, and an environment that processes started here take over."""

from __future__ import annotations

import pytest


@pytest.fixture
def environ(server_environ, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    return server_environ


@pytest.fixture
def api(environ):
    from clearml_hpo.backend.api import Api

    return Api()
