"""A script as people write them: reports something of everything on one task, and prints its id."""

import json
import os
import sys
from pathlib import Path

from clearml import OutputModel, Task

Task.set_random_seed(None)
task = Task.init(
    f"{os.environ['TEST_PROJECT']}/sdk", "reports", reuse_last_task_id=False, auto_connect_frameworks=False
)
parameters = {
    **{"lr": 0.1, "depth": 6, "name": "adam", "flag": True, "sizes": [1, 2], "nested": {"a.b": 1.5}, "nothing": None},
}
connected = task.connect(parameters)
task.connect({"x": 1}, name="Other section")
task.connect_configuration({"layers": {"first": 3}}, name="network")
logger = task.get_logger()
for i in range(40):
    logger.report_scalar("train", "loss", 1 / (i + 1), i)
    logger.report_scalar("validation", "score", 0.5 + 0.01 * (20 - abs(20 - i)), i)
logger.report_single_value("final", 3.25)
logger.report_histogram("histogram", "bars", [1, 2, 3], iteration=0)
logger.report_scatter2d("scatter", "points", [(0, 1), (1, 2)], iteration=1)
logger.report_table("table", "cells", iteration=2, table_plot=[["a", "b"], [1, 2]])
logger.report_text("a line of the console")
task.upload_artifact("object", {"answer": 42})
weights = Path("weights.bin")
weights.write_bytes(b"weights" * 100_000)
task.upload_artifact("weights", artifact_object=str(weights))
model = OutputModel(task, name="the model", framework="custom", tags=["best"])
model.update_weights(str(weights), auto_delete_file=False)
task.set_user_properties(study="s1", trial=7)
task.add_tags(["first", "second"])
task.set_comment("made for a test")
task.flush(wait_for_uploads=True)
task.close()
print(json.dumps({"id": task.id, "page": task.get_output_log_web_page()}), file=sys.stderr)
