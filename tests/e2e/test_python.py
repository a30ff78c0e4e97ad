"""Studies from Python, as the examples show them."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.embedded, pytest.mark.long]


def run(machine, script: Path, folder: Path, **environ):
    """Runs a copy: functions are written beside where the user is."""
    code = f"import os, runpy, sys; os.chdir({str(folder)!r}); sys.path.insert(0, {str(script.parent)!r}); "
    return machine.run(
        f"{code}runpy.run_path({str(script)!r}, run_name='__main__')", command=[sys.executable, "-c"], **environ
    )


def best(output):
    return re.search(r"^best: trial (\d+), ([\d.]+), (\{.*\})$", output, re.MULTILINE)


def test_a_script(machine, tmp_path):
    code, output = run(machine, ROOT / "examples/11_python/tune_script.py", tmp_path)
    assert code == 0 and float(best(output)[2]) > 0.8 and "Args/hidden" in best(output)[3], output
    code, output = run(machine, ROOT / "examples/11_python/tune_script.py", tmp_path)
    assert code == 0 and "study python-script is finished" in output, output


def test_a_function_suggests_its_parameters_itself(machine, tmp_path):
    code, output = run(machine, ROOT / "examples/11_python/tune_function.py", tmp_path)
    assert code == 0 and float(best(output)[2]) > 0.8, output
    params = best(output)[3]
    assert ("n_neighbors" in params) == ("neighbours" in params) != ("max_leaf_nodes" in params), "only what it used"
    code, output = machine.run("study", "show", "accuracy", "--file")
    assert code == 0 and "define_by_run: true" in output and "max_leaf_nodes" in output, output
    assert (tmp_path / ".clearml-hpo/.gitignore").read_text() == "*\n"


def test_a_script_of_optuna(machine, tmp_path):
    code, output = run(machine, ROOT / "examples/12_optuna_script/digits.py", tmp_path)
    assert code == 0 and float(best(output)[2]) > 0.8 and "General" not in best(output)[3], output


def test_points_that_a_script_of_optuna_enqueues(machine, tmp_path):
    script = tmp_path / "enqueues.py"
    script.write_text(
        "from clearml_hpo import optuna\n"
        "def f(trial):\n    x = trial.suggest_float('x', -9, 9)\n"
        "    return x * x + (trial.suggest_int('n', 1, 9) if x > 3 else 0)\n"
        "study = optuna.create_study(study_name='enqueues')\n"
        "study.enqueue_trial({'x': 4.5, 'n': 7})\n"
        "study.optimize(f, n_trials=4)\n"
        "print('POINTS', [trial.params for trial in study.trials], study.trials[1].value)\n"
        "try:\n    study.ask()\nexcept AttributeError as error:\n    print('SAID', error)\n"
    )
    code, output = run(machine, script, tmp_path)
    assert code == 0 and "{'x': 4.5, 'n': 7}, " in output and "] 27.25" in output, output
    assert "SAID ask: a study whose trials are ClearML tasks has none" in output


def test_a_function_that_fails_ends_the_study_at_once(machine, tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(
        "import clearml_hpo\n"
        "def fails(trial):\n    x = trial.suggest_float('x', 0, 1)\n    raise ValueError('no data')\n"
        "try:\n    clearml_hpo.optimize(fails, n_trials=9, local=True, cpu=1)\n"
        "except clearml_hpo.ClearmlHpoError as error:\n    print('SAID', error)\n"
    )
    code, output = run(machine, script, tmp_path)
    assert code == 0 and "SAID the baseline, trial 0, failed: ValueError: no data" in output, output
    assert ", line 4, in fails" in output and "/output/log" in output, output


def test_the_notebook(machine, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    notebook = nbformat.read(shutil.copy(ROOT / "examples/11_python/tune.ipynb", tmp_path), as_version=4)
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update({**machine.environ, "PYTHONPATH": str(ROOT)})
    try:
        client.NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(tmp_path)}}).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    shown = [
        "".join(str(output.get("data") or output.get("text")) for output in cell.get("outputs", ()))
        for cell in notebook.cells
    ]
    drawn = [output for output in notebook.cells[2].outputs if "text/html" in (output.get("data") or {})]
    assert len(drawn) == 1, "drawn again and again in one place"
    assert "6/6 trials" in shown[2] and "objective/value, minimize" in shown[2], shown[2]
    assert "<table>" in shown[3] and "completed" in shown[3] and "objective/value" in shown[4], shown[3:]
