"""What to do about a first run that shows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearml_hpo.controller.advice import beside, warning, what_to_connect, what_to_do

SCRIPT = """
import os
import yaml
import helper
import package.inner
from .sibling import x

open("data/train.csv"), open("nothing.csv"), open("/etc/hosts"), open("train.py"), print(".", "", "a\\nb")
"""


def script(folder: Path, text: str = SCRIPT) -> Path:
    (folder / "data").mkdir()
    (folder / "package").mkdir()
    (folder / "yaml").mkdir()  # a folder without modules is none, and that package is installed
    names = ("data/train.csv", "helper.py", "package/inner.py", "sibling.py", "unused.py", "os.txt")
    for name in names:
        (folder / name).touch()
    path = folder / "train.py"
    path.write_text(text)
    return path


def test_what_a_script_needs_beside_it(tmp_path):
    path = script(tmp_path)
    assert beside(path) == ["data/train.csv", "helper.py", "package", "sibling.py"]
    assert warning(path).startswith("train.py: only the script itself goes with a task, not what lies beside it (data/")


def test_a_script_that_needs_nothing(tmp_path):
    path = script(tmp_path, "import os\nprint('nothing')\n")
    assert beside(path) == [] and warning(path) == ""
    assert what_to_do("No module named 'torch'", path) == ""


def test_a_text_that_no_file_can_be_called_does_not_hide_the_others(tmp_path):
    path = script(tmp_path, f"print('{'数' * 100}')\nimport helper\n")
    assert beside(path) == ["helper.py"]


def test_a_script_that_python_itself_cannot_read_has_no_warning(tmp_path):
    assert warning(script(tmp_path, f"x = {'+'.join(['1'] * 5000)}\n")) == ""


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("train.py: error: the following arguments are required: data (exit code 2)", "once by hand with them"),
        ("Error: Missing argument 'DATA'.", "once by hand with them"),
        ("ERROR: The function received no value for the required argument: data", "once by hand with them"),
        ("KeyError: 'Args' (exit code 1)", "notes arguments of click, Fire and jsonargparse in a run by hand"),
        ("TypeError: keywords must be strings", "has texts as keys"),
        (
            "ModuleNotFoundError: No module named 'helper'",
            "helper.py, package, sibling.py): put it in a git repository",
        ),
        ("ValueError: depth", ""),
    ],
)
def test_what_is_done_about_a_failure(tmp_path, said, advice):
    found = what_to_do(said, script(tmp_path))
    assert advice in found and bool(found) == bool(advice)


@pytest.mark.parametrize(
    ("module", "advice"),
    [
        ("typer", "ClearML's SDK does not see Typer's arguments: connect what"),
        (
            "jsonargparse",
            "ClearML's SDK notes arguments of click, Fire and jsonargparse in a run by hand, in our workers",
        ),
        ("os", "connect what is to be varied"),
    ],
)
def test_what_to_connect(tmp_path, module, advice):
    assert what_to_connect(None).startswith("connect what is to be varied")
    assert what_to_connect(script(tmp_path, f"import {module}")).startswith(advice)
