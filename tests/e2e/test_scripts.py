"""Scripts as people write them, each as the template of a small study on this machine."""

from __future__ import annotations

import re
import textwrap

import pytest

pytestmark = [pytest.mark.embedded, pytest.mark.long]

HYDRA = """
    import hydra
    from clearml import Task
    from hydra.core.config_store import ConfigStore

    node = {"model": {"units": 32, "act": "relu", "layers": [1, 2]}, "opt": {"lr": 0.01, "name": None}}
    ConfigStore.instance().store(name="config", node=node)

    @hydra.main(version_base=None, config_path=None, config_name="config")
    def main(cfg):
        task = Task.init()
        task.get_logger().report_scalar("val", "score", cfg.model.units, 0)

    if __name__ == "__main__":
        main()
"""
CONFIGURATION = """
    import pathlib
    import yaml
    from clearml import Task

    task = Task.init()
    path = pathlib.Path("train.yaml")
    path.write_text("model: {layers: [{units: 32}, {units: 4}]}\\noptim: {lr: 1e-3}\\n")
    train = yaml.safe_load(open(task.connect_configuration(path, name="train cfg")))
    model = task.connect_configuration({"sub": {"rate": 0.5, "on": True}}, name="Model")
    assert isinstance(model["sub"]["rate"], float)
    task.get_logger().report_scalar("val", "score", train["model"]["layers"][0]["units"], 0)
"""
ARGPARSE = """
    import argparse
    from clearml import Task

    task = Task.init()
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, nargs="+", default=[20, 12])
    parser.add_argument("--ckpt", type=str, default=None)
    arguments = parser.parse_args()
    assert arguments.ckpt in (None, "x.pt")
    task.get_logger().report_scalar("val", "score", sum(arguments.hidden), 0)
"""
KINDS = {
    "hydra": (
        HYDRA,
        {
            "Hydra/model.units": "{type: int, low: 4, high: 32}",
            "Hydra/model.act": "{type: categorical, choices: [relu, gelu]}",
            "Hydra/opt.lr": "{type: float, low: 0.01, high: 1}",
        },
        {"Hydra/model.units": "32", "Hydra/model.act": "relu", "Hydra/opt.lr": "0.01"},
    ),
    "configuration": (
        CONFIGURATION,
        {
            "config:train cfg/model.layers.0.units": "{type: int, low: 1, high: 32}",
            "config:train cfg/optim.lr": "{type: float, low: 1e-4, high: 1e-2, log: true}",
            "config:Model/sub.rate": "{type: float, low: 0.1, high: 0.9}",
            "config:Model/sub.on": "{type: categorical, choices: [true, false]}",
        },
        {"config:train cfg/model.layers.0.units": "32", "config:train cfg/optim.lr": "0.001"},
    ),
    "argparse": (
        ARGPARSE,
        {
            "Args/hidden": '{type: categorical, choices: ["[20, 12]", "[16]", "[1, 2]"]}',
            "Args/ckpt": "{type: categorical, choices: [null, x.pt]}",
        },
        {"Args/hidden": "'[20, 12]'"},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_trial_is_the_baseline_with_the_values_of_the_script(machine, tmp_path, kind):
    """No other trial has a larger value, so a trial that does not get its values is seen, too."""
    if kind == "hydra":
        pytest.importorskip(kind)
    script, space, best = KINDS[kind]
    (tmp_path / "train.py").write_text(textwrap.dedent(script))
    study = {
        "study": f"scripts {kind}",
        "project": "tests/scripts",
        "template": "{script: train.py}",
        "search_space": "".join(f"\n  {name!r}: {values}" for name, values in space.items()),
        "objective": "{metric: val/score, direction: maximize}",
        "sampler": "{name: random, seed: 1}",
        "budget": "{trials: 3}",
    }
    path = tmp_path / "study.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in study.items()))
    code, output = machine.run("run", str(path), "--local", "--cpu", "1")
    assert code == 0 and "outside the search space" not in output, output
    assert "best: trial 0, val/score = 32" in output, output
    shown = dict(re.findall(r"^  (\S.*): (.*)$", output, re.MULTILINE))
    assert {name: shown.get(name) for name in best} == best, output
    scores = re.findall(r"trial \d completed, val/score (\S+?),? ", output)
    assert len(scores) == 3 and len(set(scores)) > 1, output
