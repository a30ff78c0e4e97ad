"""Who the script is: the task by all ways to ask; what it says of itself."""

import os
import threading

from clearml import Task

before = Task.current_task()
task = Task.init("contract", "identity", tags=["of the script"])
again = Task.init("contract", "another name")
seen = []
thread = threading.Thread(target=lambda: seen.append(Task.current_task().id))
thread.start()
thread.join()
same = {task.id, again.id, Task.current_task().id, os.environ["CLEARML_TASK_ID"], *seen}
print(">", before is None, len(same), Task.running_locally(), task.is_main_task())
task.set_progress(40)
task.set_comment("made for a test")
task.add_tags(["first", "second"])
task.set_user_properties(study="s1", trial=7)
task.set_user_properties({"name": "described", "description": "what it is", "value": "x"})
task.set_initial_iteration(10)
task.get_logger().report_scalar("validation", "loss", 0.5, 1)
task.set_progress(80)
task.reload()
print(">", task.get_progress(), task.get_status(), task.name)
