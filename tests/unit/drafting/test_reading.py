"""What is read of a script, without running it: names as ClearML's SDK gives them, types, defaults."""

from __future__ import annotations

import textwrap

import pytest

from clearml_hpo.drafting.script import read_script

SNIPPETS = {
    "argparse": (
        """
        import argparse
        parser = argparse.ArgumentParser()
        group = parser.add_argument_group("model")
        group.add_argument("-n", "--n-estimators", type=int, default=50)
        parser.add_argument("--lr", type=float, default=1e-3)
        parser.add_argument("--amp", action="store_true")
        parser.add_argument("--norm", action=argparse.BooleanOptionalAction, default=True)
        parser.add_argument("--act", choices=["relu", "tanh"], default="relu")
        parser.add_argument("--hidden", type=int, nargs="+", default=[64, 32])
        parser.add_argument("--wd", dest="weight_decay", type=float, default=None)
        parser.add_argument("--data", required=True)
        parser.add_argument("folder")
        parser.set_defaults(lr=0.5)
        """,
        {
            "Args/n_estimators": ("int", 50),
            "Args/lr": ("float", 0.5),
            "Args/amp": ("bool", False),
            "Args/norm": ("bool", True),
            "Args/act": ("str", "relu"),
            "Args/hidden": ("list", [64, 32]),
            "Args/weight_decay": ("float", None),
            "Args/data": ("str", None),
            "Args/folder": ("str", None),
        },
    ),
    "parsed and connected again": (
        """
        import argparse
        from clearml import Task
        task = Task.init()
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr", type=float, default=0.1)
        args = parser.parse_args()
        task.connect(vars(args), name="Options")
        """,
        {"Args/lr": ("float", 0.1), "Options/lr": ("float", 0.1)},
    ),
    "click": (
        """
        import click
        @click.command()
        @click.option("--learning-rate", "-l", default=0.1)
        @click.option("--opt", type=click.Choice(["sgd", "adam"]), default="sgd")
        @click.option("--amp/--no-amp", default=False)
        @click.option("--depth", type=click.IntRange(1, 9), default=3)
        @click.option("--layers", multiple=True, type=int, default=[1, 2])
        @click.option("--seed", "random_seed", type=int, default=0)
        def main(**options): ...
        """,
        {
            "Args/random_seed": ("int", 0),
            "Args/layers": ("list", [1, 2]),
            "Args/depth": ("int", 3),
            "Args/amp": ("bool", False),
            "Args/opt": ("str", "sgd"),
            "Args/learning_rate": ("float", 0.1),
        },
    ),
    "typer": (
        """
        from enum import Enum
        from typing import Annotated
        import typer
        class Kind(str, Enum):
            A = "a"
            B = "b"
        app = typer.Typer()
        @app.command()
        def main(
            lr: float = 0.1,
            depth: int = typer.Option(3, min=1, max=8),
            rate: Annotated[float, typer.Option("--drop-rate")] = 0.5,
            kind: Kind = Kind.A,
        ): ...
        app()
        """,
        {"Args/lr": ("float", 0.1), "Args/depth": ("int", 3), "Args/rate": ("float", 0.5), "Args/kind": ("str", "a")},
    ),
    "fire": (
        """
        import fire
        def train(lr: float = 0.1, depth=3, *, name="x"): ...
        fire.Fire(train)
        """,
        {"Args/lr": ("float", 0.1), "Args/depth": ("int", 3), "Args/name": ("str", "x")},
    ),
    "jsonargparse": (
        """
        from dataclasses import dataclass
        from jsonargparse import CLI
        @dataclass
        class Optimizer:
            lr: float = 0.1
            name: str = "sgd"
        def main(optimizer: Optimizer = Optimizer(), depth: int | None = 3): ...
        CLI(main)
        """,
        {"Args/optimizer.lr": ("float", 0.1), "Args/optimizer.name": ("str", "sgd"), "Args/depth": ("int", 3)},
    ),
    "jsonargparse, nested by hand": (
        """
        import jsonargparse
        class Model:
            def __init__(self, units: int = 32, rate: float = 0.5): ...
        parser = jsonargparse.ArgumentParser()
        parser.add_argument("--opt.lr", type=float, default=0.1)
        parser.add_class_arguments(Model, "model")
        """,
        {"Args/opt.lr": ("float", 0.1), "Args/model.units": ("int", 32), "Args/model.rate": ("float", 0.5)},
    ),
    "dataclasses that a parser takes": (
        """
        from dataclasses import dataclass, field
        from transformers import HfArgumentParser
        @dataclass
        class ModelArguments:
            name: str = field(metadata={"help": "required"})
            dropout: float = field(default=0.1)
            sizes: list[int] = field(default_factory=lambda: [8, 4])
        @dataclass
        class More(ModelArguments):
            warmup: int = 3
        model, = HfArgumentParser((More,)).parse_args_into_dataclasses()
        """,
        {
            "Args/name": ("str", None),
            "Args/dropout": ("float", 0.1),
            "Args/sizes": ("list", [8, 4]),
            "Args/warmup": ("int", 3),
        },
    ),
    "dictionaries in sections": (
        """
        from clearml import Task
        BASE = {"lr": 1e-3 / 2, "model": {"alpha": 0.5, "units": 2 ** 5}}
        task = Task.init()
        params = dict(BASE, epochs=3)
        params = task.connect(params)
        task.connect({"momentum": -0.9}, name="Optimizer")
        """,
        {
            "General/lr": ("float", 0.0005),
            "General/model/alpha": ("float", 0.5),
            "General/model/units": ("int", 32),
            "General/epochs": ("int", 3),
            "Optimizer/momentum": ("float", -0.9),
        },
    ),
    "classes and objects": (
        """
        from dataclasses import dataclass
        from enum import Enum
        from clearml import Task
        @dataclass
        class Config:
            width: int = 8
            name: str = "x"
        class Model:
            def __init__(self):
                self.alpha = 0.1
        class Kind(Enum):
            FIRST = 1
            SECOND = 2
        class Plain(str, Enum):
            X = "x"
        class Constants:
            beta = 0.2
            kind = Kind.SECOND
            plain = Plain.X
            _hidden = 1
        task = Task.init()
        task.connect(Config(width=9), name="Config")
        task.connect(Model(), name="Model")
        task.connect(Constants, name="Constants")
        task.connect({"kind": Kind.SECOND})
        """,
        {
            "Config/width": ("int", 9),
            "Config/name": ("str", "x"),
            "Model/alpha": ("float", 0.1),
            "Constants/beta": ("float", 0.2),
            "Constants/plain": ("str", "X"),
            "General/kind": ("str", "SECOND"),
        },
    ),
    "configuration objects": (
        """
        from clearml import Task
        task = Task.init()
        task.connect_configuration({"sub": {"rate": 0.5, "on": True}}, name="Model")
        """,
        {"config:Model/sub.rate": ("float", 0.5), "config:Model/sub.on": ("bool", True)},
    ),
    "hydra's store": (
        """
        import hydra
        from dataclasses import dataclass, field
        from hydra.core.config_store import ConfigStore
        @dataclass
        class Opt:
            lr: float = 0.1
        @dataclass
        class Config:
            opt: Opt = field(default_factory=Opt)
            units: int = 32
        ConfigStore.instance().store(name="config", node=Config)
        @hydra.main(version_base=None, config_path=None, config_name="config")
        def main(config): ...
        """,
        {"Hydra/opt.lr": ("float", 0.1), "Hydra/units": ("int", 32)},
    ),
    "another library's connect": ("import sqlite3\nsqlite3.connect('x.db')\n", {}),
}


def read(folder, text, name="train.py", **files):
    for path, content in {name: text, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(textwrap.dedent(content))
    return read_script(folder / name)


@pytest.mark.parametrize("kind", SNIPPETS)
def test_hyperparameters_have_the_names_that_the_sdk_gives_them(tmp_path, kind):
    text, expected = SNIPPETS[kind]
    findings = read(tmp_path, text)
    assert {found.name: (found.kind, found.default) for found in findings.parameters} == expected
    assert findings.gaps == ()


def test_choices_and_bounds_of_the_script_are_known(tmp_path):
    found = {one.bare: one for one in read(tmp_path, SNIPPETS["click"][0]).parameters}
    assert found["opt"].choices == ("sgd", "adam")
    assert (found["depth"].low, found["depth"].high) == (1, 9)


def test_required_arguments_are_known_with_their_options(tmp_path):
    findings = read(tmp_path, SNIPPETS["argparse"][0])
    assert [(one.bare, one.flag) for one in findings.parameters if one.is_required] == [
        ("data", "--data"),
        ("folder", ""),
    ]


def test_modules_beside_the_script_are_read_too(tmp_path):
    options = """
        import argparse
        DEPTH = 3
        def get_parser():
            parser = argparse.ArgumentParser()
            parser.add_argument("--depth", type=int, default=DEPTH)
            return parser
    """
    text = """
        from options import get_parser
        from settings import DEFAULTS
        from clearml import Task
        Task.init().connect(DEFAULTS)
        get_parser().parse_args()
    """
    findings = read(tmp_path, text, **{"options.py": options, "settings.py": "DEFAULTS = {'lr': 0.1}\n"})
    assert {found.name: found.default for found in findings.parameters} == {"Args/depth": 3, "General/lr": 0.1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("for name in names: parser.add_argument(name)", "train.py:1: options whose names the script computes"),
        ("task.connect(load())", "train.py:1: what task.connect(load()) holds"),
        ("parser.add_subparsers()", "train.py:1: the script has subcommands"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, said):
    assert said in read(tmp_path, text).gaps[0]


def test_reports_whose_names_are_computed_are_named(tmp_path):
    assert read(tmp_path, "logger.report_scalar(title, series, 1, 2)").unnamed == (
        "train.py:1: the names of what it reports",
    )


def test_hydra_composes_its_folder_of_configurations(tmp_path):
    script = """
        import hydra
        @hydra.main(version_base=None, config_path="conf", config_name="config")
        def main(config): ...
    """
    conf = {
        "conf/config.yaml": "defaults: [_self_, {model: mlp}, {optim: adam}]\nseed: 0\n",
        "conf/model/mlp.yaml": "units: 32\n",
        "conf/model/cnn.yaml": "filters: 8\n",
        "conf/optim/adam.yaml": "# @package _global_\nopt:\n  lr: 0.01\n  name: ${model.units}\n",
    }
    found = {one.name: one for one in read(tmp_path, script, **conf).parameters}
    assert {name: one.default for name, one in found.items()} == {
        "Hydra/model": "mlp",
        "Hydra/seed": 0,
        "Hydra/model.units": 32,
        "Hydra/opt.lr": 0.01,
    }
    assert found["Hydra/model"].choices == ("cnn", "mlp")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("logger.report_scalar('validation', 'loss', 0.1, 3)", ["validation/loss"]),
        ("logger.report_scalar(title='train', series='acc', value=1, iteration=0)", ["train/acc"]),
        ("logger.report_single_value('auc', 0.9)", ["Summary/auc"]),
        ("writer.add_scalar('loss/val', 1, 2)", ["loss/val"]),
        ("writer.add_scalar('a/b/c', 1, 2)", ["a_b/c"]),
        ("writer.add_scalar('loss', 1, 2)", ["loss/loss"]),
        ("import tensorflow as tf\ntf.summary.scalar('val/acc', 1)", ["val/acc"]),
        ("import lightning as L\nclass M:\n  def step(self):\n    self.log('val_loss', 1)", ["val_loss/val_loss"]),
        (
            "logger.report_scalar('train', 'loss', 1, 0)\nlogger.report_scalar('test', 'loss', 1, 0)\n"
            "logger.report_scalar('val', 'loss', 1, 0)",
            ["val/loss", "test/loss", "train/loss"],
        ),
        (
            "import xgboost\nmodel = xgboost.XGBClassifier(eval_metric='auc')\nmodel.fit(x, y, eval_set=[(x, y)])",
            ["validation_0/auc"],
        ),
    ],
)
def test_scalars_that_the_script_reports(tmp_path, text, names):
    assert [metric.name for metric in read(tmp_path, text).metrics] == names


@pytest.mark.parametrize("tag", ["loss", "loss/val", "a/b/c", "a b/c_d"])
def test_a_tag_becomes_the_scalar_that_the_sdk_makes_of_it(tag, tmp_path):
    from clearml.binding.frameworks.tensorflow_bind import EventTrainsWriter

    writer = EventTrainsWriter(None, str(tmp_path))
    title, series = writer.tag_splitter(tag, num_split_parts=1, default_title=tag, logdir_header="series_last")
    found = read(tmp_path, f"writer.add_scalar({tag!r}, 1, 2)").metrics
    assert [metric.name for metric in found] == [f"{title}/{series}"]


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("validation/loss", "minimize"),
        ("loss/val", "minimize"),
        ("val/accuracy", "maximize"),
        ("Summary/auc", "maximize"),
        ("test/rmse", "minimize"),
        ("val/f1", "maximize"),
        ("validation/logloss", "minimize"),
        ("x/y", ""),
    ],
)
def test_the_name_of_a_scalar_says_which_values_are_better(name, direction):
    from clearml_hpo.drafting.metrics import metric

    assert metric(name).direction == direction


def test_a_script_without_a_task_must_change(tmp_path):
    (said,) = read(tmp_path, "x = 1\n").before
    assert "train.py: it never calls Task.init: add" in said
