"""A function that Python Fire calls."""

import fire
from clearml import Task


def train(learning_rate=0.1, depth=3, name="adam"):
    """Train."""
    assert isinstance(depth, int) and name == "adam"
    task = Task.current_task()
    task.get_logger().report_scalar("validation", "f1", 1 - abs(learning_rate - 0.3) - abs(depth - 5) / 10, 0)


if __name__ == "__main__":
    Task.init("first minutes", "fire")
    fire.Fire(train)
