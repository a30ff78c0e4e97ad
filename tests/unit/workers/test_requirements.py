from __future__ import annotations

from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from clearml_hpo.workers.requirements import unmet

CLICK = version("click")
ADDRESS = "no-such @ git+https://example.org/r.git"


@pytest.mark.parametrize(
    ("asked", "lacking"),
    [
        ("", []),
        (None, []),
        (f"# Python 3.11.7 (main)\n\nclick == {CLICK}\n", []),
        (f"Click=={CLICK}  # a comment\npsutil\n", []),
        ("click == 0.1", [f"click==0.1 (here: {CLICK})"]),
        ("click >= 999\npsutil", [f"click>=999 (here: {CLICK})"]),
        ("there-is-no-such-package", ["there-is-no-such-package (not here)"]),
        ("there-is-no-such-package ; sys_platform == 'plan9'", []),
        (
            "-e .\n--extra-index-url https://example.org\ngit+https://example.org/r.git",
            [],
        ),
        (ADDRESS, [f"{Requirement(ADDRESS)} (not here)"]),
        (f"click @ https://example.org/click.whl\nclick=={CLICK} --hash=sha256:00", []),
        ("click == 0.1 --hash=sha256:00", [f"click==0.1 (here: {CLICK})"]),
        ("click; python_version ~= 'abc'", []),
        (["click == 0.1", "psutil"], [f"click==0.1 (here: {CLICK})"]),
    ],
)
def test_what_is_lacking(asked: object, lacking: list[str]) -> None:
    assert unmet({"requirements": {"pip": asked}}) == lacking


def test_a_task_without_requirements() -> None:
    assert unmet({}) == unmet({"requirements": None}) == unmet({"requirements": {}}) == []
