"""Configuration objects: a dictionary, a file, a text."""

import json
from pathlib import Path

from clearml import Task

task = Task.init("contract", "configuration")
network = task.connect_configuration({"layers": {"first": 3, "second": 4}}, name="network")
Path("plan.json").write_text(json.dumps({"epochs": 3}))
plan = task.connect_configuration("plan.json", name="plan", description="of the training")
task.set_configuration_object("notes", config_text="as many as\nthere are")
print(">", network["layers"])
print(">", json.loads(Path(plan).read_text()))
print(">", repr(task.get_configuration_object("notes")))
