"""A Hydra application; prints as JSON what its configuration holds."""

import json
import os
import sys

import hydra
from clearml import Task


@hydra.main(version_base=None, config_path=None, config_name=None)
def main(config):
    task = Task.init(os.environ["TEST_PROJECT"] + "/arrival", "hydra", reuse_last_task_id=False)
    found = {name: [type(value).__name__, repr(value)] for name, value in config.items()}
    print("ARRIVED " + json.dumps({"Hydra": found}), file=sys.stderr)
    task.close()


if __name__ == "__main__":
    main()
