"""A Python function as a script."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from clearml_hpo.backend.codes import PRUNED_BY_SCRIPT
from clearml_hpo.core.errors import InputError
from clearml_hpo.functions import optimize, trial_runner
from clearml_hpo.functions.packing import pack

USER = """
    import json, sys
    from pathlib import Path
    import numpy
    import helper
    from clearml_hpo.functions.packing import pack
    {lines}
    FACTOR = {factor}
    def objective(trial):
        return helper.twice(numpy.float64(trial)) * FACTOR
    print(pack(objective, Path.cwd()))
"""


def packed(folder, *, lines="", factor=1, helper="return 2 * x"):
    (folder / "helper.py").write_text(f"def twice(x):\n    {helper}\n")
    (folder / "user.py").write_text(textwrap.dedent(USER).format(lines=lines, factor=factor))
    line = [sys.executable, "-B", "user.py"]  # bytecode is told from a newer source by whole seconds only
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_function_goes_by_value_with_modules_of_the_users_own(tmp_path):
    script = packed(tmp_path)
    text = Path(script).read_text()
    ast.parse(text)
    assert "import numpy\n" in text and "import helper" not in text
    (tmp_path / "helper.py").unlink()
    path = str(Path(script).with_name("objective.pkl"))
    call = f"import cloudpickle, pathlib; f = cloudpickle.loads(pathlib.Path({path!r}).read_bytes())"
    done = subprocess.run([sys.executable, "-c", f"{call}; print(f(3))"], cwd="/", capture_output=True, text=True)
    assert done.stdout.strip() == "6.0", done.stderr


def test_the_same_function_is_the_same_script_wherever_it_stands(tmp_path):
    first = packed(tmp_path)
    assert packed(tmp_path, lines="\n\n# moved") == first
    others = {packed(tmp_path, factor=2), packed(tmp_path, helper="return 3 * x")}
    assert len({first, *others}) == 3


def test_what_cannot_be_pickled_is_said(tmp_path):
    with (
        (tmp_path / "log").open("w") as open_file,
        pytest.raises(InputError, match=r"the objective cannot be sent to its trials: .*; open files and connections"),
    ):
        pack(lambda trial: open_file.write("x"), tmp_path)


def test_the_script_stands_alone_and_says_what_this_package_looks_for():
    assert trial_runner.PRUNED == PRUNED_BY_SCRIPT
    assert (trial_runner.OBJECTIVE, trial_runner.SERIES) == (optimize.OBJECTIVE, optimize.SERIES)
    imported = {
        line.split()[1].partition(".")[0]
        for line in Path(trial_runner.__file__).read_text().splitlines()
        if line.startswith(("import", "from"))
    }
    assert "clearml_hpo" not in imported


@pytest.mark.parametrize("given", [{}, {"n_trials": None}])
def test_a_study_needs_a_budget(given):
    with pytest.raises(InputError, match="give n_trials or timeout"):
        optimize.study_of(lambda trial: 0.0, **given)
