"""A study of a training script, defined in Python: the keys of a study file as arguments."""

from __future__ import annotations

from pathlib import Path

from clearml_hpo import Study

study = Study.create(
    "python-script",
    template=Path(__file__).parents[1] / "05_own_script" / "train.py",
    search_space={
        "Args/lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
        "Args/hidden": {"type": "int", "low": 8, "high": 128, "log": True},
    },
    objective="validation/accuracy",
    direction="maximize",
    trials=6,
    project="clearml-hpo/examples",
)
study.run(local=True, cpu=2)
print(f"best: trial {study.best.number}, {study.best.values[0]:.3f}, {dict(study.best.params)}")
