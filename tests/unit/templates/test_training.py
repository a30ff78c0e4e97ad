"""Each template with each kind of problem and validation, as ``run`` does it, on a CPU and without a server."""

import io
import math

import numpy as np
import pandas as pd
import pytest

from tests.unit.templates.conftest import load

PROBLEMS = {"two": "logloss", "three": "logloss", "number": "rmse"}


def submitted(task):
    return pd.read_csv(io.BytesIO(task.artifacts["submission"]))


@pytest.mark.parametrize("target", PROBLEMS)
def test_a_training_leaves_curves_metrics_importances_predictions_and_a_model(template, train, target):
    task = train(template, target)
    reported, metric = task.logger, PROBLEMS[target]
    assert {f"validation/{metric}", f"train/{metric}"} <= reported.curves.keys()
    curve = reported.curves[f"validation/{metric}"]
    assert list(curve) == ([5] if template.LIBRARY == "scikit-learn" else list(range(6)))
    assert reported.singles[f"validation_{metric}"] == pytest.approx(min(curve.values()), abs=1e-6)
    assert curve[reported.singles["best_iteration"]] == min(curve.values())
    shares = reported.plots["feature importances/table"]
    assert shares["feature"][0] == "a<[1]" and shares["importance"].sum() == pytest.approx(1, abs=1e-4)
    assert reported.plots["feature importances/plot"][0] > 0.5
    predictions = task.artifacts["validation_predictions"]
    assert len(predictions) == 24 or target == "three"
    assert len(task.artifacts["model"]) > 100


@pytest.mark.parametrize("target", ["two", "number"])
def test_the_predictions_are_those_that_were_measured(template, train, target):
    task = train(template, target, metrics="accuracy" if target == "two" else "mae")
    found, singles = task.artifacts["validation_predictions"], task.logger.singles
    if target == "two":
        assert singles["validation_accuracy"] == pytest.approx((found["prediction"] == found["target"]).mean())
        assert np.allclose(found["probability_no"] + found["probability_yes"], 1)
    else:
        assert singles["validation_mae"] == pytest.approx((found["prediction"] - found["target"]).abs().mean())


def test_a_ranking(ranker, train, tables):
    """The gain is the same in all templates: exponential."""
    task = train(ranker, "rank", problem="ranking", group_column="query", metrics="ndcg@3,ndcg")
    assert list(task.logger.curves["validation/ndcg@3"]) == list(range(6))
    assert task.logger.plots["feature importances/table"]["feature"][0] == "a<[1]"
    found = task.artifacts["validation_predictions"]
    queries = [rows for _, rows in found.groupby(found["row"] // 6)]
    assert len(queries) == 4
    for name, top in (("ndcg@3", 3), ("ndcg", 6)):
        values = [_gain(rows, "prediction", top) / _gain(rows, "target", top) for rows in queries]
        assert task.logger.singles[f"validation_{name}"] == pytest.approx(np.mean(values), abs=1e-5)


def _gain(rows, by, top):
    ranked = rows.sort_values(by, ascending=False, kind="stable")["target"].to_numpy()[:top]
    return ((2**ranked - 1) / np.log2(np.arange(len(ranked)) + 2)).sum()


def test_a_ranking_with_weights_in_folds(ranker, train):
    given = {"problem": "ranking", "group_column": "query", "weight_column": "weight"}
    task = train(ranker, "rank", validation="group", folds=2, **given)
    assert 0.5 < task.logger.singles["validation_ndcg@10"] <= 1


@pytest.mark.parametrize(
    ("scheme", "roles"),
    [
        ("kfold", {}),
        ("stratified", {"class_weights": "balanced"}),
        ("group", {"group_column": "query"}),
        ("time", {"time_column": "day", "weight_column": "weight"}),
    ],
)
def test_folds(template, train, scheme, roles):
    task = train(template, validation=scheme, folds=3, id_column="key", **roles)
    reported, singles = task.logger.curves, task.logger.singles
    last = [reported[f"fold_{fold}/logloss"] for fold in range(3)]
    assert all(max(curve) == 5 for curve in last)
    assert all(f"fold_{fold}/train_logloss" in reported for fold in range(3))
    best = [min(curve.values()) for curve in last]
    means = [np.mean(best[: fold + 1]) for fold in range(3)]
    assert list(reported["validation/logloss"].values()) == pytest.approx(means, abs=1e-5)
    assert list(reported["validation/logloss"]) == [0, 1, 2]
    assert singles["validation_logloss"] == pytest.approx(means[-1], abs=1e-5)
    assert singles["validation_logloss_std"] == pytest.approx(np.std(best), abs=1e-5)
    predictions = task.artifacts["validation_predictions"]
    assert set(predictions["fold"]) == {0, 1, 2} and predictions["key"].is_unique
    assert len(predictions) == (90 if scheme == "time" else 120)
    assert {f"model_fold_{fold}" for fold in range(3)} <= task.artifacts.keys()


@pytest.mark.parametrize(
    ("kind", "columns"), [("labels", ["key", "three"]), ("probabilities", ["key", "low", "mid", "top"])]
)
def test_test_rows_are_predicted_and_submitted(template, train, tables, kind, columns):
    given = {"id_column": "key", "test_data": str(tables / "test.csv"), "submission": kind}
    task = train(template, "three", validation="stratified", folds=2, **given)
    frame = submitted(task)
    assert list(frame) == columns and frame["key"].tolist() == list(range(10))
    predicted = task.artifacts["test_predictions"]
    if kind == "labels":
        assert frame["three"].tolist() == predicted["prediction"].tolist()
        signal = pd.read_csv(tables / "test.csv")["a<[1]"]
        assert signal[frame["three"] == "low"].mean() < signal[frame["three"] != "low"].mean()
    else:
        assert np.allclose(frame[["low", "mid", "top"]].sum(axis=1), 1)


def test_what_is_not_wanted_is_not_kept(template, train, tables):
    task = train(template, "number", upload_model=False, upload_predictions=False, test_data=str(tables / "test.csv"))
    assert task.artifacts.keys() == {"submission"}
    assert list(submitted(task)) == ["id", "number"]


def test_every_metric_of_a_problem_is_measured(template, train):
    for target, problem in (("two", "binary"), ("three", "multiclass"), ("number", "regression")):
        names = dict.fromkeys((*template.METRICS[problem], *template.SCORERS[problem]))
        task = train(template, target, metrics=",".join(names), iterations=2)
        assert {f"validation_{name}" for name in names} <= task.logger.singles.keys()


@pytest.mark.parametrize(("target", "problem"), [("two", "binary"), ("three", "multiclass"), ("number", "regression")])
def test_metrics_by_name_mean_the_same_in_all_templates(template, train, tables, target, problem):
    """Whoever has measured them, they are what scikit-learn says of the predictions that were kept."""
    others = {("multiclass", "auc"), ("regression", "mape")}  # libraries differ: templates/README.md
    others |= {("regression", "median_absolute_error")} if template.LIBRARY == "CatBoost" else set()
    names = [name for name in template.SCORERS[problem] if (problem, name) not in others]
    task = train(template, target, metrics=",".join(names), weight_column="weight", iterations=20)
    found = task.artifacts["validation_predictions"]
    weights = pd.read_csv(tables / "train.csv")["weight"][found["row"]].to_numpy()
    truth, predictions = found["target"].to_numpy(), found["prediction"].to_numpy()
    if problem != "regression":
        classes = sorted(set(truth))
        predictions = found[[f"probability_{label}" for label in classes]].to_numpy()
        truth = np.searchsorted(classes, truth)
    for name in names:
        scorer, sign = template.SCORERS[problem][name]
        metric = template.Metric(name, scorer=scorer, sign=sign)
        value = template.score(metric, problem, truth, predictions, weights)
        assert task.logger.singles[f"validation_{name}"] == pytest.approx(value, abs=1e-5), name


def test_metrics_by_the_librarys_and_by_scikit_learns_name(template, train):
    own = {"CatBoost": "PRAUC", "XGBoost": "error@0.4", "LightGBM": "average_precision", "scikit-learn": "jaccard"}
    name = own[template.LIBRARY]
    task = train(template, "two", metrics=f"{name},neg_brier_score")
    assert 0 <= task.logger.singles[f"validation_{name}"] <= 1
    assert -1 < task.logger.singles["validation_neg_brier_score"] < 0


def test_a_metric_of_scikit_learns_decides(template, train):
    task = train(template, "three", metrics="neg_brier_score,accuracy")
    curve = task.logger.curves["validation/neg_brier_score"]
    assert task.logger.singles["validation_neg_brier_score"] == max(curve.values())
    assert curve[task.logger.singles["best_iteration"]] == max(curve.values())


def test_an_unknown_metric_is_refused_with_those_that_are_known(template, train):
    with pytest.raises(template.InputError, match="unknown metric 'rmsle2' for a binary problem; known: logloss, auc"):
        train(template, metrics="logloss,rmsle2")


def test_training_ends_when_nothing_gets_better(template, train):
    """The noise alone cannot be learnt."""
    ignored = "a<[1],colour,two,three,rank,key,day,query,weight"
    params = {"early_stopping_rounds": 5, "iterations": 300, "ignored_columns": ignored}
    curve = train(template, "number", **params).logger.curves["validation/rmse"]
    assert max(curve) < 250


def test_the_seed_decides(template, train):
    sampled = {
        "CatBoost": {"bootstrap_type": "Bayesian"},
        "XGBoost": {"subsample": 0.5},
        "LightGBM": {"bagging_fraction": 0.5},
        "scikit-learn": {"estimator": "random_forest"},
    }[template.LIBRARY]
    values = [train(template, seed=seed, **sampled).logger.singles["validation_logloss"] for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_class_weights_shift_the_predictions_to_the_rare_class(template, train):
    shares = [
        train(template, class_weights=kind).artifacts["validation_predictions"]["probability_yes"].mean()
        for kind in ("none", "balanced")
    ]
    assert shares[0] < shares[1]


def test_columns_of_truth_values_and_numbers_with_holes_train(template, task, tmp_path):
    rows = range(60)
    frame = pd.DataFrame({"flag": [i % 2 == 0 for i in rows], "x": [i % 5 for i in rows], "y": [i % 2 for i in rows]})
    frame.astype({"x": "Int64"}).assign(x=lambda each: each["x"].where(each["x"] > 0)).to_parquet(
        tmp_path / "t.parquet"
    )
    template.run(task, {"data": str(tmp_path / "t.parquet"), "iterations": 5, "thread_count": 1, "metrics": "accuracy"})
    assert task.logger.singles["validation_accuracy"] == 1


@pytest.mark.parametrize("data", ["iris", "diabetes", "digits", "wine"])
def test_the_bundled_sets_train(template, task, data):
    template.run(task, {"data": data, "iterations": 3, "thread_count": 1, "upload_predictions": False})
    assert all(math.isfinite(value) for value in task.logger.singles.values())


def test_a_value_that_the_library_refuses_is_one_line(template, train):
    name, value = {
        "CatBoost": ("depth", 17),
        "XGBoost": ("max_depth", -3),
        "LightGBM": ("num_leaves", 1),
        "scikit-learn": ("hist_max_bins", 1),
    }[template.LIBRARY]
    with pytest.raises(template.LIBRARY_ERRORS) as caught:
        train(template, **{name: value})
    reason = template.reason_of(caught.value)
    assert "\n" not in reason and "/" not in reason
    assert name.removeprefix("hist_").split("_")[-1] in reason


def test_scikit_learn_classes_that_come_in_order_and_many_categories(train, tmp_path):
    module, rows = load("sklearn"), 1600
    lines = "".join(f"c{i % 300},{i % 7},{i * 4 // rows}\n" for i in range(rows))
    (tmp_path / "sorted.csv").write_text("c,x,y\n" + lines)
    task = train(module, "y", data=str(tmp_path / "sorted.csv"), ignored_columns="", iterations=3)
    assert task.logger.singles["validation_logloss"] > 0


def test_scale_pos_weight_weighs_in_training_alone(train, task):
    plain = train(load("catboost"), "two").artifacts["validation_predictions"]["probability_yes"].mean()
    train(load("catboost"), "two", scale_pos_weight=9.0, metrics="logloss,accuracy")
    found, singles = task.artifacts["validation_predictions"], task.logger.singles
    assert found["probability_yes"].mean() > plain
    assert singles["validation_accuracy"] == pytest.approx((found["prediction"] == found["target"]).mean())
    right = np.where(found["target"] == "yes", found["probability_yes"], found["probability_no"])
    assert singles["validation_logloss"] == pytest.approx(-np.log(right).mean(), abs=1e-5)


def test_what_catboost_would_measure_on_logarithms_is_refused(train):
    module = load("catboost")
    with pytest.raises(module.InputError, match="loss=Poisson CatBoost measures RMSE on the logarithms"):
        train(module, "rank", problem="regression", loss="Poisson", metrics="rmse")
    train(module, "rank", problem="regression", loss="Poisson", metrics="neg_root_mean_squared_error")
