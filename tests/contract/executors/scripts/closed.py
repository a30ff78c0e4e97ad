"""A task that is closed, and begun again by the same script."""

from clearml import Task

task = Task.init("contract", "closed")
task.get_logger().report_scalar("first", "loss", 0.5, 1)
task.upload_artifact("object", {"answer": 42})
task.close()
print("> closed", Task.current_task() is None)
again = Task.init("contract", "closed again")
again.get_logger().report_scalar("second", "loss", 0.25, 2)
print("> the same", again.id == task.id)
