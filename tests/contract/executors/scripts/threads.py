"""Threads that report, one of them beyond the script's last line."""

import threading
import time

from clearml import Task

task = Task.init("contract", "threads")


def report(name, pause):
    for i in range(10):
        task.get_logger().report_scalar("threads", name, i / 10, i)
        time.sleep(pause)
    print(f"> {name} has ended")


quick = [threading.Thread(target=report, args=(f"thread {n}", 0.0)) for n in range(3)]
for thread in quick:
    thread.start()
    thread.join()
threading.Thread(target=report, args=("the slow one", 0.05)).start()
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("> the last line")
