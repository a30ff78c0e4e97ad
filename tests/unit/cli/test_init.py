"""``clearml-hpo init``: what it writes, asks and refuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from clearml_hpo.cli import main

SCRIPT = """
import argparse
from clearml import Task

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--act", choices=["relu", "tanh"], default="relu")
parser.add_argument("--seed", type=int, default=0)
task = Task.init("demo", "train")
options = parser.parse_args()
task.get_logger().report_scalar("train", "loss", options.lr, 0)
task.get_logger().report_scalar("validation", "loss", options.lr, 0)
task.get_logger().report_scalar("validation", "auc", options.lr, 0)
"""
REQUIRED = 'parser.add_argument("--data", required=True)\nparser.add_argument("folder")\n'


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def init(*arguments):
    return CliRunner().invoke(main, ["init", *arguments], env={"CLEARML_HPO_HOME": "/nonexistent"})


def test_a_study_file_is_written_that_check_accepts(script):
    result = init("train.py", "--yes")
    assert result.exit_code == 0, result.output
    study = yaml.safe_load((script.parent / "study.yaml").read_text())
    assert study["template"] == {"script": "train.py"} and study["project"] == "demo"
    assert study["search_space"] == {
        "Args/lr": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
        "Args/act": {"type": "categorical", "choices": ["relu", "tanh"]},
    }
    assert study["objective"] == {"metric": "validation/loss", "direction": "minimize", "value": "last"}
    assert "objective: minimize validation/loss (also: validation/auc, train/loss)" in result.output
    assert "study.yaml: sound" in result.output and "next: clearml-hpo run study.yaml --local" in result.output
    assert "# Args/seed: 0" in (script.parent / "study.yaml").read_text()


def test_a_file_that_is_there_is_overwritten_only_by_force(script):
    (script.parent / "study.yaml").write_text("mine")
    refused = init("train.py", "--yes")
    assert refused.exit_code == 2 and "is there already" in refused.output
    assert (script.parent / "study.yaml").read_text() == "mine"
    assert init("train.py", "--yes", "--force").exit_code == 0
    assert (script.parent / "study.yaml").read_text() != "mine"


def test_the_template_is_named_from_where_the_study_file_lies(script):
    assert init("train.py", "--yes", "-o", "studies/first.yaml").exit_code == 0
    written = yaml.safe_load((script.parent / "studies/first.yaml").read_text())
    assert written["template"]["script"] == "../train.py"


def test_what_the_script_requires_is_asked_for_or_given(script):
    script.write_text(SCRIPT.replace("parser.add_argument", REQUIRED + "parser.add_argument", 1))
    refused = init("train.py", "--yes")
    assert refused.exit_code == 2 and not (script.parent / "study.yaml").exists()
    assert "the script needs arguments: --data, folder; give them: --argument '--data VALUE VALUE'" in refused.output
    given = init("train.py", "--yes", "--argument", "--data 'my file.csv' out")
    assert given.exit_code == 0, given.output
    written = yaml.safe_load((script.parent / "study.yaml").read_text())
    assert written["template"]["arguments"] == ["--data", "my file.csv", "out"]


def test_objective_and_trials_may_be_given(script):
    assert init("train.py", "--yes", "--objective", "validation/auc", "--trials", "7").exit_code == 0
    study = yaml.safe_load((script.parent / "study.yaml").read_text())
    assert study["objective"]["direction"] == "maximize" and study["budget"] == {"trials": 7}
    refused = init("train.py", "--yes", "--force", "--objective", "loss")
    assert refused.exit_code == 2 and "expected title/series; found: validation/loss" in refused.output


def test_a_direction_that_the_name_does_not_say_is_a_guess_and_may_be_given(script):
    script.write_text(SCRIPT.partition("task.get_logger")[0] + 'task.get_logger().report_scalar("a", "b", 1, 0)\n')
    guessed = init("train.py", "--yes")
    assert guessed.exit_code == 0 and "minimize a/b (a guess: its name does not say" in guessed.output
    assert "# or maximize" in (script.parent / "study.yaml").read_text()
    assert "objective: maximize a/b\n" in init("train.py", "--yes", "--force", "--direction", "maximize").output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SCRIPT.partition("task.get_logger")[0], "no scalar was found: report one"),
        (SCRIPT.replace('task = Task.init("demo", "train")', ""), "it never calls Task.init"),
        (
            'from clearml import Task\ntask = Task.init()\ntask.get_logger().report_scalar("a", "loss", 1, 0)',
            "no hyperparameter was found",
        ),
    ],
)
def test_what_must_change_in_the_script_is_said_and_the_file_is_written(script, text, said):
    script.write_text(text)
    result = init("train.py", "--yes", "--no-run")
    assert result.exit_code == 2 and said in result.output, result.output
    written = (script.parent / "study.yaml").read_text()
    assert ("PLACEHOLDER" in written) == ("no scalar" in said)


def test_json_is_the_proposal_and_writes_nothing(script):
    result = init("train.py", "--json")
    found = json.loads(result.output)
    assert found["objective"] == {"metric": "validation/loss", "direction": "minimize"}
    assert [(one["name"], one["default"], one["varied"]) for one in found["parameters"]] == [
        ("Args/lr", 0.1, True),
        ("Args/act", "relu", True),
        ("Args/seed", 0, False),
    ]
    assert not (script.parent / "study.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a script or a task"),
        (["none.py"], "none.py: no such file"),
        (["not an id"], "no such file, and no id of a task"),
        (["--template", "xgbost"], "'xgbost' is not one of"),
    ],
)
def test_bad_input_is_exit_code_2(script, arguments, said):
    result = init(*arguments)
    assert result.exit_code == 2 and said in result.output, result.output


def test_a_module_that_imports_relatively_is_named_as_one(script):
    package = script.parent / "package"
    (package / "inner").mkdir(parents=True)
    for folder in (package, package / "inner"):
        (folder / "__init__.py").write_text("")
    (package / "options.py").write_text("BASE = {'lr': 0.1}\n")
    text = SCRIPT.replace("import argparse", "import argparse\nfrom ..options import BASE")
    (package / "inner" / "train.py").write_text(text.replace("parser.parse_args()", "task.connect(BASE)"))
    assert init("package/inner/train.py", "--yes").exit_code == 0
    study = yaml.safe_load((script.parent / "study.yaml").read_text())
    assert study["template"] == {"module": "package.inner.train"}
    assert "General/lr" in study["search_space"]


@pytest.mark.parametrize("template", ["minimal", "xgboost"])
def test_a_template_is_copied_with_its_spaces_and_a_study(script, template):
    result = init("--template", template, "mine")
    assert result.exit_code == 0, result.output
    assert (script.parent / "mine" / f"{template}_train.py").is_file()
    checked = CliRunner().invoke(main, ["check", "mine/study.yaml"], env={"CLEARML_HPO_HOME": "/nonexistent"})
    assert checked.exit_code == 0, checked.output
    assert init("--template", template, "mine").exit_code == 2
    assert init("--template", template, "mine", "--force").exit_code == 0


def test_on_a_terminal_it_asks(script):
    """Each question is answered when it is there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "clearml_hpo", "init", "train.py"]
    environ = {**os.environ, "TERM": "dumb", "COLUMNS": "140", "CLEARML_HPO_HOME": "/nonexistent"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True)
    os.close(theirs)
    shown = ""
    for question, answer in (("vary", "1"), ("objective", "2"), ("validation/auc", ""), ("trials", "5")):
        while question not in shown.rpartition("\n")[2]:
            shown += os.read(ours, 1024).decode()
        os.write(ours, f"{answer}\n".encode())
    assert process.wait() == 0
    os.close(ours)
    study = yaml.safe_load((script.parent / "study.yaml").read_text())
    assert list(study["search_space"]) == ["Args/lr"] and study["budget"] == {"trials": 5}
    assert study["objective"]["metric"] == "validation/auc"


def test_its_help_loads_no_heavy_library():
    code = (
        "import sys, clearml_hpo.cli\n"
        "from click.testing import CliRunner\n"
        "assert CliRunner().invoke(clearml_hpo.cli.main, ['init', '--help']).exit_code == 0\n"
        "print(sorted({'clearml', 'optuna', 'starlette', 'pydantic', 'rich', 'yaml', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
