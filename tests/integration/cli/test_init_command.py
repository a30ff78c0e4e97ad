"""``clearml-hpo init TASK_ID``: of a task that has run by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from tests import place

SCRIPT = """
import argparse, os
from clearml import Task

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--average", action="store_true")
task = Task.init(os.environ["TEST_PROJECT"], "by hand")
parser.parse_args()
task.connect({"depth": 3, "layers": [8, 4], "name": "x"}, name="Model")
task.get_logger().report_scalar("validation", "auc", 0.5, 0)
print("ID", task.id)
"""


@pytest.mark.long
def test_a_study_of_a_task(server_environ, tmp_path):
    environ = {**server_environ, "TEST_PROJECT": place.project()}
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, env=environ, capture_output=True, text=True)
    task_id = done.stdout.partition("ID ")[2].split()[0]
    command = [sys.executable, "-m", "clearml_hpo", "init", task_id, "--yes"]
    drafted = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert drafted.returncode == 0, drafted.stdout + drafted.stderr
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert study["template"] == {"task": task_id}
    assert study["search_space"] == {
        "Args/lr": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
        "Args/average": {"type": "categorical", "choices": [False, True]},
        "Model/depth": {"type": "int", "low": 3, "high": 10},
    }
    assert study["objective"]["metric"] == "validation/auc" and study["objective"]["direction"] == "maximize"
    assert "Model/layers: [8, 4]" in (tmp_path / "study.yaml").read_text()
    checked = subprocess.run(
        [sys.executable, "-m", "clearml_hpo", "check", "study.yaml"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert "5 parameters, 1 metric" in checked.stdout, checked.stdout + checked.stderr


def test_a_task_that_is_not_there(server_environ, tmp_path):
    command = [sys.executable, "-m", "clearml_hpo", "init", "0" * 32, "--yes"]
    done = subprocess.run(command, cwd=tmp_path, env=server_environ, capture_output=True, text=True)
    assert done.returncode == 2 and "no task 0000" in done.stderr
