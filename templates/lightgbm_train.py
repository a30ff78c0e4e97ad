"""Train a LightGBM model on a table and log it to ClearML: a template for hyperparameter studies."""

from __future__ import annotations

Value = bool | int | float | str

# No default is None: a value that was changed on the server arrives as text and is cast to the type of its default.
PARAMETERS: dict[str, Value] = {
    # Data
    "data": "breast_cancer",  # set of scikit-learn (see BUNDLED), CSV or Parquet file, or id of a ClearML dataset
    "data_file": "",  # file in the ClearML dataset; empty: the only one
    "target": "",  # column; empty: the last one
    "problem": "auto",  # auto, binary, multiclass, regression, ranking
    "id_column": "",
    "weight_column": "",
    "time_column": "",  # orders the rows for validation=time
    "group_column": "",  # rows of a group stay on one side of the split; the queries of a ranking
    "categorical_columns": "",  # comma separated; those that are not numbers are categorical anyway
    "ignored_columns": "",  # comma separated
    "test_data": "",  # file of rows to predict for submission.csv
    # Validation
    "validation": "holdout",  # holdout, kfold, stratified, group, time
    "validation_fraction": 0.2,  # of holdout
    "folds": 5,  # of the others
    "split_seed": 0,
    # Training
    "loss": "auto",  # any objective of LightGBM
    "metrics": "auto",  # comma separated, see METRICS; the first one decides on early stopping and the kept model
    "iterations": 200,
    "early_stopping_rounds": 50,  # 0: off
    "class_weights": "none",  # none, balanced, sqrt_balanced
    "seed": 0,
    # What is kept
    "upload_model": True,
    "upload_predictions": True,
    "submission": "labels",  # labels, probabilities
    # Where it runs
    "device": "auto",  # auto, cpu, gpu
    "gpu_devices": "0",  # number of an OpenCL device; LightGBM takes one
    "thread_count": 0,  # -1: all cores; 0: OMP_NUM_THREADS, which workers set, else 2: small tables gain no more
    # LightGBM's own, under its own names
    "boosting": "gbdt",  # gbdt, dart, rf
    "data_sample_strategy": "bagging",  # bagging, goss (gbdt and dart)
    "learning_rate": 0.1,
    "num_leaves": 31,
    "max_depth": -1,  # -1: no limit
    "min_data_in_leaf": 20,
    "min_sum_hessian_in_leaf": 0.001,
    "bagging_fraction": 1.0,  # bagging only, as the next one; rf needs less than 1 of this or of feature_fraction
    "bagging_freq": 1,
    "top_rate": 0.2,  # goss only, as the next one
    "other_rate": 0.1,
    "feature_fraction": 1.0,
    "feature_fraction_bynode": 1.0,
    "lambda_l1": 0.0,
    "lambda_l2": 0.0,
    "min_gain_to_split": 0.0,
    "path_smooth": 0.0,
    "max_bin": 255,
    "extra_trees": False,
    "cat_smooth": 10.0,  # categorical columns only, as the next three
    "cat_l2": 10.0,
    "max_cat_threshold": 32,
    "max_cat_to_onehot": 4,
    "drop_rate": 0.1,  # dart only, as the next three
    "skip_drop": 0.5,
    "max_drop": 50,
    "uniform_drop": False,
    "scale_pos_weight": 1.0,  # binary only
}
