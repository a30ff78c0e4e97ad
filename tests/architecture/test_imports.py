"""The code is as docs/architecture.md draws it, and light to import."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
        "assert CliRunner().invoke(clearml_hpo.cli.main, ['--version']).exit_code == 0\n"
        "print(sorted({'clearml', 'optuna', 'starlette', 'uvicorn', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_of_the_map_exists():
    text = (ROOT / "docs/architecture.md").read_text()
    table = text.split("## Where things are")[1].split("##")[0]
    for name in re.findall(r"`([\w/]+(?:\.py|/))`", table):
        assert (ROOT / "clearml_hpo" / name).exists(), name
