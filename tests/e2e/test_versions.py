"""The wheel, with nothing but what it asks for: a study with the oldest releases that it takes, and with the newest.

The environments are kept beside the tests' own, ``.venv/versions``, until what the wheel asks for changes; `make clean`
removes them. The oldest Python and the newest that this machine has are used.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.conftest import quick_sdk, unconfigured

pytestmark = [pytest.mark.embedded, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(sys.prefix) / "versions"
IN_THE_WHEEL = ["clearml_hpo", "templates", "search_spaces", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]
MINORS = range(10, 20)

TRAIN = """
import argparse
from clearml import Task

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float, default=0.5)
arguments = parser.parse_args()
task = Task.init("tests", "versions")
for step in range(3):
    task.get_logger().report_scalar("validation", "loss", (arguments.x - 0.3) ** 2 + 1 / (step + 1), step)
"""
STUDY = """
study: versions
project: tests
template: {script: train.py}
search_space: {Args/x: {type: float, low: 0, high: 1}}
objective: {metric: validation/loss, direction: minimize}
pruner: {name: median}
budget: {trials: 3}
"""


def requirements():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["options"]["install_requires"].split()


def oldest(package):
    """``clearml==2.0``, where setup.cfg has ``clearml>=2.0``."""
    (line,) = [line for line in requirements() if re.match(rf"{package}[<>=]", line)]
    return re.sub(r">=([\d.]+).*", r"==\1", line)


def pythons():
    """Those of this machine that this package takes, from the oldest to the newest."""
    found = filter(None, (shutil.which(f"python3.{minor}") for minor in MINORS))
    return [python for python in found if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0]


ENVIRONMENTS = {
    "oldest": (0, [oldest(package) for package in ("clearml", "optuna", "click", "pydantic", "rich")]),
    "newest": (-1, []),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in IN_THE_WHEEL:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(python, *arguments):
    done = subprocess.run([python, "-m", "pip", "--quiet", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def environment(name, wheel):
    """An environment that has what the wheel asks for, and this wheel."""
    which, pins = ENVIRONMENTS[name]
    python = [*pythons(), sys.executable][0] if which == 0 else [sys.executable, *pythons()][-1]
    asked = json.dumps([python, requirements(), pins])
    folder = KEPT / f"{name}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    if not (folder / "ready").exists():
        for old in KEPT.glob(f"{name}-*"):
            shutil.rmtree(old)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pip(folder / "bin/python", "install", "--no-compile", str(wheel), *pins)
        (folder / "ready").touch()
    pip(folder / "bin/python", "install", "--no-compile", "--no-deps", "--force-reinstall", str(wheel))
    return folder / "bin"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_study_with_the_releases_that_the_wheel_takes(name, wheel, tmp_path):
    programs = environment(name, wheel)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.yaml").write_text(STUDY)
    environ = {**unconfigured(), **quick_sdk(tmp_path), "CLEARML_HPO_HOME": str(tmp_path / "state")}
    environ.pop("PYTHONPATH", None)

    def call(*arguments):
        command = [programs / "clearml-hpo", *map(str, arguments)]
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    call("check", "study.yaml")
    call("run", "study.yaml", "--local", "--cpu", "1", "--output", "result.json")
    result = json.loads((tmp_path / "result.json").read_text())
    assert [trial["state"] for trial in result["trials"]] == ["completed"] * 3
    assert json.loads(call("study", "list", "--format", "json"))[0]["status"] == "completed"
    call("study", "report", "versions", "--output", "report")
    assert (tmp_path / "report" / "summary.html").is_file()
    call("init", "--template", "minimal", "mine")
    assert (tmp_path / "mine" / "study.yaml").is_file()
