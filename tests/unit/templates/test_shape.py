"""The templates have one shape: a difference between two of them is one between their libraries."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.templates.conftest import NAMES, ROOT, load

OF_THE_DATA = "thread_count"  # parameters from the first on to this one
NOT_EVERYWHERE = {"continue_from", "save_checkpoint", "loss", "device", "gpu_devices", "gpu_ram_part"}


def _source(name):
    return (ROOT / "templates" / f"{name}_train.py").read_text()


def test_the_common_part_is_the_same():
    script = ROOT / "templates" / "copy_common.py"
    ended = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_common_part_that_differs_is_named_and_copied(tmp_path):
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    stale = tmp_path / "templates" / "lightgbm_train.py"
    text = stale.read_text()
    stale.write_text(text.replace('"""Read a CSV file', '"""Read a file'))
    script = tmp_path / "templates" / "copy_common.py"
    ended = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.startswith("error: the common part is stale in lightgbm_train.py:")
    subprocess.run([sys.executable, script], check=True)
    assert stale.read_text() == text


@pytest.mark.parametrize("name", NAMES)
def test_what_is_a_librarys_own_comes_first_and_is_short(name):
    own, mark, common = _source(name).partition("\n# === Common to all templates")
    assert mark and 200 < own.count("\n") < 460 and common.count("\n") > 900


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_parameters_of_data_and_training_are_the_same(name):
    first, other = load("catboost").PARAMETERS, load(name).PARAMETERS

    def common(parameters):
        names = list(parameters)[: list(parameters).index(OF_THE_DATA) + 1]
        return [(each, parameters[each]) for each in names if each not in NOT_EVERYWHERE]

    assert common(first) == common(other)
    assert len(common(first)) > 20


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_metrics_name_stands_for_one_scorer(name):
    first, other = load("catboost"), load(name)
    for problem in other.METRICS:
        assert first.SCORERS[problem] == other.SCORERS[problem]
        assert first.DEFAULT_METRICS[problem] == other.DEFAULT_METRICS[problem]


@pytest.mark.parametrize("name", NAMES)
def test_every_default_has_a_type_that_survives_the_way_over_the_server(name):
    for parameter, default in load(name).PARAMETERS.items():
        assert type(default) in (bool, int, float, str), parameter


@pytest.mark.parametrize("name", NAMES)
def test_a_template_imports_nothing_of_this_project(name):
    imported = {
        part.split(".")[0]
        for node in ast.walk(ast.parse(_source(name)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for part in ([node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    own = {path.stem for path in Path(ROOT).iterdir() if path.is_dir()} | {f"{each}_train" for each in NAMES}
    assert imported & own == set()
