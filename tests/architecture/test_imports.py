"""The code is as docs/architecture.md draws it, and light to import."""

from __future__ import annotations

import ast
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


def test_importing_the_package_and_asking_for_help_load_no_heavy_library():
    code = (
        "import sys, clearml_hpo, clearml_hpo.cli\n"
        "from click.testing import CliRunner\n"
        "for option in ('--version', '--help'):\n"
        "    assert CliRunner().invoke(clearml_hpo.cli.main, [option]).exit_code == 0\n"
        "print(sorted({'clearml', 'optuna', 'starlette', 'uvicorn', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
    assert rooms - named == set() and len(rooms) <= 25


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.parent.name)
def test_a_package_lists_its_files(package):
    """In its docstring, one a line: ``name.py   what it is``, or ``name/``."""
    listed = set(re.findall(r"^(\w+(?:\.py|/))  +\S", ast.get_docstring(ast.parse(package.read_text())), re.M))
    parts = package.parent.iterdir()
    files = {path.name for path in parts if path.suffix == ".py" and not path.name.startswith("__")}
    files |= {f"{path.parent.name}/" for path in package.parent.glob("*/__init__.py")}
    assert listed == files
