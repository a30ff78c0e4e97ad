"""A function that jsonargparse calls, with a dataclass as a parameter."""

from dataclasses import dataclass

from clearml import Task
from jsonargparse import CLI


@dataclass
class Optimizer:
    """Nested options: ``--optimizer.lr``."""

    lr: float = 0.1
    momentum: float = 0.9


DEFAULT = Optimizer()


def main(optimizer: Optimizer = DEFAULT, depth: int = 3):
    """Train."""
    assert isinstance(depth, int)
    score = 1 - abs(optimizer.lr - 0.3) - abs(optimizer.momentum - 0.8) - abs(depth - 5) / 10
    Task.current_task().get_logger().report_scalar("validation", "score", score, 0)


if __name__ == "__main__":
    Task.init("first minutes", "jsonargparse")
    CLI(main)
