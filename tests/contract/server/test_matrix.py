"""The embedded server answers as ClearML's does, call by call; what it answers otherwise is listed with its reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clearml_hpo import server as embedded
from clearml_hpo.server import RunningServer
from clearml_hpo.server.state import DataDir, Listening

from .matrix import Comparison, compared, known_differences

pytestmark = [pytest.mark.embedded, pytest.mark.long]

# Of the cases of a section: the least share of equal codes and of equal states, the most that may be accepted although
# ClearML's server refuses it.
CORE = {"status": (0.99, 0.97, 0.0), "many": (0.99, 0.97, 0.0), "queues": (0.99, 0.97, 0.0)}
EVERYTHING = {
    **{"lists": (0.99, 0.97, 0.0), "events": (0.99, 0.97, 0.0), "misc": (0.99, 0.97, 0.0)},
    **{"limits": (0.98, 0.97, 0.0), "versions": (0.99, 0.98, 0.0)},
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of these tests' own: they count what is on it."""
    data_dir = tmp_path_factory.mktemp("matrix")
    DataDir(data_dir).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    yield embedded.start(data_dir, with_parent=True)
    embedded.stop(data_dir)


@pytest.mark.parametrize(
    "section", [*CORE, *(pytest.param(section, marks=pytest.mark.exhaustive) for section in EVERYTHING)]
)
def test_section(section: str, alone: RunningServer) -> None:
    address = alone.address
    found = compared(section, address.api, address.access_key, address.secret_key)
    codes, states, accepted = {**CORE, **EVERYTHING}[section]
    assert share(each.same_code for each in found) >= codes
    assert share(each.same_state for each in found) >= states
    assert share(each.is_accepted for each in found) <= accepted
    assert not unlisted(found)


def share(marks: Iterator[bool]) -> float:
    each = list(marks)
    return sum(each) / len(each)


def unlisted(found: list[Comparison]) -> list[str]:
    """What is answered otherwise and is not among the known differences."""
    known = [pattern for pattern, _ in known_differences()]
    return [
        each.case for each in found if not each.same_state and not any(pattern.match(each.case) for pattern in known)
    ]


def test_each_known_difference_has_its_reason() -> None:
    assert all(len(reason.split()) > 3 for _, reason in known_differences())
