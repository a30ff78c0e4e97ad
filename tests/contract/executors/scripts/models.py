"""Models: two that are made, one of them with a configuration; and one that is read."""

from pathlib import Path

from clearml import InputModel, OutputModel, Task

task = Task.init("contract", "models")
for name in ("first", "second"):
    Path(f"{name}.bin").write_bytes(b"weights" * 10_000)
first = OutputModel(task, name="the first", framework="custom", tags=["best"], label_enumeration={"cat": 0, "dog": 1})
first.update_weights("first.bin", auto_delete_file=False)
second = OutputModel(task, name="the second", config_dict={"depth": 3})
second.update_weights("second.bin", auto_delete_file=False)
second.report_scalar("validation", "loss", 0.25, 1)
task.flush(wait_for_uploads=True)
read = InputModel(model_id=first.id)
print(">", read.name, read.labels, Path(read.get_local_copy()).stat().st_size)
