"""examples/13_gateway, as its README says: workers over HTTP alone, and a study that agents share."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
import requests

from .conftest import ROOT

pytestmark = [pytest.mark.embedded, pytest.mark.long]

EXAMPLE = ROOT / "examples" / "13_gateway"
WORKER = str(EXAMPLE / "worker.py")


@pytest.fixture
def gateway(machine):
    """Its address and its token."""
    process = machine.start("gateway", "run", "--port", "0")
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("for curl"):
            break
        if line.startswith("tokens: "):
            _, made = machine.run("gateway", "token", "new", "another")
            said += made
            break
    yield re.search(r"^gateway: (\S+)", said, re.MULTILINE)[1], re.search(r"gwt_\S+", said)[0]
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest, rest


def test_a_worker_from_the_printed_lines(machine, gateway, tmp_path):
    url, token = gateway
    (tmp_path / "client.py").write_text(requests.get(f"{url}/client.py", timeout=60).text)
    worker = shutil.copy(WORKER, tmp_path)
    code, output = machine.run(worker, url, command=[sys.executable], PYTHONPATH="", CLEARML_HPO_TOKEN=token)
    assert code == 0, output
    best = float(re.search(r"^best: trial \d+, ([\d.]+), ", output, re.MULTILINE)[1])
    values = [float(value) for value in re.findall(r"^trial \d+: ([\d.]+)$", output, re.MULTILINE)]
    assert best == min(values) < 0.2, output
    assert len(values) + output.count(" ends: pruned at iteration ") == 12, output


def test_the_script_for_slurm(machine, gateway, tmp_path):
    """Without Slurm, on which tests/integration/slurm/test_gateway.py runs it: one trial after the other."""
    url, token = gateway
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(token)
    environ = {
        "CLEARML_HPO_TOKEN_FILE": str(file),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    there = ["env", "-C", str(EXAMPLE), "bash"]
    code, output = machine.run(str(EXAMPLE / "workers.sbatch"), url, "from-a-job", command=there, **environ)
    assert code == 0, output
    assert "best: trial " in output


def test_the_study_file_is_shared_with_a_worker_of_a_queue(machine, gateway):
    url, token = gateway
    code, output = machine.run("gateway", "study", "add", str(EXAMPLE / "study.yaml"), "--set", "pruner=none")
    assert code == 0, output
    agent = machine.start("worker", "--queue", "default", "--cpu", "1")
    try:
        code, output = machine.run(
            WORKER, url, "sgd-shared", command=[sys.executable], PYTHONPATH=str(ROOT), CLEARML_HPO_TOKEN=token
        )
    finally:
        agent.send_signal(signal.SIGINT)
        said, _ = agent.communicate(timeout=120)
    assert code == 0, f"{output}\n{said}"
    outside = len(re.findall(r"^trial \d+: ", output, re.MULTILINE))
    assert 0 < outside < 12, f"{output}\n{said}"  # the first run is the agent's
    assert "best: trial " in output
