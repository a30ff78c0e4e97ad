"""A configuration in a folder beside the script, composed by Hydra."""

import hydra
from clearml import Task


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    """Train."""
    task = Task.init("first minutes", "hydra")
    loss = (config.optim.lr - 0.3) ** 2 + 1 / config.model.units + config.model.dropout
    task.get_logger().report_scalar("validation", "loss", loss, 0)


if __name__ == "__main__":
    main()
