"""docs/migrate.md: our column is true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from clearml_hpo.cli import main
from clearml_hpo.study_file import load_study

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migrate.md").read_text()
TABLE = PAGE.split("\n| job |")[1]
ROWS = [row.split("|")[1:-1] for row in TABLE.splitlines() if re.match(r"\| \d+\. ", row)]
OURS = [code for row in ROWS for code in re.findall(r"`([^`]+)`", row[-1])]
MOVES = re.findall(r"`([^`]+)`", PAGE.split("| you have |")[1].split("| job |")[0])
COMMANDS = [code for code in (*OURS, *MOVES) if code.startswith("clearml-hpo ")]
KEYS = [code for code in (*OURS, *MOVES) if ": " in code and not code.startswith("clearml-hpo ")]
STUDY = {
    "study": "tune",
    "template": {"script": "train.py"},
    "search_space": {"x": {"type": "float", "low": 0, "high": 1}},
    "objective": {"metric": "val/loss", "direction": "minimize"},
    "budget": {"trials": 20},
}


def test_every_job_has_a_cell_for_each_tool():
    assert len(ROWS) == 10 and all(len(row) == 6 and all(cell.strip() for cell in row) for row in ROWS)
    assert len(COMMANDS) >= 7 and len(KEYS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_these_options(command):
    found, words = main, shlex.split(command)[1:]
    while hasattr(found, "get_command"):
        context = found.make_context("clearml-hpo", [], resilient_parsing=True)
        found = found.get_command(context, words.pop(0))
        assert found is not None, command
    found.make_context("command", words)


@pytest.mark.parametrize("text", KEYS)
def test_a_study_file_takes_these_keys(tmp_path, text):
    given = yaml.safe_load(text)
    (key,) = given
    study = (
        {**STUDY, "search_space": {**STUDY["search_space"], **given}}
        if key in ("Args/lr", "booster")
        else {**STUDY, **given}
    )
    (tmp_path / "train.py").write_text("")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert load_study(tmp_path / "study.yaml").spec.study == "tune"
