"""One of several processes; the first one has the task."""

import argparse
import os

from clearml import Task

parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float, default=0.1)
parser.add_argument("--units", type=int, default=32)

if os.environ.get("RANK", "0") == "0":
    task = Task.init("first minutes", "launcher")
options = parser.parse_args()
if os.environ.get("RANK", "0") == "0":
    loss = (options.learning_rate - 0.3) ** 2 + 1 / options.units
    task.get_logger().report_scalar("validation", "loss", loss, 0)
