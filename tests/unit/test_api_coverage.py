"""docs/api_coverage.md is what the code says, and what ClearML's own programs need is answered."""

from __future__ import annotations

import re
from pathlib import Path

import clearml
import clearml_agent
import pytest

from clearml_hpo.server.registry import endpoints
from docs.api_coverage import PAGE, known_endpoints, page

# What the SDK and the agent have code for, and is not answered: why.
NOT_ANSWERED = {
    "datasets": "Hyper-Datasets, which only ClearML's paid server has",
    "dataviews": "Hyper-Datasets",
    "frames": "Hyper-Datasets",
}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.parametrize("package", [clearml, clearml_agent], ids=lambda package: package.__name__)
def test_every_request_that_clearml_itself_makes_is_answered(package: object) -> None:
    used = requests_of(Path(str(package.__file__)).parent)
    assert len(used) > 10
    missing = used - set(endpoints())
    assert {name for name in missing if name.partition(".")[0] not in NOT_ANSWERED} == set()


def requests_of(folder: Path) -> set[str]:
    """Endpoints whose request classes are named outside of their definitions, such as ``tasks.GetAllRequest``."""
    by_class = {name.replace(".", "").replace("_", ""): name for name in known_endpoints()}
    found = set()
    for file in folder.rglob("*.py"):
        if "services" not in file.parts:
            for service, action in re.findall(
                r"\b([a-z]+?)(?:_service|_api)?\.([A-Z]\w*)Request\b", file.read_text("utf-8")
            ):
                name = by_class.get(f"{service}{action.lower()}")
                found |= {name} if name else set()
    return found
