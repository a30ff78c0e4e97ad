"""An exit code after reports."""

import sys

from clearml import Task

task = Task.init("contract", "exits")
task.get_logger().report_scalar("validation", "loss", 0.5, 1)
print("> exits")
sys.exit(3)
