"""A script as people write it, from nothing to a finished study of three trials, with no edit by hand."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest
import yaml

from clearml_hpo.drafting.first_steps import with_first_steps
from clearml_hpo.drafting.location import Location
from clearml_hpo.drafting.script import read_script

pytestmark = [pytest.mark.embedded]


@dataclass(frozen=True)
class Style:
    """What ``init`` is given and finds."""

    varied: tuple[str, ...]
    objective: str
    script: str = "train.py"
    arguments: tuple[str, ...] = ()
    launcher: str = ""


STYLES = {
    "argparse": Style(("Args/learning_rate", "Args/n_estimators", "Args/booster"), "minimize validation/loss"),
    "click": Style(
        ("Args/optimizer", "Args/average", "Args/depth", "Args/learning_rate"), "maximize validation/accuracy"
    ),
    "typer": Style(("Args/learning_rate", "Args/depth", "Args/average", "Args/optimizer"), "minimize validation/loss"),
    "fire": Style(("Args/learning_rate", "Args/depth"), "maximize validation/f1"),
    "jsonargparse": Style(("Args/optimizer.lr", "Args/optimizer.momentum", "Args/depth"), "maximize validation/score"),
    "hydra": Style(("Hydra/optim.lr", "Hydra/model.units", "Hydra/model.dropout"), "minimize validation/loss"),
    "dataclass": Style(("Config/learning_rate", "Config/units", "Config/average"), "minimize validation/loss"),
    "sections": Style(
        (
            "General/lr",
            "General/model/alpha",
            "General/model/units",
            "Optimizer/momentum",
            "Optimizer/nesterov",
            "Schedule/warmup",
            "config:Data/augment.flip",
        ),
        "minimize validation/loss",
    ),
    "commands": Style(
        ("Args/width", "Args/fit/learning_rate", "Args/fit/depth"), "minimize validation/loss", arguments=("fit",)
    ),
    "tensorboard": Style(("General/learning_rate", "General/dropout"), "minimize loss/val"),
    "package": Style(("General/learning_rate", "General/depth"), "minimize validation/loss", "trainer/train.py"),
    "files": Style(("Args/slope",), "minimize validation/mse", arguments=("--data", "data.csv")),
    "launcher": Style(
        ("Args/learning_rate", "Args/units"),
        "minimize validation/loss",
        launcher=f"{sys.executable} launch.py --nproc 2",
    ),
}


def init(machine, folder, style, *options):
    given = STYLES[style]
    argument = ("--argument", " ".join(given.arguments)) if given.arguments else ()
    launcher = ("--launcher", given.launcher) if given.launcher else ()
    study = str(folder / "study.yaml")
    return machine.run("init", str(folder / given.script), "--yes", "--output", study, *argument, *launcher, *options)


HOW = [
    pytest.param(["--cpu", "1"], id="here"),
    pytest.param(["--agents", "1"], id="agent", marks=[pytest.mark.agent, pytest.mark.exhaustive]),
]


@pytest.mark.long
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("style", STYLES)
def test_init_check_run(machine, folder, style, how):
    code, output = init(machine, folder, style)
    assert code == 0, output
    study = yaml.safe_load((folder / "study.yaml").read_text())
    assert tuple(study["search_space"]) == STYLES[style].varied
    assert f"objective: {STYLES[style].objective}" in output

    code, output = machine.run("check", str(folder / "study.yaml"))
    assert code == 0 and "sound" in output, output

    budget = ("--set", "budget.trials=3", "--set", "sampler.name=random")
    result = folder / "out.json"
    code, output = machine.run(
        "run", str(folder / "study.yaml"), "--local", *how, "--new", *budget, "--json", str(result)
    )
    assert code == 0 and "outside the search space" not in output, output
    trials = json.loads(result.read_text())["trials"]
    assert [trial["state"] for trial in trials] == ["completed"] * 3
    assert len({trial["value"] for trial in trials}) > 1


@pytest.mark.long
@pytest.mark.parametrize("style", [style for style in STYLES if style != "commands"])
def test_what_is_read_is_what_the_sdk_records(folder, style):
    """The first steps run with the real SDK, offline."""
    place = Location.of(folder / STYLES[style].script, folder)
    read = read_script(place.script, place.root)
    seen = with_first_steps(read, place.target, place.folder, STYLES[style].arguments)
    assert seen.gaps == ()
    given = {one.name for one in read.parameters if one.is_required}
    groups = {one.name for one in read.parameters if one.name == "Hydra/model"}  # a group has no value of its own
    defaults = {one.name: one.default for one in read.parameters if one.name not in given | groups}
    recorded = {one.name: one.default for one in seen.parameters if one.name not in given | {"Args/config"}}
    assert json.loads(json.dumps(recorded)) == json.loads(json.dumps(defaults)), "tuples are lists"
    assert [metric.name for metric in seen.metrics] == [metric.name for metric in read.metrics]


@pytest.mark.long
def test_a_copied_template_runs(machine, tmp_path):
    code, output = machine.run("init", "--template", "minimal", str(tmp_path))
    assert code == 0, output
    result = tmp_path / "out.json"
    run = ("run", str(tmp_path / "study.yaml"), "--local", "--cpu", "1", "--new", "--set", "budget.trials=3")
    code, output = machine.run(*run, "--json", str(result))
    assert code == 0, output
    assert [trial["state"] for trial in json.loads(result.read_text())["trials"]] == ["completed"] * 3
