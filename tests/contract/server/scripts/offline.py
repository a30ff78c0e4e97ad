"""A task that is run offline; prints where its session is kept."""

import json
import os
import sys

from clearml import Task

Task.set_offline(offline_mode=True)
task = Task.init(f"{os.environ['TEST_PROJECT']}/tasks", "offline", auto_connect_frameworks=False)
task.connect({"lr": 0.5})
task.get_logger().report_scalar("train", "loss", 0.25, 1)
task.upload_artifact("object", {"answer": 42})
task.flush(wait_for_uploads=True)
folder = task.get_offline_mode_folder()
task.close()
print(json.dumps({"session": f"{folder}.zip"}), file=sys.stderr)
