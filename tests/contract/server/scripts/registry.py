"""Plots, images, artifacts and models: reported, and read back through the SDK; prints what came of it as JSON."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from clearml import InputModel, Model, OutputModel, Task
from clearml.backend_api.session.client import APIClient

PROJECT = f"{os.environ['TEST_PROJECT']}/registry"
task = Task.init(PROJECT, "everything", reuse_last_task_id=False, auto_connect_frameworks=False)
logger = task.get_logger()

for iteration in range(4):
    image = np.full((8, 8, 3), iteration * 40, dtype=np.uint8)
    logger.report_image("images", "grey", iteration, image=image)
    logger.report_scalar("train", "loss", 1.0 / (iteration + 1), iteration)
    time.sleep(0.002)  # over time, the points of one millisecond are one
figure = {"data": [{"type": "bar", "x": ["a", "b"], "y": [1, 2]}], "layout": {"title": {"text": "bars"}}}
logger.report_plotly("figures", "bars", figure=figure, iteration=0)
logger.report_table("tables", "frame", iteration=0, table_plot=pd.DataFrame({"a": [1, 2]}, index=["x", "y"]))
logger.report_confusion_matrix("matrices", "confusion", matrix=[[1, 2], [3, 4]], iteration=0)
logger.report_surface("surfaces", "surface", matrix=[[1, 2], [3, 4]], iteration=0)
logger.report_text("the first line")
print("the second line")

task.upload_artifact("frame", pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
task.upload_artifact("array", np.arange(6).reshape(2, 3))
task.upload_artifact("gone", {"x": 1}, wait_on_upload=True)
task.set_configuration_object("text", config_text="a = 1", config_type="hocon", description="as text")
task.set_configuration_object("values", config_dict={"a": {"b": [1, 2]}})
task.set_user_properties({"name": "typed", "value": 3, "type": "int", "description": "with a type"}, plain="x")

Path("weights.bin").write_bytes(b"weights")
output = OutputModel(
    task, name="draft", framework="PyTorch", tags=["candidate"], label_enumeration={"cat": 1, "dog": 2}
)
output.update_weights("weights.bin", auto_delete_file=False, iteration=3)
output.update_design(config_dict={"layers": 2})
output.set_metadata("accuracy", "0.9", "float")
output.set_metadata("owner", "me")
output.report_scalar("quality", "accuracy", 0.9, 0)
given = InputModel.import_model("file:///given.bin", name="given", project=PROJECT, tags=["imported"])
task.connect(given)
task.flush(wait_for_uploads=True)
client = APIClient()


def last_metrics():
    asked = {"version": "2.23", "json": {"model": output.id}}
    return client.session.send_request("models", "get_by_id", **asked).json()["data"]["model"]["last_metrics"]


deadline = time.monotonic() + 120
while not last_metrics():  # a model's reports go out in the background, and a published model takes none
    assert time.monotonic() < deadline
    time.sleep(0.2)
output.publish()
task.delete_artifacts(["gone"])
task.close()

read = Task.get_task(task_id=task.id)
model = Model(output.id)
by_time = {axis: read.get_reported_scalars(x_axis=axis)["train"]["loss"] for axis in ("iter", "timestamp", "iso_time")}
samples = read.get_debug_samples("images", "grey", n_last_iterations=3)
plots = {plot["metric"]: json.loads(plot["plot_str"]) for plot in read.get_reported_plots()}


def found_models(**filters):
    return [each.name for each in Model.query_models(project_name=PROJECT, **filters)]


found = {
    "of the model": [each["value"] for variants in last_metrics().values() for each in variants.values()],
    "by time": {axis: (points["y"], type(points["x"][0]).__name__) for axis, points in by_time.items()},
    "in order": all(points["x"] == sorted(points["x"]) for points in by_time.values()),
    "all scalars": read.get_all_reported_scalars()["train"]["loss"]["y"],
    "samples": [sample["iter"] for sample in samples],
    "plots": sorted(plots),
    "figure": plots["figures"]["data"][0]["y"],
    "metrics": sorted(client.events.get_task_metrics(tasks=[task.id], event_type="plot").metrics[0]["metrics"]),
    "console": "".join(read.get_reported_console_output(number_of_reports=50)),
    "artifacts": sorted(read.artifacts),
    "frame": read.artifacts["frame"].get()["b"].tolist(),
    "preview": "a" in read.artifacts["frame"].preview,
    "array": read.artifacts["array"].get().tolist(),
    "configuration": [read.get_configuration_object("text"), read.get_configuration_object_as_dict("values")],
    "properties": {name: (item["value"], item.get("type")) for name, item in read.get_user_properties().items()},
    "model": {
        "task": model.task == task.id,
        "published": model.published,
        "labels": model.labels,
        "design": model.config_dict,
        "metadata": model.get_all_metadata_casted(),
        "framework": str(model.framework),
        "weights": Path(model.get_local_copy()).read_bytes().decode(),
    },
    "models": {side: [each.name for each in models] for side, models in read.models.items()},
    "published": found_models(only_published=True),
    "tagged": found_models(tags=["imported"]),
    "with metadata": found_models(metadata={"owner": "me"}),
    "none": found_models(metadata={"owner": "you"}),
    "by name": found_models(model_name="given"),
}
model.archive()
found["archived"] = [found_models(), sorted(found_models(include_archived=True))]
found["removed"] = [
    bool(Model.remove(given.id, delete_weights_file=False, force=True)),
    found_models(tags=["imported"]),
]
print(json.dumps(found), file=sys.stderr)
