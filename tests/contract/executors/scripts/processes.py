"""Processes of the script's own: what they return, what they print."""

import multiprocessing

from clearml import Task


def square(number):
    print(f"> of the process for {number}\n", end="", flush=True)
    return number * number


if __name__ == "__main__":
    task = Task.init("contract", "processes")
    task.get_logger().report_scalar("main", "before", 0.5, 1)
    for how in ("fork", "spawn"):
        pool = multiprocessing.get_context(how).Pool(1)
        print(">", pool.map(square, range(3)))
        pool.close()  # leaving a with block would send SIGTERM, which the SDK may swallow in a fork
        pool.join()
    task.get_logger().report_scalar("main", "after", 0.25, 2)
