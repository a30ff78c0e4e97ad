"""A class that Python Fire calls: one of its methods is named on the command line."""

import fire
from clearml import Task


class Trainer:
    """``python train.py fit --learning-rate 0.2``."""

    def __init__(self, width=8):
        self.width = width

    def fit(self, learning_rate=0.1, depth=3):
        """Train."""
        loss = (learning_rate - 0.3) ** 2 + abs(depth - 5) + 1 / self.width
        Task.current_task().get_logger().report_scalar("validation", "loss", loss, 0)

    def predict(self, threshold=0.5):
        """Nothing of this is tuned."""


if __name__ == "__main__":
    Task.init("first minutes", "commands")
    fire.Fire(Trainer)
