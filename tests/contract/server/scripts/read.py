"""Reads back, in another process, what report.py reported, and prints it as JSON."""

import json
import os
import sys
from pathlib import Path

from clearml import Model, Task

task = Task.get_task(task_id=sys.argv[1])
scalars = task.get_reported_scalars()
weights = Path(task.artifacts["weights"].get_local_copy()).read_bytes()
model = task.models["output"][-1]
found = {
    "status": task.status,
    "parameters": task.get_parameters(),
    "typed": task.get_parameters(cast=True),
    "configuration": task.get_configuration_object_as_dict("network"),
    "last_scalars": task.get_last_scalar_metrics(),
    "loss": scalars["train"]["loss"],
    "last_iteration": task.get_last_iteration(),
    "single": task.get_reported_single_values(),
    "plots": sorted(plot["metric"] for plot in task.get_reported_plots()),
    "console": "".join(task.get_reported_console_output(number_of_reports=100)),
    "object": task.artifacts["object"].get(),
    "weights": len(weights),
    "model": {
        "name": model.name,
        "bytes": Path(model.get_local_copy()).stat().st_size,
        "task": model.task,
        "tags": list(model.tags),
        "found": [
            each.id for each in Model.query_models(project_name=f"{os.environ['TEST_PROJECT']}/sdk", tags=["best"])
        ]
        == [model.id],
    },
    "properties": {name: item["value"] for name, item in task.get_user_properties().items()},
    "tags": sorted(task.get_tags()),
    "comment": task.comment,
}
print(json.dumps(found), file=sys.stderr)
