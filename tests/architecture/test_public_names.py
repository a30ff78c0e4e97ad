"""What the package promises to others."""

from __future__ import annotations

import importlib
import inspect

import pytest

import clearml_hpo

PACKAGES = [
    "clearml_hpo",
    "clearml_hpo.executors",
    "clearml_hpo.report",
    "clearml_hpo.search.space",
    "clearml_hpo.study_file",
    "clearml_hpo.testing",
]


def test_the_public_names():
    assert clearml_hpo.__all__ == [
        "ApiError",
        "ClearmlHpoError",
        "InputError",
        "OptunaStrategy",
        "RemoteStudy",
        "Study",
        "StudyOptimizer",
        "Trial",
        "optimize",
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_documented(package):
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert inspect.getdoc(getattr(module, name)), name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = clearml_hpo.nope
