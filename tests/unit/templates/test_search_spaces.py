"""Every file of search_spaces/ fits its template: names, types, defaults, and fifty draws of each train."""

from __future__ import annotations

import ast
import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from optuna.samplers import RandomSampler

from clearml_hpo.backend.template import Template, faults_of_space
from clearml_hpo.controller.first_points import good_points
from clearml_hpo.core.values import as_text
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.space import Categorical, Float, Int
from clearml_hpo.study_file import load_study

from .conftest import NAMES, ROOT, load

SIZES = ("small", "default", "wide")
SPACES = [f"{library}/{size}" for library in NAMES for size in SIZES]
# Parameters whose default, 0, has no place on a logarithmic scale
WITHOUT_DEFAULT = {"xgboost/wide": {"reg_alpha"}, "lightgbm/wide": {"lambda_l1", "lambda_l2"}}
STUDY = """
study: draws
template: {{script: {root}/templates/{library}_train.py}}
search_space: {root}/search_spaces/{name}.yaml
objective: {{metric: validation/logloss, direction: minimize}}
budget: {{trials: 50}}
"""


def parameters_of(library):
    """PARAMETERS of a template, read without importing it."""
    tree = ast.parse((ROOT / "templates" / f"{library}_train.py").read_text())
    found = [n for n in tree.body if isinstance(n, ast.AnnAssign) and getattr(n.target, "id", "") == "PARAMETERS"]
    return ast.literal_eval(found[0].value)


def template_of(library):
    entries = {
        name: {"section": "General", "name": name, "value": as_text(value), "type": type(value).__name__}
        for name, value in parameters_of(library).items()
    }
    return Template("id", f"{library}_train", "project", {"General": entries})


def study_of(name, folder):
    """A study of that space."""
    file = folder / "study.yaml"
    file.write_text(STUDY.format(root=ROOT, name=name, library=name.partition("/")[0]))
    return load_study(file)


@pytest.fixture
def space(request, tmp_path):
    return study_of(request.param, tmp_path).space


every_space = pytest.mark.parametrize(("name", "space"), [(name, name) for name in SPACES], indirect=["space"])


@every_space
def test_every_name_is_a_parameter_of_the_template_and_has_its_type(name, space):
    assert faults_of_space(template_of(name.partition("/")[0]), space) == []


@every_space
def test_the_defaults_are_a_point_of_the_space(name, space):
    params = space.parse(template_of(name.partition("/")[0]).params)
    outside = {n.removeprefix("General/") for n, value in params.items() if not space.distributions[n].contains(value)}
    assert outside == WITHOUT_DEFAULT.get(name, set())
    assert space.contains(params) is not bool(outside)


@pytest.mark.parametrize("name", SPACES)
def test_known_good_points_are_points_of_the_space(name, tmp_path):
    file = study_of(name, tmp_path)
    template = template_of(name.partition("/")[0])
    found = good_points(file, {"": template})
    own = file.space.parse(template.params)
    assert found.others == () and own not in found.fitting
    assert len({frozenset(point.items()) for point in found.fitting}) == len(found.fitting) <= 5


@pytest.mark.parametrize("library", NAMES)
def test_each_space_has_what_the_smaller_one_has_and_no_narrower(library, tmp_path):
    spaces = [study_of(f"{library}/{size}", tmp_path).space for size in SIZES]
    unlike = {f"General/{name}" for name in WITHOUT_DEFAULT.get(f"{library}/wide", ())}
    for smaller, larger in itertools.pairwise(spaces):
        for name, parameter in smaller.distributions.items():
            if larger is spaces[-1] and name in unlike:
                continue
            wider = larger.distributions[name]
            if isinstance(parameter, Categorical):
                assert {*parameter.choices} <= {*wider.choices}, name
            else:
                assert isinstance(wider, Int | Float) and wider.low <= parameter.low, name
                assert parameter.high <= wider.high, name


@pytest.fixture(scope="module")
def table_file(tmp_path_factory):
    """A small table with a categorical column and gaps, as the templates take it."""
    generator = np.random.default_rng(0)
    numbers = pd.DataFrame(generator.normal(size=(160, 4)), columns=list("abcd")).round(3)
    numbers.loc[::11, "b"] = None
    colour = generator.choice(["red", "green", "blue"], size=160)
    target = np.where(numbers["a"] + (colour == "red") + generator.normal(size=160) > 0.3, "yes", "no")
    file = tmp_path_factory.mktemp("table") / "table.csv"
    numbers.assign(colour=colour, target=target).to_csv(file, index=False)
    return file


@pytest.mark.long
@every_space
def test_fifty_draws_train(name, space, table_file, recorder):
    module = load(name.partition("/")[0])
    study = OptunaStudy(space, ["minimize"], sampler=RandomSampler(seed=7))
    fixed = {"data": str(table_file), "iterations": 3, "thread_count": 1, "device": "cpu"}
    if name == "xgboost/wide":  # gblinear takes no categories
        fixed["ignored_columns"] = "colour"
    for number in range(50):
        drawn = space.hyperparameters(study.ask(number))
        given = {n.removeprefix("General/"): value for n, value in drawn.items()}
        params = module.typed({n: v for n, v in fixed.items() if n in module.PARAMETERS} | given)
        if number == 0:
            table = module.load_table(params)
            splits = module.split_rows(table, params)
            metrics = module.chosen_metrics("auto", table.problem)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # three iterations are too few for convergence
            fits, outcomes = module.train_all(table, splits, params, metrics, recorder)
        assert len(fits) == 1 and outcomes[0], given
