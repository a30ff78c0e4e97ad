"""A forest on the breast cancer data: how well it predicts, and how large it is."""

from __future__ import annotations

from clearml import Task
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

task = Task.init("clearml-hpo/examples", "forest", auto_connect_frameworks=False)
params = task.connect({"trees": 50, "max_depth": 6, "min_samples_leaf": 1, "max_features": 0.5})

features, labels = load_breast_cancer(return_X_y=True)
split = train_test_split(features, labels, test_size=0.3, random_state=0, stratify=labels)
train_features, test_features, train_labels, test_labels = split
forest = RandomForestClassifier(
    params["trees"],
    max_depth=params["max_depth"],
    min_samples_leaf=params["min_samples_leaf"],
    max_features=params["max_features"],
    random_state=0,
).fit(train_features, train_labels)

logger = task.get_logger()
logger.report_scalar("validation", "logloss", log_loss(test_labels, forest.predict_proba(test_features)), 0)
logger.report_scalar("model", "nodes", sum(tree.tree_.node_count for tree in forest.estimators_), 0)
