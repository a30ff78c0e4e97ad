"""The SDK reports from a process of its own, as is its default: the configuration says it."""

import os
from pathlib import Path

from clearml import Task

own = Path("own.conf").absolute()
before = os.environ["CLEARML_CONFIG_FILE"]
own.write_text(f'include file("{before}")\nsdk {{ development {{ report_use_subprocess: true }} }}\n')
os.environ["CLEARML_CONFIG_FILE"] = str(own)
task = Task.init("contract", "reports by process")
for i in range(20):
    task.get_logger().report_scalar("validation", "loss", 1 / (i + 1), i)
task.upload_artifact("object", {"answer": 42})
print(">", bool(task._report_subprocess_enabled), task.connect({"depth": 3}))
