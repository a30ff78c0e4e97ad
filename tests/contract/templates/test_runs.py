"""Templates as users and agents run them: a process of its own."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import requests

from tests import place

TEMPLATES = Path(__file__).parents[3] / "templates"
SCRIPT = TEMPLATES / "catboost_train.py"
QUICK = ("iterations=5", "thread_count=1")


def run(environ, *arguments, cwd, script=SCRIPT):
    return subprocess.run(
        [sys.executable, script, *arguments],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


# --- Without a server


@pytest.fixture
def offline(tmp_path):
    """Environment of a run without a server; it leaves its session under ``tmp_path``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEARML_")}
    return kept | {"CLEARML_OFFLINE_MODE": "1", "CLEARML_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path)}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "suffix"), [("catboost", ".cbm"), ("xgboost", ".ubj"), ("lightgbm", ".txt"), ("sklearn", ".joblib")]
)
def test_a_run_without_a_server_keeps_its_scalars_and_model(offline, tmp_path, name, suffix):
    done = run(offline, *QUICK, cwd=tmp_path, script=TEMPLATES / f"{name}_train.py")
    assert done.returncode == 0, done.stderr
    (session,) = (path for path in (tmp_path / "offline").iterdir() if path.is_dir())
    lines = (session / "metrics.jsonl").read_text().splitlines()
    names = {f"{event['metric']}/{event['variant']}" for line in lines for event in json.loads(line)}
    assert {"validation/logloss", "train/logloss", "Summary/validation_logloss"} <= names
    assert {"feature importances/plot", "feature importances/table"} <= names
    assert list(session.rglob(f"model-*{suffix}"))
    task = json.loads((session / "task.json").read_text())
    assert task["name"] == name
    iterations = task["hyperparams"]["General"]["iterations"]
    assert (iterations["value"], iterations["type"]) == ("5", "int")


@pytest.mark.long
def test_the_smallest_template_is_short_and_reports_as_it_trains(offline, tmp_path):
    script = TEMPLATES / "minimal_train.py"
    assert len(script.read_text().splitlines()) <= 60
    done = run(offline, cwd=tmp_path, script=script)
    assert done.returncode == 0, done.stderr
    (session,) = (path for path in (tmp_path / "offline").iterdir() if path.is_dir())
    lines = (session / "metrics.jsonl").read_text().splitlines()
    events = [event for line in lines for event in json.loads(line) if event["metric"] == "validation"]
    losses = {event["iter"]: event["value"] for event in events}
    assert sorted(losses) == list(range(20)) and losses[19] < losses[0]
    task = json.loads((session / "task.json").read_text())
    assert {name: entry["type"] for name, entry in task["hyperparams"]["General"].items()} == {
        **{"learning_rate": "float", "l2": "float", "average": "bool", "epochs": "int", "seed": "int"}
    }


@pytest.mark.long
def test_bad_data_ends_a_run_by_hand_with_one_line(offline, tmp_path):
    (tmp_path / "constant.csv").write_text("x,y\n1,0\n2,0\n")
    done = run(offline, "data=constant.csv", cwd=tmp_path)
    assert done.returncode == 1
    # The SDK's look at the script's imports may be cut short by the exit, and says so in a line of its own.
    said = [line for line in done.stderr.splitlines() if not line.startswith("Failed auto-generating package")]
    assert said == ["InputError: constant.csv: the target 'y' is constant: every row has 0"]


def test_a_misspelt_parameter_starts_nothing(offline, tmp_path):
    done = run(offline, "dept=3", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: unknown parameter 'dept' (did you mean depth?)")


# --- With the embedded server


class Api:
    """Calls the server as any program could."""

    def __init__(self, environ):
        self._url = environ["CLEARML_API_HOST"]
        keys = (environ["CLEARML_API_ACCESS_KEY"], environ["CLEARML_API_SECRET_KEY"])
        login = requests.post(f"{self._url}/auth.login", auth=keys, timeout=30).json()
        self._headers = {"Authorization": f"Bearer {login['data']['token']}"}

    def __call__(self, endpoint, **body):
        answer = requests.post(f"{self._url}/{endpoint}", json=body, headers=self._headers, timeout=30)
        assert answer.ok, answer.text
        return answer.json()["data"]

    def task(self, task_id):
        return self("tasks.get_by_id", task=task_id)["task"]


@pytest.fixture(scope="module")
def api(server_environ):
    return Api(server_environ)


@pytest.fixture(scope="module")
def trained(server_environ, api, tmp_path_factory):
    """A task that a run by hand left on the server."""
    folder = tmp_path_factory.mktemp("by_hand")
    script = folder / SCRIPT.name
    script.write_text(SCRIPT.read_text().replace('"clearml-hpo/templates"', repr(place.project("templates"))))
    done = run(server_environ, *QUICK, cwd=folder, script=script)
    assert done.returncode == 0, done.stderr
    (found,) = api("tasks.get_all", name="^catboost$", order_by=["-created"], page=0, page_size=1)["tasks"]
    return api.task(found["id"])


def series(task):
    """The names and last values of a task's scalars, ``title/series``."""
    values = [value for title in task["last_metrics"].values() for value in title.values()]
    return {f"{value['metric']}/{value['variant']}": value["value"] for value in values}


def run_clone(server_environ, api, task, cwd, **changed):
    """Run a clone of the task with other values, the way an agent does."""
    hyperparams = deepcopy(task["hyperparams"])
    for name, value in changed.items():
        hyperparams["General"][name]["value"] = value
    clone = api("tasks.clone", task=task["id"], new_task_name="clone", new_task_hyperparams=hyperparams)["id"]
    remote = {"CLEARML_TASK_ID": clone, "CLEARML_LOG_TASK_TO_BACKEND": "1"}
    return run(server_environ | remote, cwd=cwd), api.task(clone)


@pytest.mark.long
def test_a_run_by_hand_leaves_scalars_single_values_and_a_model(trained, api):
    assert trained["status"] == "completed"
    assert len(trained["script"]["diff"].splitlines()) == len(SCRIPT.read_text().splitlines())
    assert not trained["script"].get("repository")
    reported = series(trained)
    assert reported.keys() >= {
        "validation/logloss",
        "validation/auc",
        "validation/accuracy",
        "train/logloss",
        "Summary/validation_logloss",
        "Summary/best_iteration",
    }
    curves = api("events.scalar_metrics_iter_histogram", task=trained["id"])
    assert len(curves["validation"]["logloss"]["x"]) == 5
    (output,) = trained["models"]["output"]
    model = api("models.get_by_id", model=output["model"])["model"]
    assert model["uri"].endswith("model.cbm")
    assert model["labels"] == {"0": 0, "1": 1}


@pytest.mark.long
def test_a_clone_trains_with_its_own_values(trained, server_environ, api, tmp_path):
    done, clone = run_clone(server_environ, api, trained, tmp_path, learning_rate="0.3", iterations="3")
    assert done.returncode == 0, done.stderr
    assert clone["last_iteration"] == 2
    assert series(clone)["validation/logloss"] != series(trained)["validation/logloss"]
    assert clone["models"]["output"]


@pytest.mark.long
def test_bad_data_is_a_failed_task_with_its_reason(trained, server_environ, api, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("x,y\n1,0\n2,1\n")
    done, clone = run_clone(server_environ, api, trained, tmp_path, data=str(table), target="z")
    assert done.returncode == 1
    assert clone["status"] == "failed"
    assert clone["status_reason"] == f"General/target: {table} has no column 'z'; it has x, y, ..."
