"""Each place that docs/life_of_a_trial.md names is in the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "life_of_a_trial.md").read_text()
PLACES = re.findall(r"\| `(\S+\.py)` `(\w+)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("file", "name"), sorted(set(PLACES)))
def test_the_place_exists(file, name):
    tree = ast.parse((ROOT / "clearml_hpo" / file).read_text())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert name in defined


def test_every_step_names_a_place():
    steps = re.findall(r"^\| \d+ \|", PAGE, re.MULTILINE)
    assert len(steps) == len(PLACES) >= 40
