"""Signals that the script sees to itself."""

import os
import signal
import sys
import time

from clearml import Task


def tidy(number, frame):
    print("> tidies up after", signal.Signals(number).name, flush=True)
    sys.exit(0)


task = Task.init("contract", "signals")
task.get_logger().report_scalar("validation", "loss", 0.5, 1)
signal.signal(signal.SIGUSR1, lambda number, frame: print("> heard", signal.Signals(number).name, flush=True))
signal.signal(signal.SIGTERM, tidy)
os.kill(os.getpid(), signal.SIGUSR1)
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
