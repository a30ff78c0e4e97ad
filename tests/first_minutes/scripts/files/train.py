"""Files beside the script, a module beside it, and an argument that is required."""

import argparse
import csv
import json
from pathlib import Path

from clearml import Task
from losses import square

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--slope", type=float, default=1.0)

task = Task.init("first minutes", "files")
options = parser.parse_args()
offset = json.loads(Path("settings/offset.json").read_text())["offset"]
with Path(options.data).open() as file:
    rows = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
task.get_logger().report_scalar("validation", "mse", square(rows, options.slope, offset), 0)
