"""Hyperparameters of every kind; those that the task has count."""

import argparse
from dataclasses import dataclass

from clearml import Task


@dataclass
class Settings:
    width: int = 3
    kind: str = "relu"


parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=4)
parser.add_argument("--rate", type=float, default=0.1)
parser.add_argument("--flag", action="store_true")
parser.add_argument("--layers", type=int, nargs="+", default=[1, 2])
task = Task.init("contract", "connect")
given = parser.parse_args()
values = task.connect({"lr": 0.1, "sizes": [1, 2], "nested": {"a.b": 1.5, "on": True}, "nothing": None, "name": "adam"})
settings = Settings()
task.connect(settings, name="Settings")
task.set_parameter("Late/x", 4)
print(">", given.depth, given.rate, given.flag, given.layers)
print(">", values)
print(">", settings.width, settings.kind)
print(">", sorted(task.get_parameters(cast=True).items()))
