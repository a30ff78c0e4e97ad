"""Reads a dataset that the command line made, and makes a version on top of it; its argument is the dataset's id."""

import json
import os
import sys
from pathlib import Path

from clearml import Dataset

PROJECT = f"{os.environ['TEST_PROJECT']}/data"

dataset = Dataset.get(dataset_id=sys.argv[1])
folder = Path(dataset.get_local_copy())
Path("c.txt").write_text("third")
child = Dataset.create("the data", PROJECT, parent_datasets=[dataset.id])
child.add_files("c.txt")
added = child.list_added_files(dataset.id)
child.finalize(auto_upload=True)
latest = Dataset.get(dataset_project=PROJECT, dataset_name="the data")
found = {
    "files": sorted(dataset.list_files()),
    "first": (folder / "a.txt").read_text(),
    "by name": latest.id == child.id,
    "added": added,
    "child": sorted(path.name for path in Path(latest.get_local_copy()).iterdir()),
    "versions": sorted(each["version"] for each in Dataset.list_datasets(PROJECT, only_completed=True)),
}
Dataset.delete(child.id)
found["deleted"] = child.id not in [each["id"] for each in Dataset.list_datasets(PROJECT)]
print(json.dumps(found), file=sys.stderr)
