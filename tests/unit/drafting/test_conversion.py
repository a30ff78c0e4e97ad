"""Sweeps of W&B and search spaces of Ray Tune, as study files."""

from __future__ import annotations

import textwrap

import pytest
import yaml
from click.testing import CliRunner

from clearml_hpo.cli import main
from clearml_hpo.core.errors import InputError
from clearml_hpo.drafting.ray_tune import read_ray_tune
from clearml_hpo.drafting.sweep import read_sweep

TRAIN = """
import argparse
from clearml import Task
parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--learning-rate", type=float, default=0.1)
parser.add_argument("--batch_size", type=int, default=32)
parser.add_argument("--optimizer", default="adam")
parser.add_argument("--epochs", type=int, default=3)
task = Task.init("demo", "train")
parser.parse_args()
task.connect({"head": {"dropout": 0.1}})
task.get_logger().report_scalar("validation", "loss", 1, 0)
"""
SWEEP = """
program: train.py
name: first-sweep
project: vision
entity: a-team
method: bayes
metric: {name: val_loss, goal: minimize}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 0.1}
  batch_size: {distribution: q_log_uniform_values, q: 8, min: 16, max: 256}
  optimizer: {values: [adam, sgd]}
  epochs: {value: 10}
  head:
    parameters:
      dropout: {min: 0.0, max: 0.5}
command:
  - ${env}
  - ${interpreter}
  - ${program}
  - "--data"
  - x.csv
  - ${args}
early_terminate: {type: hyperband, min_iter: 3, eta: 2, s: 2}
run_cap: 40
"""
TUNE = """
from ray import tune
from ray.tune.schedulers import ASHAScheduler

space = {
    "learning_rate": tune.loguniform(1e-4, 1e-1),
    "batch_size": tune.choice([16, 32]),
    "head": {"dropout": tune.quniform(0.0, 0.5, 0.1)},
    "epochs": 10,
    "scaled": tune.sample_from(lambda spec: spec.config.learning_rate * 2),
}
tuner = tune.Tuner(
    train,
    param_space=space,
    tune_config=tune.TuneConfig(
        metric="validation/loss", mode="min", num_samples=25, scheduler=ASHAScheduler(grace_period=2, max_t=50)
    ),
)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "tune_it.py").write_text(TUNE)
    return tmp_path


def convert(*arguments):
    return CliRunner().invoke(main, ["convert", *arguments], env={"CLEARML_HPO_HOME": "/nonexistent"})


def test_a_sweep_becomes_a_study_that_check_accepts(folder):
    result = convert("sweep.yaml")
    assert result.exit_code == 0, result.output
    assert yaml.safe_load((folder / "study.yaml").read_text()) == {
        "study": "first-sweep",
        "project": "vision",
        "template": {"script": "train.py", "arguments": ["--data", "x.csv"]},
        "search_space": {
            "Args/learning_rate": {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
            "Args/batch_size": {"type": "int", "low": 16, "high": 256, "log": True},
            "Args/optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
            "Args/epochs": 10,
            "General/head/dropout": {"type": "float", "low": 0.0, "high": 0.5},
        },
        "objective": {"metric": "validation/loss", "direction": "minimize", "value": "last"},
        "budget": {"trials": 40},
        "sampler": "auto",
        "pruner": {"name": "hyperband", "options": {"min_resource": 3, "reduction_factor": 2}},
        "execution": {"queue": "default"},
    }
    for line in (
        "learning_rate is Args/learning_rate in the script",
        "val_loss is validation/loss in the script",
        "not converted: batch_size: rounding to 8 on a logarithmic scale is left out",
        "not converted: early_terminate.s: 2",
        "not converted: entity: a-team",
        "next: clearml-hpo run study.yaml --local",
    ):
        assert line in result.output


def test_a_space_of_ray_tune_becomes_a_study_that_check_accepts(folder):
    result = convert("tune_it.py", "--script", "train.py")
    assert result.exit_code == 0, result.output
    study = yaml.safe_load((folder / "study.yaml").read_text())
    assert study["search_space"] == {
        "Args/learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
        "Args/batch_size": {"type": "categorical", "choices": [16, 32]},
        "General/head/dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
        "Args/epochs": 10,
    }
    assert study["objective"] == {"metric": "validation/loss", "direction": "minimize", "value": "last"}
    assert study["pruner"] == {"name": "successive_halving", "options": {"min_resource": 2}}
    assert study["budget"] == {"trials": 25}
    assert "not converted: scaled: tune.sample_from(lambda spec" in result.output
    assert "not converted: ASHAScheduler: max_t=50" in result.output


def test_without_the_script_the_file_says_what_to_fill_in(folder):
    (folder / "train.py").unlink()
    result = convert("sweep.yaml")
    assert result.exit_code == 2
    assert "before the first run: template.script: there is no" in result.output
    assert "before the first run: objective.metric: W&B calls it 'val_loss'" in result.output
    study = yaml.safe_load((folder / "study.yaml").read_text())
    assert "General/head/dropout" in study["search_space"]
    assert convert("sweep.yaml").exit_code == 2 and "is there already" in convert("sweep.yaml").output


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{min: 1, max: 8}", {"type": "int", "low": 1, "high": 8}),
        ("{min: 0.1, max: 0.9}", {"type": "float", "low": 0.1, "high": 0.9}),
        ("{distribution: q_uniform, min: 3, max: 20, q: 5}", {"type": "int", "low": 5, "high": 20, "step": 5}),
        (
            "{distribution: q_uniform, min: 0, max: 0.35, q: 0.1}",
            {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1},
        ),
        (
            "{distribution: log_uniform, min: 0, max: 2}",
            {"type": "float", "low": 1.0, "high": 7.38905609893, "log": True},
        ),
        (
            "{distribution: inv_log_uniform_values, min: 1, max: 2}",
            {"type": "float", "low": 1.0, "high": 2.0, "log": True},
        ),
        ("{distribution: q_log_uniform_values, min: 4, max: 64}", {"type": "int", "low": 4, "high": 64, "log": True}),
        (
            "{values: [[64, 32], [128], null, 1, true]}",
            {"type": "categorical", "choices": ["[64, 32]", "[128]", None, 1, True]},
        ),
        ("{value: 3}", 3),
        ("{distribution: normal, mu: 0, sigma: 1}", "x: normal has no bounds: give it low and high"),
        ("{distribution: uniform, min: 1}", "x: uniform lacks, or has a wrong: 'max'"),
        ("{distribution: log_uniform_values, min: 0, max: 1}", "x: no value is in 0 .. 1 on a logarithmic scale"),
        (
            "{values: [1, 2], probabilities: [0.1, 0.9]}",
            "x: the probabilities of its values; all are drawn alike at first",
        ),
    ],
)
def test_each_distribution_of_a_sweep(tmp_path, given, expected):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"method: random\nparameters:\n  x: {given}\n")
    found = read_sweep(path)
    assert (found.left_out[0] if isinstance(expected, str) else found.space["x"]) == expected


def test_a_sweep_in_python(folder):
    text = """
        import wandb
        LOW = 1e-4
        sweep_configuration = {
            "method": "random",
            "metric": {"goal": "maximize", "name": "validation/loss"},
            "parameters": {"learning_rate": {"max": 0.1, "min": LOW}, "batch_size": {"values": [16, 32]}},
        }
        sweep_id = wandb.sweep(sweep=sweep_configuration, project="my-first-sweep")
    """
    (folder / "sweep.py").write_text(textwrap.dedent(text))
    result = convert("sweep.py", "--script", "train.py")
    assert result.exit_code == 0, result.output
    study = yaml.safe_load((folder / "study.yaml").read_text())
    assert study["project"] == "my-first-sweep" and study["sampler"] == "random"
    assert study["objective"]["direction"] == "maximize"
    assert study["search_space"]["Args/learning_rate"] == {"type": "float", "low": 1e-4, "high": 0.1}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("tune.uniform(0.1, 0.9)", {"type": "float", "low": 0.1, "high": 0.9}),
        ("tune.uniform(lower=0.1, upper=0.9)", {"type": "float", "low": 0.1, "high": 0.9}),
        ("tune.randint(1, 9)", {"type": "int", "low": 1, "high": 8}),
        ("tune.qrandint(1, 9, 2)", {"type": "int", "low": 2, "high": 8, "step": 2}),
        ("tune.lograndint(1, 9)", {"type": "int", "low": 1, "high": 8, "log": True}),
        ("tune.qlograndint(1, 9, 1)", {"type": "int", "low": 1, "high": 9, "log": True}),
        ("tune.grid_search(['a', 'b'])", {"type": "categorical", "choices": ["a", "b"]}),
        ("tune.choice([(1, 2), None])", {"type": "categorical", "choices": ["[1, 2]", None]}),
        ("2 * 8", 16),
        ("tune.randn(0, 1)", "x: tune.randn(0, 1) (line 2)"),
        ("tune.choice(SIZES())", "x: tune.choice(SIZES()) (line 2)"),
        ("load()", "x: load() (line 2)"),
    ],
)
def test_each_function_of_ray_tune(tmp_path, given, expected):
    path = tmp_path / "tune_it.py"
    path.write_text(f"from ray import tune\nspace = {{'x': {given}, 'y': tune.uniform(0, 1)}}\n")
    found = read_ray_tune(path)
    assert (found.left_out[0] if isinstance(expected, str) else found.space["x"]) == expected


@pytest.mark.parametrize(("command", "template"), [
    ("[torchrun, --nproc-per-node, 2, '${program}', '${args}']", {"launcher": "torchrun --nproc-per-node 2"}),
    ("['${env}', python, '${program}', '${args}', --fast]", {"arguments": ["--fast"]}),
])  # fmt: skip
def test_the_command_of_a_sweep_is_how_the_script_starts(tmp_path, command, template):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"method: grid\nparameters: {{x: {{value: 1}}}}\ncommand: {command}\n")
    assert read_sweep(path).template == template


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.yaml", "a: 1", "no sweep of W&B"),
        ("x.yaml", "a: [", "x.yaml:1: not YAML"),
        ("x.py", "a = {'b': 1}", "no search space of Ray Tune"),
        ("x.py", "a = (", "x.py:1: not Python"),
    ],
)
def test_what_is_no_file_of_theirs_is_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(textwrap.dedent(text))
    with pytest.raises(InputError, match=said):
        (read_ray_tune if name.endswith(".py") else read_sweep)(tmp_path / name)
