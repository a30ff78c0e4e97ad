"""Train a scikit-learn model on a table and log it to ClearML: a template for hyperparameter studies."""

from __future__ import annotations

Value = bool | int | float | str

# No default is None: a value that was changed on the server arrives as text and is cast to the type of its default.
PARAMETERS: dict[str, Value] = {
    # Data
    "data": "breast_cancer",  # set of scikit-learn (see BUNDLED), CSV or Parquet file, or id of a ClearML dataset
    "data_file": "",  # file in the ClearML dataset; empty: the only one
    "target": "",  # column; empty: the last one
    "problem": "auto",  # auto, binary, multiclass, regression
    "id_column": "",
    "weight_column": "",
    "time_column": "",  # orders the rows for validation=time
    "group_column": "",  # rows of a group stay on one side of the split
    "categorical_columns": "",  # comma separated; those that are not numbers are categorical anyway
    "ignored_columns": "",  # comma separated
    "test_data": "",  # file of rows to predict for submission.csv
    # Validation
    "validation": "holdout",  # holdout, kfold, stratified, group, time
    "validation_fraction": 0.2,  # of holdout
    "folds": 5,  # of the others
    "split_seed": 0,
    # Training
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
    "thread_count": 0,  # -1: all cores; 0: OMP_NUM_THREADS, which workers set, else 2: small tables gain no more
    # scikit-learn's own, under its own names behind that of the estimator (see ESTIMATORS)
    "estimator": "hist_gradient_boosting",  # random_forest, extra_trees, logistic, ridge, elastic_net, svm, knn, mlp
    "forest_criterion": "auto",  # random_forest and extra_trees, as the next five; auto: gini or squared_error
    "forest_max_depth": 0,  # 0: no limit
    "forest_min_samples_split": 2,
    "forest_min_samples_leaf": 1,
    "forest_max_features": 0.5,  # share of the columns
    "forest_max_samples": 1.0,  # share of the rows for each tree, drawn with replacement; 0: all rows
    "hist_learning_rate": 0.1,  # hist_gradient_boosting, as the next six
    "hist_max_leaf_nodes": 31,
    "hist_max_depth": 0,  # 0: no limit
    "hist_min_samples_leaf": 20,
    "hist_l2_regularization": 0.0,
    "hist_max_features": 1.0,
    "hist_max_bins": 255,
    "logistic_C": 1.0,
    "ridge_alpha": 1.0,
    "elastic_net_alpha": 1.0,
    "elastic_net_l1_ratio": 0.5,
    "svm_C": 1.0,
    "svm_kernel": "rbf",  # rbf, linear, poly, sigmoid
    "svm_gamma": 0.0,  # 0: scale; rbf, poly and sigmoid only
    "svm_degree": 3,  # poly only
    "svm_epsilon": 0.1,  # regression only
    "knn_n_neighbors": 5,
    "knn_weights": "uniform",  # uniform, distance
    "knn_p": 2.0,  # 1: Manhattan, 2: Euclidean
    "mlp_hidden_layer_sizes": "100",  # comma separated
    "mlp_activation": "relu",  # relu, tanh, logistic
    "mlp_alpha": 0.0001,
    "mlp_learning_rate_init": 0.001,
    "mlp_batch_size": 200,
}
