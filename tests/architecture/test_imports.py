"""The code is as docs/architecture.md draws it, and light to import."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [path for path in (ROOT / "clearml_hpo").rglob("__init__.py") if path.parent.name != "clearml_hpo"]


def test_import_contracts_hold():
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint_imports, "--config", "setup.cfg", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_drawing_and_the_contract_say_the_same():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    contract = [
        line.replace("clearml_hpo.", "").strip()
        for line in config["importlinter:contract:layers"]["layers"].strip().splitlines()
    ]
    drawing = (ROOT / "docs/architecture.md").read_text().split("## Layers")[1].split("```")[1].strip().splitlines()
    assert [line.strip() for line in drawing] == contract


HEAVY = {"clearml", "clearml_agent", "optuna", "numpy", "pandas", "plotly", "pydantic", "sqlalchemy"}
HEAVY |= {"starlette", "uvicorn", "jinja2", "fastapi", "alembic"}

_WALK = """
import json, sys
from click.testing import CliRunner
import clearml_hpo
from clearml_hpo.cli import main

def walk(command, path):
    for name in getattr(command, "commands", {}):
        yield from walk(command.get_command(None, name), [*path, name])
    yield path

for path in walk(main, []):
    assert CliRunner().invoke(main, [*path, "--help"]).exit_code == 0, path
print(json.dumps(list(sys.modules)))
"""

_RUN = """
import json, sys
from clearml_hpo.cli import main

try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(list(sys.modules)))
"""


def loaded(code: str, *arguments: str, env: dict[str, str] | None = None) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=env)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_help_of_any_command_loads_no_heavy_library():
    assert loaded(_WALK) & HEAVY == set()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_loads_no_command(option):
    assert loaded(_RUN, option) & (HEAVY | {"rich", "requests", "psutil"}) == set()


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (("study", "list"), set()),
        (("campaign", "list"), set()),
        (("server", "status"), set()),
        (("check", "examples/05_own_script/study.yaml"), {"optuna", "numpy", "pydantic"}),
    ],
)
def test_a_command_loads_what_it_needs(command, needed, server_environ, tmp_path):
    """ClearML's SDK, a second of processor time, is needed by none of them; clearml.conf is read by its agent."""
    environ = {**server_environ, "CLEARML_HPO_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    assert loaded(_RUN, *command, env=environ) & HEAVY <= {"clearml_agent", *needed}


@pytest.mark.long
def test_a_run_loads_no_scikit_learn_before_it_needs_it():
    code = "import sys, clearml_hpo.controller.run; print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_map_has_every_room_and_no_other_file():
    text = (ROOT / "docs/architecture.md").read_text()
    section = text.split("## Where things are")[1].split("\n## ")[0]
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", section))
    assert [name for name in named if not (ROOT / "clearml_hpo" / name).exists()] == []
    rooms = {f"{path.parent.name}/" for path in (ROOT / "clearml_hpo").glob("*/__init__.py")}
    assert rooms - named == set() and len(rooms) <= 26


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.parent.name)
def test_a_package_lists_its_files(package):
    """In its docstring, one a line: ``name.py   what it is``, or ``name/``."""
    listed = set(re.findall(r"^(\w+(?:\.py|/))  +\S", ast.get_docstring(ast.parse(package.read_text())), re.M))
    parts = package.parent.iterdir()
    files = {path.name for path in parts if path.suffix == ".py" and not path.name.startswith("__")}
    files |= {f"{path.parent.name}/" for path in package.parent.glob("*/__init__.py")}
    assert listed == files
