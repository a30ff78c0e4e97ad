"""Trials that hang, in forks of warm parents and in processes of their own."""

from __future__ import annotations

import uuid

import pytest

from clearml_hpo.core.trial import TrialState
from clearml_hpo.machine.background import is_running

from .driving import run

pytestmark = pytest.mark.long

SCRIPT = """\
import os, pathlib, signal, time
from clearml import Task
signal.signal(signal.SIGTERM, signal.SIG_IGN)
task = Task.init("tests", "hangs")
x = task.connect({{"x": 0.5}})["x"]
task.get_logger().report_scalar("validation", "loss", x, 1)
task.flush(wait_for_uploads=True)
pathlib.Path({folder!r}, str(os.getpid())).touch()
while True:
    time.sleep(600)
"""
STUDY = """\
study: hangs
project: tests/{name}
template: {{script: train.py}}
search_space:
  x: {{type: float, low: 0.0, high: 1.0}}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: random, seed: 1}}
budget: {{trials: 3, trial_time: 3}}
execution: {{queue: {name}, executor: local, local: {{cpu: 2, threads: 1}}, poll_interval: 0.5}}
"""


@pytest.fixture
def study_file(tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    (tmp_path / "train.py").write_text(SCRIPT.format(folder=str(begun)))
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(name=f"hangs-{uuid.uuid4().hex[:8]}"))
    return path


ENDS = """\
import ctypes, os, time
from clearml import Task
task = Task.init("tests", "ends")
kind = task.connect({"kind": "fine"})["kind"]
task.get_logger().report_scalar("validation", "loss", 1.0, 1)
task.flush(wait_for_uploads=True)
if kind == "crashes":
    ctypes.string_at(0)
if kind == "killed":
    os.kill(os.getpid(), 9)
if kind == "hangs":
    time.sleep(600)
"""
OF_ENDS = """\
study: ends
project: tests/{name}
template: {{script: train.py}}
search_space:
  kind: {{type: categorical, choices: [fine, crashes, killed, hangs]}}
enqueue: [{{kind: crashes}}, {{kind: killed}}, {{kind: hangs}}]
objective: {{metric: validation/loss, direction: minimize}}
sampler: random
budget: {{trials: 4}}
failures: {{silent_after: 12, killed: 1}}
execution: {{queue: {name}, executor: local, local: {{cpu: 3, threads: 1}}, poll_interval: 0.5}}
"""


def test_a_crash_a_kill_and_a_hang_without_output_end_trials_as_what_they_are(
    tmp_path, api, server_environ, monkeypatch
):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "train.py").write_text(ENDS)
    path = tmp_path / "study.yaml"
    path.write_text(OF_ENDS.format(name=f"ends-{uuid.uuid4().hex[:8]}"))
    outcome = run(path, api)
    found = {trial.params["General/kind"]: (trial.state.value, trial.attempt, trial.reason) for trial in outcome.trials}
    assert found == {
        "fine": ("completed", 1, ""),
        "crashes": ("failed", 1, "ended by SIGSEGV, signal 11"),
        "killed": ("killed", 2, "ended by SIGKILL, signal 9 (was it out of memory?)"),
        "hangs": ("failed", 1, "it hangs: no line and no scalar for 12 s (silent_after)"),
    }


def test_a_trial_that_hangs_ends_after_its_time_and_its_value_counts(study_file, api, server_environ, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    outcome = run(study_file, api)
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 3
    assert all(trial.value == pytest.approx(trial.params["General/x"]) for trial in outcome.trials)
    pids = [int(path.name) for path in (study_file.parent / "begun").iterdir()]
    assert len(pids) == 3 and not [pid for pid in pids if is_running(pid)]
