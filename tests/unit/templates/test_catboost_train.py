"""The parts of templates/catboost_train.py, without a task and without a server."""

import math

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def table_file(tmp_path):
    """A small CSV file with a text column, holes in both kinds of columns and a target in the middle."""
    rows = 40
    frame = pd.DataFrame(
        {
            "size": [float(i % 7) for i in range(rows)],
            "kind": ["big" if i % 2 else "small" for i in range(rows)],
            "colour": [("red", "green", None)[i % 3] for i in range(rows)],
            "weight": [None if i % 5 == 0 else i / 3 for i in range(rows)],
        }
    )
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return str(path)


def train(module, recorder, how="callback", data="breast_cancer", target="", **changed):
    """One short training on a CPU; ``how`` it follows its progress."""
    params = module.typed({"iterations": 8, "depth": 3, "thread_count": 1} | changed)
    table = module.load_table(data, target, params["problem"])
    mask = module.split_rows(table, params["validation_fraction"], params["split_seed"])
    metrics = module.chosen_metrics(params["metrics"], table.problem)
    settings = module.catboost_settings(params, table.problem, metrics, "CPU")
    model = module.CatBoost(settings | {"logging_level": "Verbose" if how == "log" else "Silent"})
    scalars = module.Scalars(recorder, metrics)
    follow = module.train_by_log if how == "log" else module.train_by_callback
    follow(model, table.pool(~mask), table.pool(mask), scalars)
    module.report_kept_model(model, scalars, recorder)
    return model


# --- Parameters


def test_every_default_has_a_type_that_survives_the_way_over_the_server(catboost_train):
    for name, default in catboost_train.PARAMETERS.items():
        assert type(default) in (bool, int, float, str), name


def test_text_becomes_the_type_of_the_default(catboost_train):
    params = catboost_train.typed({"depth": "7.0", "learning_rate": "1e-2", "upload_model": "False", "target": None})
    assert params["depth"] == 7 and type(params["depth"]) is int
    assert params["learning_rate"] == 0.01
    assert params["upload_model"] is False
    assert params["target"] == ""
    assert params["iterations"] == catboost_train.PARAMETERS["iterations"]


@pytest.mark.parametrize(
    ("given", "said"),
    [({"depth": "deep"}, "General/depth: 'deep' is not a number"), ({"depth": 6.5}, "not a whole number")],
)
def test_a_value_of_the_wrong_type_is_named(catboost_train, given, said):
    with pytest.raises(catboost_train.InputError, match=said):
        catboost_train.typed(given)


def test_values_by_hand(catboost_train):
    assert catboost_train.by_hand(["depth=4", "data=a=b.csv"]) == {"depth": "4", "data": "a=b.csv"}
    with pytest.raises(catboost_train.InputError, match=r"unknown parameter 'dept' .did you mean depth"):
        catboost_train.by_hand(["dept=4"])


# --- Data


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "wine"])
def test_the_short_way_to_a_bundled_set_reads_what_scikit_learn_loads(catboost_train, monkeypatch, name):
    short = catboost_train.read_bundled(name)
    monkeypatch.setattr(catboost_train, "BUNDLED_FILES", {})
    pd.testing.assert_frame_equal(short, catboost_train.read_bundled(name), check_dtype=False)


def test_a_csv_file_with_text_and_holes(catboost_train, table_file):
    table = catboost_train.load_table(table_file, "kind", "auto")
    assert table.problem == "binary"
    assert table.classes == ("big", "small")
    assert table.categorical == ["colour"]
    assert set(table.features["colour"]) == {"red", "green", "missing"}
    assert table.features["weight"].isna().any()


def test_the_last_column_is_the_target_and_rows_without_it_are_left_out(catboost_train, table_file):
    table = catboost_train.load_table(table_file, "", "auto")
    assert table.problem == "regression"
    assert len(table.target) == 32 and not np.isnan(table.target).any()


@pytest.mark.parametrize(
    ("content", "target", "said"),
    [
        (None, "", "no file .*table.csv on "),
        ("", "", "not a readable CSV file"),
        ("a,b\n1,0\n2,1\n", "bb", "no column 'bb'; it has b"),
        ("a,b\n1,0\n2,0\n", "", "target 'b' is constant: every row has 0"),
        ("a,b\n1,\n2,\n", "", "no row has a value"),
        ("b\n1\n2\n", "", "no column is left"),
    ],
)
def test_data_that_cannot_be_used_is_refused_in_one_line(catboost_train, tmp_path, content, target, said):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(catboost_train.InputError, match=said) as caught:
        catboost_train.load_table(str(path), target, "auto")
    assert "\n" not in str(caught.value)


def test_a_misspelt_bundled_set_is_recognised(catboost_train):
    with pytest.raises(catboost_train.InputError, match="did you mean breast_cancer"):
        catboost_train.load_table("breast_cancr", "", "auto")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([0, 1, 1], "binary"),
        (["a", "b", "c"], "multiclass"),
        ([0, 1, 2], "multiclass"),
        ([0.5, 1.5, 2.5], "regression"),
        (list(range(60)), "regression"),
    ],
)
def test_the_problem_follows_from_the_target(catboost_train, values, problem):
    assert catboost_train.detect_problem(pd.Series(values)) == problem


@pytest.mark.parametrize(
    ("problem", "said"), [("binary", "3 classes"), ("regression", "not numeric"), ("ranking", "none of auto")]
)
def test_a_problem_that_the_target_does_not_fit_is_refused(catboost_train, tmp_path, problem, said):
    path = tmp_path / "table.csv"
    path.write_text("x,y\n1,a\n2,b\n3,c\n")
    with pytest.raises(catboost_train.InputError, match=said):
        catboost_train.load_table(str(path), "", problem)


def test_the_split_is_stratified_and_follows_its_seed(catboost_train):
    table = catboost_train.load_table("breast_cancer", "", "auto")
    first, again, other = (catboost_train.split_rows(table, 0.2, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert abs(table.target[first].mean() - table.target[~first].mean()) < 0.01
    assert abs(first.mean() - 0.2) < 0.01


def test_a_class_of_one_row_cannot_be_split(catboost_train):
    table = catboost_train.Table(pd.DataFrame({"x": [1, 2, 3]}), np.array([0, 0, 1]), "binary", ("no", "yes"))
    with pytest.raises(catboost_train.InputError, match="class 'yes' has a single row"):
        catboost_train.split_rows(table, 0.5, 0)


# --- What CatBoost is told


def test_metrics_have_readable_names_and_unknown_ones_are_refused(catboost_train):
    assert catboost_train.chosen_metrics("auto", "binary") == {
        "Logloss": "logloss",
        "AUC": "auc",
        "Accuracy": "accuracy",
    }
    assert catboost_train.chosen_metrics("Accuracy, logloss", "multiclass") == {
        "Accuracy": "accuracy",
        "MultiClass": "logloss",
    }
    with pytest.raises(catboost_train.InputError, match="unknown metric 'rmse' for a binary problem; known: logloss"):
        catboost_train.chosen_metrics("logloss,rmse", "binary")


@pytest.mark.parametrize(
    ("given", "there", "absent"),
    [
        ({"bootstrap_type": "Bayesian"}, {"bagging_temperature"}, {"subsample", "min_data_in_leaf"}),
        ({"bootstrap_type": "MVS"}, {"subsample"}, {"bagging_temperature"}),
        ({"bootstrap_type": "No"}, set(), {"bagging_temperature", "subsample"}),
        ({"grow_policy": "Depthwise"}, {"min_data_in_leaf"}, {"max_leaves"}),
        ({"grow_policy": "Lossguide"}, {"min_data_in_leaf", "max_leaves"}, set()),
        ({"early_stopping_rounds": 0}, set(), {"early_stopping_rounds"}),
    ],
)
def test_only_parameters_that_apply_are_passed(catboost_train, given, there, absent):
    settings = catboost_train.catboost_settings(catboost_train.typed(given), "binary", {"Logloss": "logloss"}, "CPU")
    assert there <= settings.keys()
    assert not absent & settings.keys()


def test_an_unknown_choice_is_refused(catboost_train):
    params = catboost_train.typed({"bootstrap_type": "bayesian"})
    with pytest.raises(catboost_train.InputError, match="General/bootstrap_type: 'bayesian' is none of Bayesian"):
        catboost_train.catboost_settings(params, "binary", {"Logloss": "logloss"}, "CPU")


def test_a_gpu_is_told_its_device_and_prints_what_the_follower_reads(catboost_train):
    params = catboost_train.typed({"gpu_devices": "1", "gpu_ram_part": 0.4})
    settings = catboost_train.catboost_settings(params, "binary", {"Logloss": "logloss"}, "GPU")
    expected = {"task_type": "GPU", "devices": "1", "gpu_ram_part": 0.4, "logging_level": "Verbose"}
    assert expected.items() <= settings.items()
    assert "rsm" not in settings  # CatBoost has it on CPUs only


@pytest.mark.parametrize(
    ("wanted", "driver", "count", "chosen"),
    [
        ("auto", True, 2, "GPU"),
        ("auto", True, 0, "CPU"),
        ("auto", False, 2, "CPU"),
        ("cpu", True, 2, "CPU"),
        ("gpu", True, 1, "GPU"),
    ],
)
def test_the_gpu_is_taken_where_there_is_one(catboost_train, monkeypatch, wanted, driver, count, chosen):
    monkeypatch.setattr(catboost_train, "_has_driver", lambda: driver)
    monkeypatch.setattr(catboost_train, "get_gpu_device_count", lambda: count)
    assert catboost_train.choose_device(wanted) == chosen


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(catboost_train, monkeypatch):
    monkeypatch.setattr(catboost_train, "_has_driver", lambda: False)
    with pytest.raises(catboost_train.InputError, match="no GPU is visible"):
        catboost_train.choose_device("gpu")


# --- Training and its scalars


def test_every_iteration_is_reported_while_it_trains(catboost_train, recorder):
    model = train(catboost_train, recorder)
    assert set(recorder.curves) == {
        "validation/logloss",
        "validation/auc",
        "validation/accuracy",
        "train/logloss",
    }
    assert all(list(curve) == list(range(8)) for curve in recorder.curves.values())
    best = model.get_best_iteration()
    assert recorder.singles["best_iteration"] == best
    assert recorder.singles["validation_auc"] == recorder.curves["validation/auc"][best]


def test_the_log_stream_of_gpus_gives_the_same_scalars_as_the_callback_of_cpus(catboost_train, recorder):
    """There is no GPU here: CatBoost prints the same lines when it trains on a CPU."""
    by_log = type(recorder)()
    train(catboost_train, recorder)
    train(catboost_train, by_log, how="log")
    assert by_log.singles == recorder.singles
    assert by_log.curves.keys() == recorder.curves.keys()
    for name, curve in recorder.curves.items():
        assert by_log.curves[name] == pytest.approx(curve, abs=1e-7), name


def test_the_log_follower_takes_lines_without_a_training_value_and_prints_the_rest(catboost_train, recorder, capsys):
    follower = catboost_train.LogFollower(catboost_train.Scalars(recorder, {"AUC": "auc"}))
    follower.write("Learning rate set to 0.1\n")
    follower.write("12:\ttest: 0.9364926\tbest: 0.9400000 (3)\ttotal: 52.2ms\tremaining: 104ms\n")
    assert recorder.curves == {"validation/auc": {12: 0.9364926}}
    assert capsys.readouterr().out == "Learning rate set to 0.1\n"


def test_what_is_not_a_number_is_not_reported(catboost_train, recorder):
    catboost_train.Scalars(recorder, {"Logloss": "logloss"}).report("validation", "Logloss", math.nan, 3)
    assert not recorder.curves


@pytest.mark.parametrize(
    ("data", "problem"), [("breast_cancer", "binary"), ("iris", "multiclass"), ("diabetes", "regression")]
)
def test_every_metric_of_a_problem_is_one_that_catboost_measures(catboost_train, recorder, data, problem):
    names = catboost_train.METRICS[problem]
    train(catboost_train, recorder, data=data, metrics=",".join(names), iterations=2)
    assert {f"validation/{name}" for name in names} <= recorder.curves.keys()


def test_text_columns_and_holes_train(catboost_train, recorder, table_file):
    train(catboost_train, recorder, data=table_file, target="kind", iterations=2)
    assert len(recorder.curves["validation/logloss"]) == 2


def test_an_error_of_catboost_becomes_one_line_without_its_source_line(catboost_train, recorder):
    with pytest.raises(catboost_train.CatBoostError) as caught:
        train(catboost_train, recorder, depth=17)
    assert catboost_train.reason_of(caught.value) == "Maximum tree depth is 16"
