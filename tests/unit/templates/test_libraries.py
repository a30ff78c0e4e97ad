"""What the other templates have to themselves: every booster, boosting and estimator trains."""

import io
import math

import joblib
import pandas as pd
import pytest

from tests.unit.templates.conftest import load


@pytest.fixture
def tell(tables):
    """What a library is told, on a CPU unless the device is given."""

    def told(module, target="two", **given):
        params = module.typed({"data": str(tables / "train.csv"), "target": target} | given)
        params["device"] = given.get("device", "cpu")
        table = module.load_table(params)
        return module.settings_of(params, table, module.chosen_metrics("auto", table.problem))

    return told


TREES, DART, LINEAR = {"max_depth", "gamma", "colsample_bynode"}, {"rate_drop", "skip_drop"}, {"updater", "top_k"}


@pytest.mark.parametrize(
    ("given", "there", "absent"),
    [
        ({}, {*TREES, "max_bin", "scale_pos_weight"}, DART | LINEAR),
        ({"booster": "dart"}, TREES | DART, LINEAR),
        ({"booster": "gblinear"}, LINEAR, {*TREES, *DART, "max_bin", "tree_method"}),
        ({"tree_method": "exact"}, TREES, {"max_bin", "grow_policy", "max_cat_to_onehot"}),
        ({"target": "three"}, {"num_class"}, {"scale_pos_weight"}),
    ],
)
def test_xgboost_is_told_what_applies(tell, given, there, absent):
    passed = tell(load("xgboost"), **given)
    assert there <= passed.keys()
    assert not absent & passed.keys()


@pytest.mark.parametrize(
    ("given", "there", "absent"),
    [
        ({}, {"bagging_fraction", "scale_pos_weight"}, {"top_rate", "drop_rate"}),
        ({"data_sample_strategy": "goss"}, {"top_rate"}, {"bagging_fraction", "bagging_freq"}),
        ({"boosting": "dart"}, {"drop_rate", "bagging_freq"}, {"top_rate"}),
        ({"boosting": "rf", "data_sample_strategy": "goss"}, {"bagging_freq"}, {"top_rate", "data_sample_strategy"}),
        ({"target": "three"}, {"num_class"}, {"scale_pos_weight"}),
    ],
)
def test_lightgbm_is_told_what_applies(tell, given, there, absent):
    passed = tell(load("lightgbm"), **given)
    assert there <= passed.keys()
    assert not absent & passed.keys()


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("xgboost", {"device": "gpu", "gpu_devices": "1"}, {"device": "cuda:1"}),
        ("xgboost", {"device": "gpu", "booster": "gblinear"}, {"device": "cpu"}),
        ("lightgbm", {"device": "gpu", "gpu_devices": "1"}, {"device_type": "gpu", "gpu_device_id": 1}),
        ("lightgbm", {"device": "cpu"}, {"device_type": "cpu"}),
    ],
)
def test_the_device_has_its_name(tell, name, given, told):
    assert told.items() <= tell(load(name), **given).items()


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_several_gpus_are_refused(tell, name):
    module = load(name)
    with pytest.raises(module.InputError, match="General/gpu_devices: '0,1' is not the number of one GPU"):
        tell(module, device="gpu", gpu_devices="0,1")


def test_xgboost_without_cuda_sees_no_gpu(monkeypatch):
    module = load("xgboost")
    monkeypatch.setattr(module.xgboost, "build_info", lambda: {"USE_CUDA": False})
    assert module.visible_gpus() == 0


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("xgboost", {"booster": "dart"}),
        ("xgboost", {"booster": "gblinear", "ignored": "colour"}),
        ("xgboost", {"booster": "gblinear", "feature_selector": "greedy", "top_k": 1, "ignored": "colour"}),
        ("xgboost", {"tree_method": "approx", "grow_policy": "lossguide", "max_leaves": 4}),
        ("xgboost", {"tree_method": "exact", "ignored": "colour"}),
        ("xgboost", {"num_parallel_tree": 2, "subsample": 0.5}),
        ("lightgbm", {"boosting": "dart"}),
        ("lightgbm", {"boosting": "rf", "bagging_fraction": 0.7}),
        ("lightgbm", {"data_sample_strategy": "goss"}),
        ("lightgbm", {"extra_trees": True, "path_smooth": 1.0}),
        ("catboost", {"grow_policy": "Lossguide"}),
        (
            "catboost",
            {"boosting_type": "Ordered", "sampling_frequency": "PerTreeLevel", "leaf_estimation_iterations": 3},
        ),
    ],
)
@pytest.mark.parametrize("target", ["two", "three", "number"])
def test_every_way_to_boost_trains(train, name, params, target):
    others = {"two", "three", "number", "rank"} - {target}
    ignored = {*others, "key", "day", "query", "weight", *([params["ignored"]] if "ignored" in params else [])}
    given = {key: value for key, value in params.items() if key != "ignored"}
    task = train(load(name), target, ignored_columns=",".join(ignored), iterations=15, **given)
    first = "rmse" if target == "number" else "logloss"
    curve = task.logger.curves[f"validation/{first}"]
    assert task.logger.singles[f"validation_{first}"] == pytest.approx(curve[task.logger.singles["best_iteration"]])
    assert curve[14] < curve[0] or params.get("boosting") == "rf"
    assert task.logger.plots["feature importances/table"]["feature"][0] == "a<[1]"


@pytest.mark.parametrize(
    ("name", "target", "loss"),
    [
        ("catboost", "two", "Focal:focal_alpha=0.5;focal_gamma=1.0"),
        ("catboost", "number", "MAE"),
        ("xgboost", "number", "reg:absoluteerror"),
        ("xgboost", "three", "multi:softmax"),
        ("lightgbm", "number", "huber"),
        ("lightgbm", "three", "multiclassova"),
    ],
)
def test_another_loss(train, name, target, loss):
    task = train(load(name), target, loss=loss)
    assert task.logger.plots["feature importances/table"]["feature"][0] == "a<[1]"
    probabilities = [each for each in task.artifacts["validation_predictions"] if each.startswith("probability_")]
    assert len(probabilities) == {"two": 2, "three": 3, "number": 0}[target]


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_a_model_whose_early_trees_change_is_kept_whole(train, name):
    """Drop-out rescales what was there before."""
    booster = {"xgboost": {"booster": "dart"}, "lightgbm": {"boosting": "dart"}}[name]
    task = train(load(name), "number", iterations=12, early_stopping_rounds=1, **booster)
    assert task.logger.singles["best_iteration"] == 11


@pytest.mark.parametrize("target", ["two", "three", "number"])
@pytest.mark.parametrize("name", list(load("sklearn").ESTIMATORS))
def test_every_estimator_trains(train, name, target):
    module = load("sklearn")
    row = module.ESTIMATORS[name]
    given = {"estimator": name, "iterations": 25, "mlp_learning_rate_init": 0.02, "mlp_batch_size": 30}
    if (row.regressor if target == "number" else row.classifier) is None:
        with pytest.raises(module.InputError, match=f"General/estimator: {name} is not for a .*random_forest"):
            train(module, target, **given)
        return
    task = train(module, target, **given)
    first = "rmse" if target == "number" else "logloss"
    curve = task.logger.curves[f"validation/{first}"]
    expected = {"": [0], "epochs": list(range(25))}.get(row.grows, [9, 19, 24])
    assert list(curve) == expected
    assert task.logger.singles["validation_r2" if target == "number" else "validation_accuracy"] > 0.6
    assert task.logger.plots["feature importances/table"]["feature"][0] == "a<[1]"
    predictions = task.artifacts["validation_predictions"]
    if target == "number":
        measured = math.sqrt(((predictions["prediction"] - predictions["target"]) ** 2).mean())
        assert task.logger.singles["validation_rmse"] == pytest.approx(measured)


def test_a_forest_grown_in_steps_is_the_forest_grown_at_once(train):
    module = load("sklearn")
    steps, once = (
        train(module, "number", estimator="extra_trees", iterations=30).artifacts["validation_predictions"]
        for module.STEP in (10, 30)
    )
    assert steps["prediction"].tolist() == pytest.approx(once["prediction"].tolist())


@pytest.mark.parametrize("sizes", ["", "wide", "64,0"])
def test_layers_that_cannot_be_are_refused(train, sizes):
    module = load("sklearn")
    with pytest.raises(module.InputError, match=r"General/mlp_hidden_layer_sizes: .* is not like 100 or 64,32"):
        train(module, estimator="mlp", mlp_hidden_layer_sizes=sizes)


def test_weights_that_an_estimator_does_not_take_are_refused(train):
    module = load("sklearn")
    with pytest.raises(module.InputError, match="General/estimator: knn takes no weights"):
        train(module, estimator="knn", class_weights="balanced")


def test_a_pipeline_predicts_from_the_table_as_it_is(train, tables):
    task = train(load("sklearn"), "number", estimator="mlp", iterations=40, validation="holdout")
    model = joblib.load(io.BytesIO(task.artifacts["model"]))
    found = task.artifacts["validation_predictions"]
    rows = pd.read_csv(tables / "train.csv").iloc[found["row"]].fillna({"colour": "missing"})
    assert model.predict(rows).tolist() == pytest.approx(found["prediction"].tolist())
