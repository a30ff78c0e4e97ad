"""Clones a controller task, changes the study in it, and has an agent drive it: by ClearML's SDK alone.

python examples/07_launch_by_clone/launch_copy.py CONTROLLER_TASK_ID budget.trials=4
"""

from __future__ import annotations

import sys

import yaml
from clearml import Task

controller_id, change = sys.argv[1:]
key, _, value = change.partition("=")

copy = Task.clone(controller_id, name=f"copy of {controller_id[:6]} with {change}")
study = yaml.safe_load(copy.get_configuration_object("study"))
*blocks, last = key.split(".")
block = study
for name in blocks:
    block = block[name]
block[last] = yaml.safe_load(value)
copy.set_configuration_object("study", config_text=yaml.safe_dump(study), config_type="yaml")
Task.enqueue(copy, queue_name="services")
print(f"enqueued {copy.id}")
