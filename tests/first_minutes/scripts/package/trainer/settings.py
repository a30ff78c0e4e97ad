"""Hyperparameters in a module of their own."""

from clearml import Task

DEFAULTS = {"learning_rate": 0.1, "depth": 3}


def make_task():
    """The task, and its hyperparameters."""
    task = Task.init("first minutes", "package")
    return task, task.connect(DEFAULTS)
