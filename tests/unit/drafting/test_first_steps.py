"""The first steps of a script, run offline with the real SDK, where reading is not enough."""

from __future__ import annotations

import textwrap

import pytest

from clearml_hpo.drafting.first_steps import with_first_steps
from clearml_hpo.drafting.script import read_script
from clearml_hpo.machine.background import is_running
from tests.receivers import eventually

pytestmark = pytest.mark.long

COMPUTED = """
import argparse
import subprocess
from pathlib import Path
from clearml import Task

task = Task.init("demo", "computed")
parser = argparse.ArgumentParser()
for name in ("lr", "momentum"):
    parser.add_argument(f"--{name}", type=float, default=0.5)
parser.add_argument("--kind", choices=["a", "b"], default="a")
parser.add_argument("--data", required=True)
parser.parse_args()
child = subprocess.Popen(["sleep", "600"])
Path("seen.txt").write_text(f"{Path.cwd()} {child.pid}")
for step in range(100):
    for name in ("loss", "auc"):
        task.get_logger().report_scalar("validation", name, 0.5, step)
raise SystemExit("was not stopped")
"""


def steps(folder, text, *arguments):
    path = folder / "train.py"
    path.write_text(textwrap.dedent(text))
    read = read_script(path)
    return read, with_first_steps(read, str(path), folder, arguments)


def test_what_is_computed_is_seen_with_what_only_the_text_has(tmp_path):
    read, seen = steps(tmp_path, COMPUTED, "--data", "x.csv")
    assert read.gaps and seen.gaps == () and seen.unnamed == ()
    assert {one.name: (one.kind, one.default, one.choices) for one in seen.parameters} == {
        "Args/kind": ("str", "a", ("a", "b")),
        "Args/data": ("str", "x.csv", ()),
        "Args/lr": ("float", 0.5, ()),
        "Args/momentum": ("float", 0.5, ()),
    }
    assert [metric.name for metric in seen.metrics] == ["validation/auc", "validation/loss"]
    folder, child = (tmp_path / "seen.txt").read_text().split()
    assert folder == str(tmp_path), "it runs in its own folder"
    eventually(lambda: not is_running(int(child)), "what it started ends")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seen.txt", "train.py"], "ClearML's files are elsewhere"


BOOSTERS = {
    "xgboost": (
        "from xgboost import XGBClassifier\nmodel = XGBClassifier(eval_metric='auc', n_estimators=3)\n"
        "model.fit(x, y, eval_set=[(x, y)])",
        ["validation_0/auc"],
    ),
    "lightgbm": (
        "import lightgbm\nlightgbm.train({'objective': 'binary', 'metric': 'auc'}, data := lightgbm.Dataset(x, y), 3, "
        "valid_sets=[lightgbm.Dataset(x, y, reference=data)])",
        ["valid_0/auc"],
    ),
    "catboost": (
        "from catboost import CatBoostClassifier\n"
        "CatBoostClassifier(iterations=3, allow_writing_files=False).fit(x, y, eval_set=(x, y))",
        ["validation/Logloss", "learn/Logloss"],
    ),
}


@pytest.mark.parametrize("library", BOOSTERS)
def test_what_the_sdk_reports_of_evaluation_sets_is_guessed_until_it_is_seen(tmp_path, library):
    pytest.importorskip(library)
    text, names = BOOSTERS[library]
    data = "import numpy\nx, y = numpy.arange(99.0).reshape(-1, 1), numpy.arange(99) % 2\n"
    read, seen = steps(tmp_path, f"from clearml import Task\nTask.init('a', 'b')\n{data}{text}")
    assert seen.gaps == ()
    assert all(metric.is_guess for metric in read.metrics) and len(read.metrics) == 1
    assert [metric.name for metric in seen.metrics] == names and not any(metric.is_guess for metric in seen.metrics)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit('no data')", "no data"),
    ],
)
def test_a_script_that_fails_says_why(tmp_path, text, said):
    _, seen = steps(tmp_path, text)
    assert seen.gaps[-1] == f"its first steps, run offline, end with: {said}"


def test_a_script_that_reports_nothing_shows_its_parameters(tmp_path):
    _, seen = steps(tmp_path, "from clearml import Task\nTask.init('a', 'b').connect(dict(zip(['lr'], [0.1])))\n")
    assert [one.name for one in seen.parameters] == ["General/lr"] and seen.metrics == () and seen.gaps == ()
