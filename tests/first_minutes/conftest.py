"""The scripts, each in a folder of its own, and a machine on which nothing is configured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import machine  # noqa: F401

SCRIPTS = Path(__file__).with_name("scripts")


@pytest.fixture
def folder(tmp_path, style):
    """A copy of the folder of a style."""
    return Path(shutil.copytree(SCRIPTS / style, tmp_path / style))
