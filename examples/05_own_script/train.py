"""An ordinary training script: options by argparse, a scalar after each epoch. ClearML needs the two marked lines.

python examples/05_own_script/train.py --lr 0.01 --hidden 32
"""

from __future__ import annotations

import argparse

from clearml import Task
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.001)
parser.add_argument("--hidden", type=int, default=16)
parser.add_argument("--activation", choices=["relu", "tanh"], default="relu")
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--epochs", type=int, default=15)

task = Task.init("clearml-hpo/examples", "digits")  # ClearML: the options become hyperparameters of the section Args
options = parser.parse_args()

features, labels = load_digits(return_X_y=True)
split = train_test_split(features / 16, labels, test_size=0.25, random_state=0, stratify=labels)
train_features, test_features, train_labels, test_labels = split
model = MLPClassifier(
    (options.hidden,),
    activation=options.activation,
    learning_rate_init=options.lr,
    batch_size=options.batch_size,
    random_state=0,
)
for epoch in range(options.epochs):
    model.partial_fit(train_features, train_labels, classes=range(10))
    accuracy = model.score(test_features, test_labels)
    print(f"epoch {epoch}: accuracy {accuracy:.4f}")
    task.get_logger().report_scalar("validation", "accuracy", accuracy, epoch)  # ClearML: what a study maximizes
