"""Options by click."""

import click
from clearml import Task


@click.command()
@click.option("--learning-rate", type=float, default=0.1)
@click.option("--depth", type=click.IntRange(1, 8), default=3)
@click.option("--average/--no-average", default=False)
@click.option("--optimizer", type=click.Choice(["sgd", "adam"]), default="sgd")
def main(learning_rate, depth, average, optimizer):
    """Train."""
    assert isinstance(depth, int) and isinstance(average, bool)
    accuracy = 1 - abs(learning_rate - 0.3) - abs(depth - 5) / 10 - 0.1 * average - 0.1 * (optimizer == "sgd")
    Task.current_task().get_logger().report_scalar("validation", "accuracy", accuracy, 0)


if __name__ == "__main__":
    Task.init("first minutes", "click")
    main()
