"""What templates/catboost_train.py has to itself."""

import numpy as np
import pytest


def table_of(module, data="breast_cancer", **changed):
    return module.load_table(module.typed({"data": data} | changed))


def settings(module, data="breast_cancer", **given):
    """What CatBoost is told of a training on a CPU."""
    params = module.typed(given) | {"device": given.get("device", "cpu")}
    table = table_of(module, data)
    return module.settings_of(params, table, module.chosen_metrics(params["metrics"], table.problem))


def fit(module, recorder, monkeypatch=None, **changed):
    """One short training; with ``monkeypatch``, followed as on a GPU: CatBoost prints the same lines on a CPU."""
    params = module.typed({"iterations": 8, "depth": 3, "thread_count": 1} | changed) | {"device": "cpu"}
    table = table_of(module)
    scalars = module.Scalars(recorder, module.chosen_metrics(params["metrics"], table.problem))
    if monkeypatch is not None:
        told = module.settings_of
        monkeypatch.setattr(module, "settings_of", lambda *given: told(*given) | {"logging_level": "Verbose"})
        monkeypatch.setattr(module, "train_by_callback", module.train_by_log)
    return module.fit(table, module.split_rows(table, params)[0], params, scalars), scalars


def test_metrics_have_readable_names(catboost_train):
    def own(wanted, problem):
        return {metric.own: metric.series for metric in catboost_train.chosen_metrics(wanted, problem)}

    assert own("auto", "binary") == {"Logloss": "logloss", "AUC": "auc", "Accuracy": "accuracy"}
    assert own("Accuracy, logloss", "multiclass") == {"Accuracy": "accuracy", "MultiClass": "logloss"}
    assert own("ndcg@5,map@5", "ranking") == {"NDCG:type=Exp;top=5": "ndcg@5", "MAP:top=5": "map@5"}
    assert own("PRAUC,F:beta=2", "binary") == {"PRAUC": "PRAUC", "F:beta=2": "F:beta=2"}


def test_a_metric_is_found_by_the_name_that_catboost_makes_of_it(catboost_train):
    curves = {
        "NDCG:type=Base": [1.0],
        "NDCG:top=5;type=Exp": [2.0],
        "NDCG:type=Exp": [3.0],
        "Accuracy:use_weights=false": [4.0],
        "Accuracy:use_weights=true": [5.0],
    }
    wanted = ("NDCG:type=Exp;top=5", "NDCG:type=Exp", "Accuracy", "NDCG")
    assert [catboost_train.curve_of(own, curves)[0] for own in wanted] == [2.0, 3.0, 5.0, 1.0]
    assert catboost_train.curve_of("AUC", curves) == []


@pytest.mark.parametrize(
    ("given", "there", "absent"),
    [
        ({"bootstrap_type": "Bayesian"}, {"bagging_temperature"}, {"subsample", "min_data_in_leaf"}),
        ({"bootstrap_type": "MVS"}, {"subsample"}, {"bagging_temperature"}),
        ({"bootstrap_type": "No"}, set(), {"bagging_temperature", "subsample"}),
        ({"grow_policy": "Depthwise", "boosting_type": "Plain"}, {"min_data_in_leaf"}, {"max_leaves", "boosting_type"}),
        ({"grow_policy": "Lossguide"}, {"min_data_in_leaf", "max_leaves"}, set()),
        ({"early_stopping_rounds": 0}, set(), {"early_stopping_rounds"}),
        ({"boosting_type": "Ordered", "scale_pos_weight": 2.0}, {"boosting_type"}, {"scale_pos_weight"}),
        ({"data": "iris"}, set(), {"leaf_estimation_iterations"}),
    ],
)
def test_only_parameters_that_apply_are_passed(catboost_train, given, there, absent):
    passed = settings(catboost_train, **given)
    assert there <= passed.keys()
    assert not absent & passed.keys()


def test_an_unknown_choice_is_refused(catboost_train):
    with pytest.raises(catboost_train.InputError, match="General/bootstrap_type: 'bayesian' is none of Bayesian"):
        settings(catboost_train, bootstrap_type="bayesian")


def test_a_gpu_is_told_its_device_and_prints_what_the_follower_reads(catboost_train):
    passed = settings(catboost_train, device="gpu", gpu_devices="1,2", gpu_ram_part=0.4)
    expected = {"task_type": "GPU", "devices": "1:2", "gpu_ram_part": 0.4, "logging_level": "Verbose"}
    assert expected.items() <= passed.items()
    assert not {"rsm", "sampling_frequency"} & passed.keys()  # CatBoost has them on CPUs only


@pytest.mark.parametrize("target", ["two", "three", "number", "rank"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"bootstrap_type": "Poisson", "grow_policy": "Depthwise"},
        {"bootstrap_type": "Bayesian", "grow_policy": "Lossguide"},
        {"boosting_type": "Ordered", "leaf_estimation_iterations": 2, "scale_pos_weight": 2.0},
    ],
)
def test_what_catboost_is_told_it_takes_on_a_gpu(catboost_train, recorder, tables, target, given):
    """It looks at its options before it looks for the GPU, so that without one the complaint is about that alone."""
    if target == "three":
        given = given | {"boosting_type": "Plain"}  # it refuses Ordered there
    roles = {"group_column": "query"} | ({"problem": "ranking"} if target == "rank" else {})
    path = str(tables / "train.csv")
    params = catboost_train.typed({"data": path, "target": target, "iterations": 2, **roles, **given}) | {
        "device": "gpu"
    }
    table = catboost_train.load_table(params)
    scalars = catboost_train.Scalars(recorder, catboost_train.chosen_metrics("auto", table.problem))
    sides = catboost_train.split_rows(table, params)[0]
    if catboost_train.visible_gpus():
        assert catboost_train.fit(table, sides, params, scalars).best_iteration < 2
    else:
        with pytest.raises(catboost_train.CatBoostError, match="catboost/cuda/"):
            catboost_train.fit(table, sides, params, scalars)


@pytest.mark.parametrize(
    ("wanted", "count", "chosen"), [("auto", 2, "gpu"), ("auto", 0, "cpu"), ("cpu", 2, "cpu"), ("gpu", 1, "gpu")]
)
def test_the_gpu_is_taken_where_there_is_one(catboost_train, monkeypatch, wanted, count, chosen):
    monkeypatch.setattr(catboost_train, "visible_gpus", lambda: count)
    assert catboost_train.choose_device({"device": wanted}) == chosen


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(catboost_train, monkeypatch):
    monkeypatch.setattr(catboost_train, "visible_gpus", lambda: 0)
    with pytest.raises(catboost_train.InputError, match="no GPU is visible"):
        catboost_train.choose_device({"device": "gpu"})


def test_the_log_stream_of_gpus_gives_the_same_scalars_as_the_callback_of_cpus(catboost_train, recorder, monkeypatch):
    """There is no GPU here: CatBoost prints the same lines when it trains on a CPU."""
    by_log = type(recorder)()
    fitted, scalars = fit(catboost_train, recorder)
    logged, followed = fit(catboost_train, by_log, monkeypatch)
    assert scalars.at(fitted.best_iteration) == followed.at(logged.best_iteration)
    assert by_log.curves.keys() == recorder.curves.keys()
    assert all(list(curve) == list(range(8)) for curve in recorder.curves.values())
    for name, curve in recorder.curves.items():
        assert by_log.curves[name] == pytest.approx(curve, abs=1e-7), name


@pytest.mark.parametrize("metrics", ["neg_brier_score,auc", "auc,neg_brier_score"])
def test_metrics_of_scikit_learn_are_measured_on_gpus_too(catboost_train, recorder, monkeypatch, metrics):
    by_log = type(recorder)()
    fit(catboost_train, recorder, metrics=metrics)
    fit(catboost_train, by_log, monkeypatch, metrics=metrics)
    assert by_log.curves["validation/neg_brier_score"] == recorder.curves["validation/neg_brier_score"]
    assert list(by_log.curves["validation/auc"]) == list(range(8))


def test_the_log_follower_takes_lines_without_a_training_value_and_prints_the_rest(catboost_train, recorder, capsys):
    scalars = catboost_train.Scalars(recorder, catboost_train.chosen_metrics("auc", "binary"))
    follower = catboost_train.LogFollower(scalars)
    follower.write("Learning rate set to 0.1\n")
    follower.write("12:\ttest: 0.9364926\tbest: 0.9400000 (3)\ttotal: 52.2ms\tremaining: 104ms\n")
    assert recorder.curves == {"validation/auc": {12: 0.9364926}}
    assert capsys.readouterr().out == "Learning rate set to 0.1\n"


def test_what_is_not_a_number_is_not_reported(catboost_train, recorder):
    (metric,) = catboost_train.chosen_metrics("logloss", "binary")
    catboost_train.Scalars(recorder, [metric]).report("validation", metric, np.nan, 3)
    assert not recorder.curves


def test_an_error_of_catboost_becomes_one_line_without_its_source_line(catboost_train, recorder):
    with pytest.raises(catboost_train.CatBoostError) as caught:
        fit(catboost_train, recorder, depth=17)
    assert catboost_train.reason_of(caught.value) == "Maximum tree depth is 16"
