"""Artifacts: objects, a file, a folder, an array, a table; read again by the same script."""

from pathlib import Path

import numpy as np
import pandas as pd
from clearml import Task

task = Task.init("contract", "artifacts")
Path("weights.bin").write_bytes(b"weights" * 10_000)
Path("folder").mkdir()
Path("folder", "a.txt").write_text("first")
table = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
task.upload_artifact("object", {"answer": 42}, metadata={"unit": "none"})
task.upload_artifact("file", "weights.bin")
task.upload_artifact("array", np.arange(6).reshape(2, 3))
task.upload_artifact("table", table)
task.upload_artifact("text", "a line", wait_on_upload=True)
task.upload_artifact("late", {"last": True})
task.flush(wait_for_uploads=True)
seen = Task.get_task(task_id=task.id).artifacts
print(">", seen["object"].get(), seen["text"].get(), seen["late"].get())
print(">", np.load(seen["array"].get_local_copy())["array"].tolist() if seen["array"].type == "numpy" else "")
print(">", Path(seen["file"].get_local_copy()).stat().st_size)
