"""A dataclass that is connected."""

from dataclasses import dataclass

from clearml import Task


@dataclass
class Config:
    """What can be tuned."""

    learning_rate: float = 0.1
    units: int = 32
    average: bool = True
    name: str = "mlp"


task = Task.init("first minutes", "dataclass")
config = Config(units=16)
task.connect(config, name="Config")
assert isinstance(config.units, int) and isinstance(config.average, bool)
for epoch in range(3):
    loss = (config.learning_rate - 0.3) ** 2 + 1 / config.units + config.average / (epoch + 1)
    task.get_logger().report_scalar("validation", "loss", loss, epoch)
