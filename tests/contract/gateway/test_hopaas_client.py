"""The real `hopaas_client`, unmodified, against the gateway's routes over a real Optuna study.

It is not part of this repository: HOPAAS_CLIENT names a checkout of it at commit 8495c3e. Without one, what it sent is
replayed by `test_hopaas_wire.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clearml_hpo.gateway.db.handouts import State
from tests.gateways import TestGateway

CHECKOUT = Path(os.environ.get("HOPAAS_CLIENT", ""))
pytestmark = [
    pytest.mark.skipif(not (CHECKOUT / "hopaas_client").is_dir(), reason="HOPAAS_CLIENT names no checkout"),
    pytest.mark.long,
]

README = """
import hopaas_client as hpc
from hopaas_client import pruners, samplers, suggestions
study = hpc.Study("Iris GBDT v7", properties=dict(
    n_estimators=suggestions.Int(2, 20), learning_rate=0.1, max_depth=suggestions.Int(2, 5)),
    sampler=samplers.TPESampler(), pruner=pruners.MedianPruner())
for _ in range(20):
    with study.trial() as trial:
        assert 2 <= trial.n_estimators <= 20 and 2 <= trial.max_depth <= 5 and trial.learning_rate == 0.1
        trial.loss = trial.n_estimators / trial.max_depth
best = study.best_trial_id
assert study.trials[best].loss == min(trial.loss for trial in study.trials.values())
"""


@pytest.fixture
def gateway(tmp_path) -> TestGateway:
    return TestGateway(tmp_path)


def run(folder: Path, url: str, token: str, *command: str, **environ: str) -> str:
    """A program of theirs, with the address and a token of a gateway."""
    address, _, port = url.rpartition(":")
    settings = folder / "hopaasrc"
    settings.write_text(f"[server]\naddress = {address}\nport = {port}\n[auth]\napi_token = {token}\n")
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), "HOPAAS_CONFIG_FILE": str(settings), **environ}
    done = subprocess.run([sys.executable, *command], env=environ, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_its_tests(folder: Path, url: str, token: str, **environ: str) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(folder)]
    output = run(folder, url, token, "-m", "pytest", *options, str(CHECKOUT / "tests"), **environ)
    assert "32 passed" in output


def test_its_own_tests_pass(gateway, tmp_path):
    with gateway.running() as url:
        run_its_tests(tmp_path, url, gateway.token())


def test_its_example_runs(gateway, tmp_path):
    with gateway.running() as url:
        run(tmp_path, url, gateway.token(), "-c", README)
    trials = gateway.service.trials()
    assert [trial.given.wire for trial in trials] == list(range(20))
    assert {trial.state for trial in trials} <= {State.DONE, State.PRUNED}
