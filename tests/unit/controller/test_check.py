"""What a check says of a script that was not run yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearml_hpo.controller.check import faults_of_text
from clearml_hpo.scripts.code import collect
from clearml_hpo.scripts.entry import Entry
from clearml_hpo.study_file import load_study

SCRIPT = """
from clearml import Task

task = Task.init("demo", "names")
task.connect({"sl/ash": 3, "ints": {1: "a"}, "deep": {"er": 1}})
"""


def faults(folder: Path, name: str) -> list[str]:
    (folder / "names.py").write_text(SCRIPT)
    study = folder / "study.yaml"
    study.write_text(
        f"""
study: names
project: demo
template: {{script: names.py}}
search_space:
  {name}: {{type: int, low: 1, high: 5}}
objective: {{metric: val/score, direction: maximize}}
budget: {{trials: 2}}
"""
    )
    return [str(fault) for fault in faults_of_text(load_study(study), collect(Entry(folder / "names.py", folder)))]


@pytest.mark.parametrize("name", ["General/sl/ash", "General/ints/1", "deep/er"])
def test_a_name_of_the_script_is_found(tmp_path, name):
    assert faults(tmp_path, name) == []


def test_a_name_with_a_slash_needs_its_section(tmp_path):
    (fault,) = faults(tmp_path, "sl/ash")
    assert "nothing in names.py is called 'ash'; did you mean General/sl/ash?" in fault
