"""Templates as warm workers run them, on the embedded server: forks of a process that has imported the library."""

from pathlib import Path

import pandas as pd
import pytest

from clearml_hpo.backend.api import Api
from clearml_hpo.executors.local import LocalExecutor
from clearml_hpo.testing.executor_contract import Stage
from clearml_hpo.workers.slots import plan_slots
from tests import place

pytestmark = pytest.mark.long

TEMPLATES = Path(__file__).parents[3] / "templates"
NAMES = ("catboost", "xgboost", "lightgbm", "sklearn")


@pytest.fixture
def api(server_environ, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    return Api()


@pytest.fixture
def stage(api, tmp_path, request):
    return Stage(api, tmp_path, place.queue(f"templates-{request.node.name[:30]}"), 1)


@pytest.fixture
def run(stage):
    """Runs a template once with each of some parameters; the tasks when all have ended as is said."""
    notes = []
    executors = {
        is_warm: LocalExecutor(
            stage.api, plan_slots(cpu=1, threads=2), queue=f"{stage.queue}{is_warm}", on_note=notes.append, warm=is_warm
        )
        for is_warm in (True, False)
    }

    def run(name, *params, ends="completed", warm=True):
        text = (TEMPLATES / f"{name}_train.py").read_text()
        tasks = [stage.script(text, params={"iterations": 3} | each) for each in params]
        for task in tasks:
            executors[warm].submit(task)
        stage.until(ends, *tasks)
        assert notes == []
        found = {task["id"]: task for task in stage.api.call("tasks.get_all", id=tasks)["tasks"]}
        return [found[task] for task in tasks]

    yield run
    for executor in executors.values():
        executor.close()


def _scalars(stage, task):
    found = stage.api.call("events.scalar_metrics_iter_histogram", task=task["id"], samples=6_000)
    return {title: series for title, series in found.items() if title in ("train", "validation")}


@pytest.mark.parametrize("name", NAMES)
def test_a_fork_trains_as_a_process_of_its_own_with_the_threads_of_its_slot(stage, run, name):
    """Two threads: OpenMP starts in the fork, after imports that have not used it."""
    given = {"data": "iris", "seed": 5}
    forks = run(name, given, given)
    (alone,) = run(name, given, warm=False)
    found = [_scalars(stage, task) for task in (*forks, alone)]
    assert found[0] == found[1] == found[2]
    assert found[0]["validation"]["logloss"]["x"] == ([2] if name == "sklearn" else [0, 1, 2])
    for task in (*forks, alone):
        assert len(task["models"]["output"]) == 1
        assert [each["key"] for each in task["execution"]["artifacts"]] == ["validation_predictions"]


def test_what_cannot_be_trained_is_a_failed_task_with_one_line_of_reason(stage, run, tmp_path):
    files = {
        "good": "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(20)),
        "constant": "x,y\n1,0\n2,0\n",
        "alone": "x,y\n1,a\n2,a\n3,b\n",
        "late": "t,x,y\n" + "".join(f"{i},{i},{'ab'[i > 7]}\n" for i in range(10)),
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    good = str(tmp_path / "good.csv")
    expected = [
        ({"data": str(tmp_path / "none.csv")}, f"General/data: no file {tmp_path}/none.csv on "),
        ({"data": "0" * 32}, f"General/data: no dataset {'0' * 32} on the ClearML server"),
        ({"data": good, "target": "z"}, f"General/target: {good} has no column 'z'; it has x, y, ..."),
        (
            {"data": good, "metrics": "loss"},
            "General/metrics: unknown metric 'loss' for a binary problem; known: logloss",
        ),
        ({"data": str(tmp_path / "constant.csv")}, f"{tmp_path}/constant.csv: the target 'y' is constant"),
        ({"data": str(tmp_path / "alone.csv")}, "class 'b' has a single row: it cannot be on both sides of the split"),
        (
            {"data": str(tmp_path / "late.csv"), "time_column": "t", "validation": "time", "folds": 1},
            "class 'b' has no row on the training side of the split",
        ),
        ({"data": good, "test_data": "none.csv"}, "General/test_data: no file "),
        ({"data": good, "depth": 17}, "Maximum tree depth is 16"),
    ]
    for task, (_, reason) in zip(
        run("catboost", *(given for given, _ in expected), ends="failed"), expected, strict=True
    ):
        assert task["status_reason"].startswith(reason)
        assert "\n" not in task["status_reason"]


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("xgboost", {"max_depth": -3}, "value -3 for Parameter max_depth should be greater equal to 0"),
        ("xgboost", {"loss": "squares"}, "Unknown objective function: `squares`"),
        ("lightgbm", {"num_leaves": 1}, "Check failed: (num_leaves) > (1)"),
        (
            "sklearn",
            {"estimator": "ridge"},
            "General/estimator: ridge is not for a binary problem, but random_forest, ",
        ),
    ],
)
def test_what_a_library_refuses_is_a_failed_task_with_its_reason(run, name, given, reason):
    (task,) = run(name, given, ends="failed")
    assert task["status_reason"].startswith(reason)


def test_a_dataset_of_clearml_trains_and_what_it_predicts_can_be_fetched(run, tmp_path, server_environ):
    from clearml import Dataset, Task

    rows = range(40)
    frame = pd.DataFrame({"key": rows, "x": rows, "kind": ["low" if i < 20 else "high" for i in rows]})
    frame.to_parquet(tmp_path / "train.parquet")
    frame[["key", "x"]].to_csv(tmp_path / "test.csv", index=False)
    made = Dataset.create(dataset_name="table", dataset_project=place.project("datasets"))
    for name in ("train.parquet", "test.csv"):
        made.add_files(str(tmp_path / name))
    made.upload(show_progress=False)
    assert made.finalize()
    given = {"data": made.id, "data_file": "train.parquet", "id_column": "key", "test_data": "test.csv"}
    (task,) = run("catboost", given)
    (several,) = run("catboost", {"data": made.id}, ends="failed")
    assert several["status_reason"].endswith(
        f"name one of the tables of the dataset {made.id}: test.csv, train.parquet"
    )
    artifacts = Task.get_task(task["id"]).artifacts
    assert artifacts["submission"].url.endswith("/submission.csv")
    submission = pd.read_csv(artifacts["submission"].get_local_copy())
    assert submission["kind"].tolist() == frame["kind"].tolist()
    assert set(artifacts) == {"submission", "test_predictions", "validation_predictions"}
    predictions = artifacts["validation_predictions"].get()
    assert len(predictions) == 8 and (predictions["prediction"] == predictions["target"]).all()
