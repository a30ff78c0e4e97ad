"""Near misses of names, each with what is meant."""

from __future__ import annotations

import pytest

from clearml_hpo.core.near_names import near_metric, near_parameter

PARAMETERS = [
    "Args/n_estimators",
    "Args/lr",
    "General/model/alpha",
    "General/sl/ash",
    "Hydra/opt.momentum",
    "config:Model/sub.rate",
    "Optimizer/beta",
]
METRICS = ["validation/loss", "train/loss", "Summary/auc", "val_acc/val_acc", ":monitor:machine/cpu_usage"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("General/--n-estimators", "Args/n_estimators"),
        ("General/n-estimators", "Args/n_estimators"),
        ("Args/n-estimators", "Args/n_estimators"),
        ("General/n_estimators", "Args/n_estimators"),
        ("General/n_estimator", "Args/n_estimators"),
        ("General/lr", "Args/lr"),
        ("General/alpha", "General/model/alpha"),
        ("model/alpha", "General/model/alpha"),
        ("General/model.alpha", "General/model/alpha"),
        ("sl/ash", "General/sl/ash"),
        ("General/opt.momentum", "Hydra/opt.momentum"),
        ("Hydra/opt/momentum", "Hydra/opt.momentum"),
        ("Model/sub.rate", "config:Model/sub.rate"),
        ("General/Beta", "Optimizer/beta"),
    ],
)
def test_the_parameter_that_is_meant(given, meant):
    assert near_parameter(given, PARAMETERS) == f"; did you mean {meant!r}?"


def test_several_parameters_may_be_meant():
    known = ["General/lr", "Optimizer/lr"]
    assert near_parameter("Args/lr", known) == "; did you mean 'General/lr' or 'Optimizer/lr'?"


@pytest.mark.parametrize("given", ["General/width", "Args/x"])
def test_no_parameter_is_near(given):
    assert near_parameter(given, PARAMETERS) == ""


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("valid/loss", "validation/loss"),
        ("loss/val", "validation/loss"),
        ("validation/los", "validation/loss"),
        ("training/loss", "train/loss"),
        ("auc/auc", "Summary/auc"),
        ("auc", "Summary/auc"),
        ("val/accuracy", "val_acc/val_acc"),
    ],
)
def test_the_scalar_that_is_meant(given, meant):
    assert near_metric(given, METRICS) == f"; did you mean {meant!r}?"


def test_what_the_sdk_reports_of_the_machine_is_no_objective():
    assert near_metric("monitor/cpu_usage", METRICS) == ""
