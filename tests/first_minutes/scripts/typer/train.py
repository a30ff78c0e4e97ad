"""Options by Typer, which ClearML's SDK does not see."""

import typer
from clearml import Task


def main(learning_rate: float = 0.1, depth: int = 3, average: bool = False):
    """Train."""
    task = Task.init("first minutes", "typer")
    task.get_logger().report_scalar("validation", "loss", (learning_rate - 0.3) ** 2 + depth + average, 0)


if __name__ == "__main__":
    typer.run(main)
