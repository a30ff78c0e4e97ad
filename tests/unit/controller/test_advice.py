"""What goes with a script, and what to do about a first run that shows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearml_hpo.controller.advice import remarks, what_to_do
from clearml_hpo.scripts.code import Code, collect
from clearml_hpo.scripts.entry import Entry


def code_of(folder: Path, text: str) -> Code:
    (folder / "images").mkdir()
    (folder / "images" / "1.png").write_bytes(b"x" * 2**20)
    (folder / "helper.py").touch()
    (folder / "train.py").write_text(text)
    return collect(Entry(folder / "train.py", folder))


def test_what_goes_with_a_script_and_what_does_not(tmp_path):
    goes, stays = remarks(code_of(tmp_path, "import helper\nlook('images')"))
    assert goes == "train.py: 2 files go with each task: helper.py, train.py"
    assert stays.startswith(f"train.py names {tmp_path / 'images'} (1.0 MB), which does not go with its tasks")


def test_nothing_is_said_of_a_script_alone(tmp_path):
    assert remarks(code_of(tmp_path, "print('nothing')")) == []


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("train.py: error: the following arguments are required: data (exit code 2)", "template: {arguments: ["),
        ("Error: Missing argument 'DATA'.", "template: {arguments: ["),
        ("ERROR: The function received no value for the required argument: data", "template: {arguments: ["),
        ("TypeError: keywords must be strings", "has texts as keys"),
        ("ModuleNotFoundError: No module named 'x'", "only helper.py, train.py went with the task; name what it lacks"),
        ("ValueError: depth", ""),
    ],
)
def test_what_is_done_about_a_failure(tmp_path, said, advice):
    found = what_to_do(said, code_of(tmp_path, "import helper"))
    assert advice in found and bool(found) == bool(advice)
