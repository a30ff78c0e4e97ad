"""Templates are scripts, not modules of a package: they are imported by their path."""

import importlib.util
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


class Recorder:
    """Stands in for ``clearml.Logger``: keeps what a training reports."""

    def __init__(self):
        self.curves = defaultdict(dict)
        self.singles = {}

    def report_scalar(self, title, series, value, iteration):
        self.curves[f"{title}/{series}"][iteration] = value

    def report_single_value(self, name, value):
        self.singles[name] = value


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def catboost_train() -> ModuleType:
    """The script ``templates/catboost_train.py`` as a module."""
    spec = importlib.util.spec_from_file_location("catboost_train", ROOT / "templates" / "catboost_train.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
