"""What happens after the last line, an exception among it."""

import atexit
import sys

from clearml import Task


def fail():
    print("> fails at the exit", flush=True)
    raise RuntimeError("at the exit")


atexit.register(fail)
task = Task.init("contract", "at exit")
task.get_logger().report_scalar("validation", "loss", 0.5, 1)
atexit.register(lambda: task.get_logger().report_scalar("validation", "at exit", 0.25, 2))
atexit.register(print, "> is printed first")
sys.exit(0)
