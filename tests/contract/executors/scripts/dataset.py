"""A dataset, by its id and by its name."""

import os
from pathlib import Path

from clearml import Dataset, Task

task = Task.init("contract", "dataset")
which = task.connect({"dataset": ""})["dataset"]
dataset = Dataset.get(dataset_id=which, alias="the data")
folder = Path(dataset.get_local_copy())
print(">", sorted(dataset.list_files()), (folder / "a.txt").read_text())
print(
    ">",
    Dataset.get(dataset_project=os.environ["TEST_PROJECT"] + "/contract", dataset_name="the data of the contract").id
    == which,
)
