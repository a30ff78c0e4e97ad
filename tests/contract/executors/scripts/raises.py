"""An exception after reports; what is registered for the exit runs."""

import atexit

from clearml import Task

atexit.register(print, "> registered before the task")
task = Task.init("contract", "raises")
atexit.register(print, "> registered after it")
for i in range(10):
    task.get_logger().report_scalar("validation", "loss", 1 / (i + 1), i)
raise ValueError("> no such depth")
