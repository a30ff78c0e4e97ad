from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .server_without_sockets import Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A fresh server without sockets."""
    made = Api(tmp_path)
    yield made
    made.store.close()
