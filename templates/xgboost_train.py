"""Train a XGBoost model on a table and log it to ClearML: a template for hyperparameter studies."""

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
    "loss": "auto",  # any objective of XGBoost
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
    "gpu_devices": "0",  # counted among the visible ones; XGBoost takes one
    "thread_count": 0,  # -1: all cores; 0: OMP_NUM_THREADS, which workers set, else 2: small tables gain no more
    # XGBoost's own, under its own names
    "booster": "gbtree",  # gbtree, dart, gblinear
    "learning_rate": 0.1,
    "reg_alpha": 0.0,
    "reg_lambda": 1.0,
    "scale_pos_weight": 1.0,  # binary only
    "tree_method": "hist",  # hist, approx, exact (CPU); trees (gbtree, dart) only, down to max_cat_threshold
    "max_depth": 6,  # 0: no limit
    "min_child_weight": 1.0,
    "gamma": 0.0,
    "max_delta_step": 0.0,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
    "colsample_bylevel": 1.0,
    "colsample_bynode": 1.0,
    "num_parallel_tree": 1,
    "max_bin": 256,  # hist and approx only, as the next four
    "grow_policy": "depthwise",  # depthwise, lossguide
    "max_leaves": 0,  # 0: no limit
    "max_cat_to_onehot": 4,
    "max_cat_threshold": 64,
    "sample_type": "uniform",  # uniform, weighted; dart only, as the next four
    "normalize_type": "tree",  # tree, forest
    "rate_drop": 0.1,
    "one_drop": False,
    "skip_drop": 0.5,
    "updater": "coord_descent",  # coord_descent, shotgun; gblinear only, as the next two
    "feature_selector": "cyclic",  # cyclic, shuffle; coord_descent: also random, greedy, thrifty
    "top_k": 0,  # greedy and thrifty only; 0: all
}
