"""Every command of the README and of the examples is run; those that other tests run are named here."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.agent

ROOT = Path(__file__).resolve().parents[2]
DOCS = [
    *("README.md", "docs/server.md", "docs/campaigns.md"),
    *("examples/01_catboost_breast_cancer/README.md", "examples/02_clearml_script/README.md"),
    "examples/03_campaign/README.md",
]
CAMPAIGN = "examples/03_campaign/campaign.yaml"
STUDY = "examples/01_catboost_breast_cancer/study.yaml"

# command → the test that runs it
ELSEWHERE = {
    "make demo": "test_example.py runs what it calls, as is held below",
    "make test": "this suite",
    "make install": "nothing here would run without it",
    "source .venv/bin/activate": "the shell's",
    f"clearml-hpo run {STUDY} --local": "test_example.py",
    'eval "$(clearml-hpo server env)"': "test_clearml_script.py reads the exports",
    "python templates/catboost_train.py": "test_clearml_script.py",
    "python examples/02_clearml_script/optimize.py TEMPLATE_TASK_ID": "test_clearml_script.py",
    "clearml-hpo run study.yaml --set execution.queue=gpu": "--set is run below",
    "clearml-agent daemon --queue gpu --gpus 0": "ClearML's own",
    f"clearml-hpo run {STUDY} --local --set study=short --set budget.trials=5 --json out.json": "below, so",
    f"clearml-hpo run {STUDY} --local --set budget.trials=5 --json out.json": "below, with fewer trials",
    "clearml-hpo agents up --queue services --cpu 1": "below, for another queue",
    "clearml-hpo run study.yaml --gpus 0,1 --per-gpu 2": "needs GPUs; --cpu is run below",
    "clearml-hpo worker --queue quick --cpu 4 --threads 2": "test_worker_command.py",
    "clearml-agent execute": "ClearML's own; test_worker_command.py",
    "clearml-hpo server start --webapp DIR": "tests/contract/server/test_webapp.py",
    "clearml-hpo launch study.yaml --queue services": "test_launch_command.py",
    f"clearml-hpo campaign run {CAMPAIGN} --local": "test_campaign.py",
    "clearml-hpo campaign status three-models --local": "test_campaign.py",
    "clearml-hpo campaign report three-models --local": "test_campaign.py",
    "clearml-hpo campaign report three-models --local --output report": "test_campaign.py",
    "clearml-hpo campaign resume three-models --local": "test_campaign.py",
    "clearml-hpo campaign run campaign.yaml": "test_campaign.py, with --local",
    "clearml-hpo campaign resume tabular-eight": "tests/integration/campaign",
    "clearml-hpo campaign status tabular-eight": "tests/integration/campaign",
    "clearml-hpo campaign report tabular-eight --output report": "tests/integration/campaign",
    "clearml-hpo check campaign.yaml": "tests/integration/campaign",
    "clearml-hpo server run": "what `server start` runs",
    "clearml-hpo server start --data ./elsewhere": "tests/contract/server/test_backup.py",
    "clearml-hpo study stop": "tests/integration/cli",
    "clearml-hpo resume ID": "tests/integration/controller/test_resume.py",
    f"clearml-hpo run {STUDY} --local --set sampler=random --set pruner=none": "below, with fewer trials",
}

# in the order in which a person would run them
HERE = [
    "clearml-hpo server start",
    "clearml-hpo server status",
    "clearml-hpo server env --conf",
    f"clearml-hpo check {STUDY}",
    "clearml-hpo agents up --queue gpu --gpus 0,1",  # an agent starts without a GPU; what it runs would not see one
    "clearml-hpo agents status",
    "clearml-hpo agents logs gpu0",
    "clearml-hpo agents down",
    "clearml-hpo agents up --queue default --cpu 2",
    "clearml-hpo agents down --now",
    "clearml-hpo server keys add ci",
    "clearml-hpo server keys list",
    "clearml-hpo server keys revoke ci",
    "clearml-hpo server backup monday.tar",
    "clearml-hpo server stop",
    "clearml-hpo server restore monday.tar --data ./monday",
    "clearml-hpo server backup tuesday.tar --files",
    "clearml-hpo server restore tuesday.tar --data ./elsewhere",
    f"clearml-hpo run {STUDY} --local --cpu 1 --threads 1 --new --set study=processes --set budget.trials=2",
    f"clearml-hpo run {STUDY} --local --set budget.trials=3 --json OUT --set sampler=random --set pruner=none",
    f"clearml-hpo run {STUDY} --local --set budget.trials=25",
    "clearml-hpo resume catboost-breast-cancer --local --set budget.trials=26",
    "clearml-hpo study list",
    "clearml-hpo study show catboost-breast-cancer",
    "clearml-hpo study trials catboost-breast-cancer --sort value --top 5",
    "clearml-hpo study best catboost-breast-cancer",
    "clearml-hpo study export catboost-breast-cancer trials.csv",
    "clearml-hpo study keep catboost-breast-cancer --top 5 --dry-run",
]
# fewer trials, and files where they belong
INSTEAD = {"budget.trials=25": "budget.trials=4", "budget.trials=26": "budget.trials=5"}
FILES = ("out.json", "trials.csv", "monday.tar", "./monday", "tuesday.tar", "./elsewhere")


def commands(path: str) -> set[str]:
    text = (ROOT / path).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"^    (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    lines += re.findall(r"`((?:clearml-hpo|clearml-agent|make|source) [^`]*)`", text)
    return {line.partition("#")[0].strip() for line in lines} - {""}


@pytest.mark.parametrize("path", DOCS)
def test_every_command_is_accounted_for(path):
    unknown = commands(path) - set(ELSEWHERE) - set(HERE)
    assert unknown == set()


def test_the_commands_work(machine, tmp_path):
    for command in HERE:
        places = {name: f"{tmp_path}/{name}" for name in FILES}
        for found, instead in {**INSTEAD, "OUT": "out.json", **places}.items():
            command = command.replace(found, instead)
        arguments = command.split()
        assert arguments.pop(0) == "clearml-hpo"
        code, output = machine.run(*arguments)
        assert code == 0, f"{command}\n{output}"
    assert (tmp_path / "out.json").is_file()
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 6


def test_make_demo_is_the_example(machine):
    code, output = machine.run("--dry-run", "demo", command=["make", f"VENV={Path(sys.prefix)}"])
    assert code == 0, output
    assert f"clearml-hpo run {STUDY} --local --cpu 2" in output
