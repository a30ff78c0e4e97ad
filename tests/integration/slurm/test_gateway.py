"""examples/13_gateway/workers.sbatch on a real Slurm: jobs that know a gateway's address, and a token from a file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from clearml_hpo.core.trial import TrialState
from clearml_hpo.studies.study import Study
from clearml_hpo.testing.executor_contract import eventually

pytestmark = [pytest.mark.long, pytest.mark.embedded]

EXAMPLE = Path(__file__).parents[3] / "examples" / "13_gateway"
STUDY = "sgd-on-slurm"


@pytest.fixture
def gateway(site):
    """Its address."""

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "clearml_hpo", "gateway", *arguments],
            env=site.environ,
            cwd=EXAMPLE.parents[1],
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield re.search(r"^gateway: (\S+)", run("start", "--port", "0"), re.MULTILINE)[1]
    assert run("stop") == "stopped\n"


def token_file(site):
    """As the script's own comment says, but in another place."""
    file = site.folder / "token"
    command = re.search(r"^#     (install .*)$", (EXAMPLE / "workers.sbatch").read_text(), re.MULTILINE)[1]
    here = command.replace("~/.clearml-hpo-token", str(file)).replace(
        "clearml-hpo gateway", f"{sys.executable} -m clearml_hpo gateway"
    )
    subprocess.run(["bash", "-c", here], env=site.environ, cwd=EXAMPLE.parents[1], check=True, timeout=120)
    assert file.stat().st_mode & 0o777 == 0o600
    return file


def test_an_array_of_jobs_runs_a_study_over_http(site, gateway):
    file = token_file(site)
    token = file.read_text().strip()
    for name in ("worker.py", "workers.sbatch"):
        shutil.copy(EXAMPLE / name, site.folder)
    (site.folder / "client.py").write_text(requests.get(f"{gateway}/client.py", timeout=60).text)
    environ = {"PATH": site.environ["PATH"], "CLEARML_HPO_TOKEN_FILE": str(file), "PYTHONPATH": ""}
    job = site.slurm.sbatch("--chdir", site.folder, site.folder / "workers.sbatch", gateway, STUDY, **environ)
    seen = site.slurm.run("scontrol", "show", "job", job) + site.slurm.run(
        "scontrol", "write", "batch_script", job, "-"
    )
    eventually(lambda: not site.slurm.left(), "all jobs have ended", site.state)
    assert set(site.slurm.states(job).values()) == {"COMPLETED"}, site.state()
    assert len(site.slurm.states(job)) == 8

    told = {int(number): float(value) for number, value in re.findall(r"\btrial (\d+): ([\d.]+)$", site.logs(), re.M)}
    pruned = {int(number) for number in re.findall(r"\btrial (\d+) ends: pruned at ", site.logs())}
    assert {*told} | pruned == set(range(12)) and not {*told} & pruned, site.state()

    def trials():
        (study,) = [study for study in Study.list(project="clearml-hpo-outside") if study.name == STUDY]
        return study.trials

    eventually(lambda: not any(trial.state.is_live for trial in trials()), "ClearML knows all ends", site.state)
    found = {trial.number: trial for trial in trials()}
    assert sorted(found) == list(range(12))
    for number, trial in found.items():
        assert trial.state is (TrialState.PRUNED if number in pruned else TrialState.COMPLETED)
        assert number in pruned or trial.value == pytest.approx(told[number], abs=1e-4)

    secret = token.split("_")[2]
    assert secret not in seen and secret not in site.logs()
    kept = [path for path in site.slurm.folder.rglob("*") if path.is_file()]
    assert [path for path in kept if secret.encode() in path.read_bytes()] == [], "Slurm never has the token"
