"""Options by argparse, one of them with dashes."""

import argparse

from clearml import Task

parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float, default=0.1)
parser.add_argument("--n-estimators", type=int, default=20)
parser.add_argument("--booster", choices=["tree", "linear"], default="tree")
parser.add_argument("--seed", type=int, default=0)

task = Task.init("first minutes", "argparse")
options = parser.parse_args()
loss = (options.learning_rate - 0.3) ** 2 + 1 / options.n_estimators + (options.booster == "linear")
task.get_logger().report_scalar("validation", "loss", loss, 0)
