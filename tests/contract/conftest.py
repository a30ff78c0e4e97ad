"""For all contract tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import place


@pytest.fixture(scope="session", autouse=True)
def in_the_project_of_the_run() -> Iterator[None]:
    """The tasks of the executors' contract are made there."""
    from clearml_hpo.testing import executor_contract  # not before its asserts can be rewritten

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor_contract, "PROJECT", place.project("contract"))
        yield
