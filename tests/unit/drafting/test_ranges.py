"""Which ranges are proposed."""

from __future__ import annotations

import pytest
import yaml

from clearml_hpo.drafting.found import Found
from clearml_hpo.drafting.ranges import propose
from clearml_hpo.search.space import Categorical
from clearml_hpo.study_file import parse_study

VARIED = {
    "lr": (Found("Args/lr", "float", 0.001), {"type": "float", "low": 0.0001, "high": 0.01, "log": True}),
    "nested": (Found("Hydra/opt.lr", "float", 0.1), {"type": "float", "low": 0.01, "high": 1.0, "log": True}),
    "dropout": (Found("General/dropout", "float", 0.1), {"type": "float", "low": 0.0, "high": 0.5}),
    "wider": (Found("General/dropout", "float", 0.7), {"type": "float", "low": 0.0, "high": 0.7}),
    "batch": (Found("Args/batch_size", "int", 64), {"type": "categorical", "choices": [16, 32, 64, 128, 256]}),
    "odd batch": (Found("Args/batch_size", "int", 100), {"type": "categorical", "choices": [25, 50, 100, 200, 400]}),
    "switch": (Found("Args/norm", "bool", True), {"type": "categorical", "choices": [False, True]}),
    "choices": (Found("Args/o", "str", "a", ("a", "b")), {"type": "categorical", "choices": ["a", "b"]}),
    "bounds": (Found("Args/k", "int", 3, low=1, high=9), {"type": "int", "low": 1, "high": 9}),
    "int": (Found("Args/hidden", "int", 16), {"type": "int", "low": 4, "high": 64, "log": True}),
    "float": (Found("Args/scale", "float", 3.0), {"type": "float", "low": 0.3, "high": 30.0, "log": True}),
}
FIXED = {
    "seed": Found("Args/seed", "int", 0),
    "split seed": Found("General/split_seed", "int", 3),
    "epochs": Found("Args/epochs", "int", 10),
    "path": Found("Args/data_dir", "str", "data"),
    "workers": Found("Args/num_workers", "int", 4),
    "switch of the machine": Found("Args/cuda", "bool", False),
    "none": Found("General/x", "", None),
    "text": Found("General/x", "str", "a"),
    "list": Found("General/x", "list", [1, 2]),
    "zero": Found("General/x", "float", 0.0),
    "negative": Found("General/x", "float", -1.0),
    "infinite": Found("General/x", "float", float("inf")),
    "odd batch": Found("General/batch_size", "int", -1),
    "choices that are lists": Found("General/x", "list", [1], ([1], [2])),
    "required": Found("Args/lr", "float", None, is_required=True),
}


@pytest.mark.parametrize("case", VARIED)
def test_a_range_holds_the_script_s_own_value(case):
    found, definition = VARIED[case]
    proposed = propose(found)
    assert proposed.is_varied and proposed.definition == definition
    space = parse_study(yaml.safe_dump({"search_space": {"x": definition}, **REST}), "study").space
    parameter = space.all_parameters["General/x"]
    values = parameter.choices if isinstance(parameter, Categorical) else [parameter.low, parameter.high]
    assert found.default in values or values[0] <= found.default <= values[-1]


REST = {
    "study": "abc",
    "template": {"task": "x"},
    "objective": {"metric": "a/b", "direction": "minimize"},
    "budget": {"trials": 1},
}


@pytest.mark.parametrize("case", FIXED)
def test_what_is_no_hyperparameter_or_has_no_known_range_is_not_varied(case):
    proposed = propose(FIXED[case])
    assert not proposed.is_varied and proposed.why


def test_the_search_space_of_a_library_comes_first():
    found = Found("Args/learning_rate", "float", 0.1)
    assert propose(found, ["xgboost"]).definition == {"type": "float", "low": 0.01, "high": 0.3, "log": True}
    assert propose(found, ["xgboost"]).rank == 0
    assert propose(found).definition["high"] == 1.0
