import time

from clearml import Task

task = Task.init("contract/agent", "template", reuse_last_task_id=False, auto_connect_frameworks=False)
parameters = {"lr": 0.1, "iterations": 5, "sleep": 0.0}
task.connect(parameters)
for i in range(parameters["iterations"]):
    task.get_logger().report_scalar("validation", "score", parameters["lr"] * (i + 1), i)
    time.sleep(parameters["sleep"])
print("the script ended with", parameters["lr"])
