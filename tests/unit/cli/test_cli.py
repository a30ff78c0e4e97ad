"""The command line: help, exit codes, messages."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from clearml_hpo.cli import exits, main

ROOT = Path(__file__).resolve().parents[3]

COMMANDS = ["run", "resume", "launch", "watch", "open", "study", "trial", "campaign", "init", "convert", "check"]
COMMANDS += ["notify", "server", "agents", "worker", "deploy", "completion"]


def invoke(*arguments, **environ):
    return CliRunner().invoke(main, list(arguments), env={"CLEARML_HPO_HOME": "/nonexistent", **environ})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"clearml-hpo {command}" in result.output
    assert "Example" in result.output


def walk(command, *path):
    """All commands by their words, groups with their commands' names."""
    names = command.list_commands(click.Context(command)) if isinstance(command, click.Group) else []
    yield " ".join(path), names
    for name in names:
        yield from walk(command.get_command(click.Context(command), name), *path, name)


ALL = [path for path, names in walk(main) if not names]


@pytest.mark.parametrize("group", [path for path, names in walk(main) if names])
def test_what_a_list_of_commands_says_of_each_is_a_whole_sentence(group):
    listed = invoke(*group.split(), "--help").output.partition("\nCommands:\n")[2].partition("\n\n")[0]
    said = re.split(r"^  [\w-]+ +", listed, flags=re.M)[1:]
    assert said and all(text.strip().endswith(".") and "..." not in text for text in said), listed


@pytest.mark.parametrize("command", ALL)
def test_every_command_says_its_exit_codes_and_has_examples(command):
    output = " ".join(invoke(*command.split(), "--help").output.split())
    assert output.endswith(exits.epilog(command))
    assert re.search(rf"Examples:.* clearml-hpo {command}\b", output)


def test_the_page_has_the_exit_codes():
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "docs/get_started.md").read_text(), re.M))
    assert list(map(int, rows)) == list(exits.Exit)
    for code, meaning in exits.MEANINGS.items():
        said, _, of_studies = rows[str(code.value)].partition("; of `run`, `resume` and `watch`: ")
        assert said == meaning
        assert of_studies == exits.OWN["run"].get(code, "").replace("it ", "the study ")


def test_only_commands_that_there_are_have_words_of_their_own():
    assert set(exits.OWN) <= set(ALL)


def test_help_lists_every_command():
    output = invoke("--help").output
    assert all(f"\n  {command}" in output for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "No such command 'nope'"),
        (["stuy", "list"], "Did you mean 'study'?"),
        (["study", "lst"], "Did you mean 'list'?"),
        (["study", "list", "--projet", "x"], "Did you mean '--project'?"),
        (["study", "list", "--format", "cvs"], "'cvs' is not one of 'table', 'json', 'csv'; did you mean 'csv'?"),
        (["study", "retry", "x", "--state", "faild"], "did you mean 'failed'?"),
        (["run"], "Missing argument 'STUDY.yaml'"),
        (["run", "none.yaml"], "error: none.yaml: cannot be read"),
        (["check", "none.yaml"], "error: none.yaml: cannot be read"),
        (["run", "x.yaml", "--agents", "0"], "0 is not in the range"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_message(arguments, said):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_several_faults_are_an_error_each(tmp_path):
    (tmp_path / "study.yaml").write_text("study: abc\nnope: 1\nbudget: {trials: 0}\n")
    result = invoke("check", str(tmp_path / "study.yaml"))
    lines = result.output.splitlines()
    assert result.exit_code == 2
    assert len(lines) == 6 and all(line.startswith("error: ") for line in lines[1:])


def write_study(folder):
    (folder / "train.py").write_text('report("validation", "loss", x)\n')
    (folder / "study.yaml").write_text(
        "study: abc\ntemplate: {script: train.py}\nsearch_space: {x: {type: float, low: 0, high: 1}}\n"
        "objective: {metric: validation/loss, direction: minimize}\nbudget: {trials: 2}\n"
    )
    return folder / "study.yaml"


def test_detach_makes_no_sense_with_local_agents(tmp_path):
    result = invoke("run", str(write_study(tmp_path)), "--local", "--detach")
    assert result.exit_code == 2 and "--detach" in result.output


def test_a_folder_for_the_result_must_exist_before_anything_starts(tmp_path):
    result = invoke("run", str(write_study(tmp_path)), "--local", "--json", str(tmp_path / "none" / "out.json"))
    assert result.exit_code == 2 and "no such folder" in result.output


def test_a_server_that_does_not_answer_is_said_at_once(tmp_path):
    result = invoke("run", str(write_study(tmp_path)), CLEARML_API_HOST="http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "no ClearML server answers at http://127.0.0.1:9" in result.output
