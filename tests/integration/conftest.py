"""Fixtures shared by the tests of parts that work together."""

from __future__ import annotations

import pytest


@pytest.fixture
def sent(monkeypatch):
    """The calls that this process makes from now on, in their order: (endpoint, body)."""
    from clearml_hpo.backend.api import Api

    call, calls = Api.call, []

    def noted(self, endpoint, **body):
        calls.append((endpoint, body))
        return call(self, endpoint, **body)

    monkeypatch.setattr(Api, "call", noted)
    return calls
