"""Options by Typer, which has a click of its own."""

from enum import Enum

import typer
from clearml import Task


class Optimizer(str, Enum):
    """A choice."""

    SGD = "sgd"
    ADAM = "adam"


def main(
    learning_rate: float = 0.1,
    depth: int = typer.Option(3, min=1, max=8),
    average: bool = False,
    optimizer: Optimizer = Optimizer.SGD,
    sizes: list[int] = [8, 4],  # noqa: B006
    note: str | None = None,
    verbose: int = typer.Option(1, "--verbose", "-v", count=True),
    window: tuple[int, int] = (2, 3),
):
    """Train."""
    assert isinstance(depth, int) and isinstance(optimizer, Optimizer)
    assert sizes == [8, 4] and note is None and verbose == 1 and window == (2, 3)
    task = Task.init("first minutes", "typer")
    loss = (learning_rate - 0.3) ** 2 + abs(depth - 5) + average + (optimizer is Optimizer.SGD)
    task.get_logger().report_scalar("validation", "loss", loss, 0)


if __name__ == "__main__":
    typer.run(main)
