"""The campaign of the examples, by the command line; and one that is interrupted."""

from __future__ import annotations

import json
import signal
import uuid

import pytest

from tests.integration.campaign.conftest import CAMPAIGN, SCRIPT

pytestmark = [pytest.mark.embedded, pytest.mark.long]

EXAMPLE = "examples/03_campaign/campaign.yaml"
FEW = ("--set", "budget.trials=3", "--set", "budget.time=20m")


def test_the_example(machine, tmp_path):
    code, output = machine.run("campaign", "run", EXAMPLE, "--local", *FEW, timeout=540)
    assert code == 0, output
    assert machine.left_running() == []
    code, output = machine.run("campaign", "report", "three-models", "--local", "--output", str(tmp_path / "report"))
    assert code == 0 and "every trial ran where its model may" in output, output
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["misplaced"] == [] and report["trials"] == 18
    assert {use["name"]: use["most_at_once"] for use in report["resources"]} == {"gpu0": 1, "gpu1": 1, "cpu": 1}
    on = {use["name"]: set(use["trials_of_model"]) for use in report["resources"]}
    assert on["cpu"] == {"cat"} and "cat" not in on["gpu0"] | on["gpu1"]
    scores = sorted((tmp_path / "report/scores").iterdir())
    assert [path.name.split("-")[:2] for path in scores] == [
        [dataset, model] for dataset in ("diabetes", "tumours") for model in ("cat", "lgbm", "xgb")
    ]
    assert all(len(path.read_text().splitlines()) > 100 for path in scores)
    code, output = machine.run("campaign", "status", "three-models", "--local")
    assert code == 0 and "\ncompleted" in output, output
    code, output = machine.run("campaign", "resume", "three-models", "--local")
    assert code == 0 and "is finished" in output, output
    assert machine.left_running() == []


@pytest.fixture
def campaign_file(tmp_path):
    for model in ("fast", "slow"):
        (tmp_path / f"{model}.py").write_text(SCRIPT.format(tag=uuid.uuid4(), model=model))
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN.format(project="tests", trials=3).replace("two-by-two", tmp_path.name))
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_nothing_is_left_running_and_it_goes_on(machine, campaign_file, tmp_path, number):
    out = tmp_path / "report.json"
    slow = ("--set", "datasets.apples.seconds=2")
    process = machine.start("campaign", "run", str(campaign_file), "--local", "--new", *slow)
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "apples-slow: slow is new" in line:
            break
    process.send_signal(number)
    output = "".join([*seen, *process.stdout])
    assert process.wait(timeout=60) == (-9 if number == signal.SIGKILL else 130), output
    machine.wait_until_nothing_runs()
    if number == signal.SIGKILL:
        code, output = machine.run("campaign", "stop", tmp_path.name, "--local")
        assert (code, output.splitlines()[-1]) == (
            0,
            f"campaign {tmp_path.name}: no controller drives it; it is stopped",
        )
    code, output = machine.run("campaign", "run", str(campaign_file), "--local", *slow, "--output", str(out))
    assert code == 0, output
    report = json.loads(out.read_text())
    assert report["trials"] == 12 and report["misplaced"] == []
    assert machine.left_running() == []
