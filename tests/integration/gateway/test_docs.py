"""What docs/gateway.md shows for curl works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from clearml_hpo.gateway.db.handouts import State
from tests.gateways import TestGateway
from tests.integration.gateway.test_install import program

PAGE = Path(__file__).parents[3] / "docs" / "gateway.md"


@pytest.fixture
def gateway(tmp_path) -> TestGateway:
    return TestGateway(tmp_path)


def test_curl(gateway):
    program("curl")
    lines = re.findall(r"^curl .*\$TOKEN.*$", PAGE.read_text(), re.MULTILINE)
    calls = [re.search(r"\$URL/(\w+)", line)[1] for line in lines]
    assert {"ask", "should_prune", "tell", "mark_as_failed", "get_best_trial"} <= set(calls)
    trial, answers = "", {}
    with gateway.running() as url:
        environ = {**os.environ, "URL": f"{url}/api", "TOKEN": gateway.token()}
        for call, line in zip(calls, lines, strict=True):
            line = line.replace('"ID"', f'"{trial}"').replace("hopaas_trial=ID", f"hopaas_trial={trial}")
            done = subprocess.run(["bash", "-c", f"{line} -sSf"], env=environ, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            answers[call] = done.stdout
            found = re.search(r'"hopaas_trial": "([^"]+)"', done.stdout)
            trial = found[1] if found else trial
    assert answers["should_prune"] == "false" and answers["get_best_trial"] == f'"{trial}"'
    assert [each.state for each in gateway.service.trials()] == [State.DONE]
