"""SIGINT, of which Python makes an exception."""

import os
import signal
import time

from clearml import Task

task = Task.init("contract", "interrupted")
task.get_logger().report_scalar("validation", "loss", 0.5, 1)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    print("> interrupted")
