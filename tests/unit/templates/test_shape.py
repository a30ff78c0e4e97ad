"""The templates have one shape: a difference between two of them is one between their libraries."""

import ast
from pathlib import Path

import pytest

from tests.unit.templates.conftest import NAMES, ROOT, load

# What is a library's own; everything else that has one name is one text.
OWN = {
    *("own_metric", "choose_device", "visible_gpus", "Follower", "_key", "plain_names", "device_of"),
    *("settings_of", "fit"),
}
OF_THE_DATA = "thread_count"  # parameters from the first on to this one
NOT_EVERYWHERE = {"loss", "device", "gpu_devices", "gpu_ram_part"}


def _source(name):
    return (ROOT / "templates" / f"{name}_train.py").read_text()


def _definitions(name):
    source = _source(name)
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return {node.name: ast.get_source_segment(source, node) for node in found}


def _sections(name):
    return [line.strip("# -") for line in _source(name).splitlines() if line.startswith("# ---")]


@pytest.mark.parametrize("name", NAMES[1:])
def test_what_has_the_same_name_in_two_templates_is_the_same(name):
    first, other = _definitions("catboost"), _definitions(name)
    shared = first.keys() & other.keys() - OWN
    assert len(shared) >= 50
    assert {each for each in shared if first[each] != other[each]} == set()
    assert [each for each in first if each in shared] == [each for each in other if each in shared]


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_sections_are_the_same(name):
    libraries = {"CatBoost", "XGBoost", "LightGBM", "scikit-learn"}

    def plain(section):
        return " ".join("library" if word in libraries else word for word in section.split())

    assert [plain(each) for each in _sections(name)] == [plain(each) for each in _sections("catboost")]


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_parameters_of_data_and_training_are_the_same(name):
    first, other = load("catboost").PARAMETERS, load(name).PARAMETERS

    def common(parameters):
        names = list(parameters)[: list(parameters).index(OF_THE_DATA) + 1]
        return [(each, parameters[each]) for each in names if each not in NOT_EVERYWHERE]

    assert common(first) == common(other)
    assert len(common(first)) > 20


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_tables_are_the_same(name):
    first, other = load("catboost"), load(name)
    for table in ("BUNDLED", "BUNDLED_FILES", "FILE_TYPES", "ROLES", "MOST_CLASSES", "MOST_FEATURES", "CLASS_WEIGHTS"):
        assert getattr(first, table) == getattr(other, table), table
    for problem in other.METRICS:
        assert first.SCORERS[problem] == other.SCORERS[problem]
        assert first.DEFAULT_METRICS[problem] == other.DEFAULT_METRICS[problem]


@pytest.mark.parametrize("name", NAMES)
def test_every_default_has_a_type_that_survives_the_way_over_the_server(name):
    for parameter, default in load(name).PARAMETERS.items():
        assert type(default) in (bool, int, float, str), parameter


@pytest.mark.parametrize("name", NAMES)
def test_a_template_imports_nothing_of_this_project(name):
    imported = {
        part.split(".")[0]
        for node in ast.walk(ast.parse(_source(name)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for part in ([node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    own = {path.stem for path in Path(ROOT).iterdir() if path.is_dir()} | {f"{each}_train" for each in NAMES}
    assert imported & own == set()
