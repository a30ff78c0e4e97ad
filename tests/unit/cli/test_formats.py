"""``--format`` and ``--output``, and the options that they replace."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from clearml_hpo.cli.formats import Out, moment, prints, write_result, writes_result

ROWS = [{"name": "a", "value": 1.5}, {"name": "b", "value": math.nan}]


@click.command()
@prints("table", "json", "csv")
def listing(out: Out) -> None:
    """Prints a list."""
    out.rows(ROWS, ["name", "value"], "a 1.5\nb -")


AS_JSON = [{"name": "a", "value": 1.5}, {"name": "b", "value": None}]
AS_CSV = "name,value\r\na,1.5\r\nb,nan\r\n"


@pytest.mark.parametrize(
    ("options", "printed"),
    [([], "a 1.5\nb -\n"), (["--format", "table"], "a 1.5\nb -\n"), (["--format", "csv"], AS_CSV)],
)
def test_what_is_printed(options, printed):
    result = CliRunner().invoke(listing, options)
    assert result.output.splitlines() == printed.splitlines()


@pytest.mark.parametrize("options", [["--format", "json"], ["--json"]])
def test_json_as_an_option_and_as_earlier_versions_had_it(options):
    assert json.loads(CliRunner().invoke(listing, options).output) == AS_JSON
    assert "--json" not in CliRunner().invoke(listing, ["--help"]).output


@pytest.mark.parametrize(
    ("name", "options", "is_json"),
    [("a.json", [], True), ("a.JSON", [], True), ("a.txt", ["--format", "json"], True), ("a.txt", [], False)],
)
def test_a_file_whose_ending_may_say_the_format(tmp_path, name, options, is_json):
    file = tmp_path / name
    result = CliRunner().invoke(listing, ["--output", str(file), *options])
    assert (result.exit_code, result.output) == (0, f"{file}: written\n")
    assert (json.loads(file.read_text()) == AS_JSON) if is_json else (file.read_text() == "a 1.5\nb -\n")


@pytest.mark.parametrize(("name", "code"), [("a.xls", 2), ("a.yaml", 2), ("a", 0), ("a.txt", 0)])
def test_a_file_of_another_ending_is_refused(tmp_path, name, code):
    file = tmp_path / name
    result = CliRunner().invoke(listing, ["--output", str(file)])
    assert result.exit_code == code and file.exists() is (code == 0)
    assert ("allowed endings: .txt, .json, .csv" in result.output) is (code == 2)
    assert CliRunner().invoke(listing, ["--output", str(file), "--format", "csv"]).exit_code == 0, "it is asked for"


def test_a_device_is_not_spoken_of():
    assert CliRunner().invoke(listing, ["--output", "/dev/null"]).output == ""


def test_stdout_by_its_file_name_gets_nothing_but_the_result(tmp_path):
    code = (
        "from pathlib import Path; from clearml_hpo.cli.formats import *; write_result(Path('/dev/stdout'), 1.5, print)"
    )
    with (tmp_path / "out").open("w") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "out").read_text() == "1.5\n"


@pytest.mark.parametrize("is_device", [False, True])
def test_the_result_of_a_run_is_json_and_its_file_is_named(tmp_path, is_device):
    file, said = Path("/dev/null") if is_device else tmp_path / "out.json", []
    write_result(file, {"best": math.nan, "trials": [1.5]}, said.append)
    assert said == ([] if is_device else [f"{file}: written"])
    assert is_device or json.loads(file.read_text()) == {"best": None, "trials": [1.5]}


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path):
    result = CliRunner().invoke(listing, ["--output", str(tmp_path / "none" / "a.json")])
    assert result.exit_code == 2 and "no such folder" in result.output


@click.command()
@writes_result
def driving(output_file):
    """Runs something."""
    click.echo(output_file)


@pytest.mark.parametrize(("options", "file"), [(["--output", "a"], "a"), (["--json", "b"], "b"), ([], "")])
def test_the_file_of_a_result(options, file):
    assert CliRunner().invoke(driving, options).output == f"{file}\n"


def test_a_result_is_json_whatever_its_file_is_called():
    result = CliRunner().invoke(driving, ["--output", "a.csv"])
    assert result.exit_code == 2 and "allowed endings: .json" in result.output


def test_a_moment_is_short():
    assert moment(None) == ""
    assert moment(datetime(2001, 2, 3, 4, 5).timestamp()) == "2001-02-03"
    then = datetime.now().replace(month=1, day=2, hour=3, minute=4)
    assert moment(then.timestamp()) == "01-02 03:04"
