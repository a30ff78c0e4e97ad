"""A certificate for receivers of mail, and a message."""

from __future__ import annotations

import pytest

from clearml_hpo.notify.events import About, Message
from tests.receivers import make_certificate

CANARY = "Canary-4f1e9b77"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def message():
    about = About("tune & co", "3f9c", "vision", "http://web/3f9c")
    return Message("best", "tune & co: new <best> 0.5", "trial 7", about, 1_000_000.0, {"best": {"trial": 7}})
