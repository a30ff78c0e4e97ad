"""Where the storm blows, and its seed."""

from __future__ import annotations

import os
import random

import pytest

from clearml_hpo.server.state import DataDir, Listening
from tests.conftest import quick_sdk, unconfigured


@pytest.fixture
def seed(record_property):
    """Of the kills: ``CHAOS_SEED`` plays them again."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10_000))
    print(f"CHAOS_SEED={seed}")
    record_property("seed", seed)
    return seed


@pytest.fixture
def environ(tmp_path):
    """Of the processes: nothing of the person's own ClearML settings."""
    home = tmp_path / "home"
    home.mkdir()
    data = DataDir(tmp_path / "server")
    data.make()
    data.note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    return {**unconfigured(), **quick_sdk(home), "CLEARML_HPO_HOME": str(home / "hpo")}
