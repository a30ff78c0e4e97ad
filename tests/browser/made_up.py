"""A small study that never ran: what a server holds after some hours, made up."""

from __future__ import annotations

import base64
import json
import math
import random
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from clearml_hpo.machine.settings import ServerAddress

STUDY = "study: tabular\ntemplate: {task: abc}\nbudget:\n  trials: 24\n"
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFklEQVR4nGPQrX6CFTFgFwZKjEoMqAQAeuiwgbGEBmAAAAAASUVORK5CYII="
)


class Client:
    """Calls an endpoint of a server."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        pair = base64.b64encode(f"{address.access_key}:{address.secret_key}".encode()).decode()
        self._basic = f"Basic {pair}"

    def send(self, url: str, body: bytes, kind: str) -> bytes:
        """One request; its answer."""
        headers = {"authorization": self._basic, "content-type": kind}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            content: bytes = answer.read()
            return content

    def call(self, endpoint: str, /, **data: Any) -> dict[str, Any]:
        """A call; its data."""
        answer = self.send(f"{self._address.api}/{endpoint}", json.dumps(data).encode(), "application/json")
        found: dict[str, Any] = json.loads(answer)["data"]
        return found

    def report(self, events: list[dict[str, Any]]) -> None:
        """Reports events."""
        body = "\n".join(map(json.dumps, events)).encode()
        self.send(f"{self._address.api}/events.add_batch", body, "application/json-lines")

    def upload(self, name: str, content: bytes) -> str:
        """Keeps a file; its address."""
        address = f"{self._address.files}/{quote(name)}"
        self.send(address, content, "application/octet-stream")
        return address

    def status(self, task: str) -> str:
        """A task's status."""
        found: str = self.call("tasks.get_by_id", task=task)["task"]["status"]
        return found


@dataclass
class World:
    """Ids of what was made."""

    project: str
    scratch: str
    queue: str
    controller: str
    running: str
    trials: list[str] = field(default_factory=list)


def make(client: Client, trials: int = 24, seed: int = 5) -> World:
    """A project with a study: its controller task, trials, one of them running; a worker and a queue."""
    chance = random.Random(seed)
    project = client.call("projects.create", name="vision/tabular", description="Made up for the documentation.")["id"]
    scratch = client.call("projects.create", name="vision/detection")["id"]
    queue = client.call("queues.create", name="gpu")["id"]
    controller = client.call(
        "tasks.create",
        name="tabular",
        type="optimizer",
        project=project,
        tags=["clearml-hpo"],
        configuration={"study": {"name": "study", "type": "yaml", "value": STUDY}},
        hyperparams={"General": {"seed": _item("General", "seed", 7)}},
    )["id"]
    client.call("tasks.create", name="tabular", type="training", project=project, tags=["template"])
    made = World(project, scratch, queue, controller, "")
    for number in range(trials):
        made.trials.append(_trial(client, made, number, chance, runs=number == trials - 1))
    made.running = made.trials[-1]
    client.call("workers.register", worker="box:gpu0", queues=[queue])
    client.call("workers.status_report", worker="box:gpu0", timestamp=1, task=made.running, queue=queue, queues=[queue])
    client.call("workers.register", worker="box:gpu1", queues=[queue])
    return made


def _item(section: str, name: str, value: object) -> dict[str, str]:
    return {"section": section, "name": name, "value": str(value)}


def _trial(client: Client, made: World, number: int, chance: random.Random, *, runs: bool) -> str:
    values = {
        "learning_rate": f"{10 ** chance.uniform(-3, -0.5):.5g}",
        "depth": chance.randint(4, 10),
        "l2_leaf_reg": f"{chance.uniform(1, 10):.3g}",
        "bootstrap_type": chance.choice(["Bayesian", "Bernoulli", "MVS"]),
        "border_count": chance.choice([32, 64, 128]),
        "iterations": 500,
    }
    task: str = client.call(
        "tasks.create",
        name=f"tabular #{number}",
        type="training",
        project=made.project,
        parent=made.controller,
        tags=["best"] if number == 7 else [],
        hyperparams={
            "General": {name: _item("General", name, value) for name, value in values.items()},
            "properties": {"trial": _item("properties", "trial", number)},
        },
        script={
            "repository": "",
            "entry_point": "train.py",
            "working_dir": ".",
            "diff": "import catboost\n\nprint(1)\n",
        },
    )["id"]
    client.call("tasks.started", task=task)
    curves = _curves(task, values, chance, 60 if runs else 120)
    client.report(curves)
    if not runs:
        losses = [event["value"] for event in curves if event.get("variant") == "validation"]
        value = {**_item("properties", "value", f"{min(losses):.6g}"), "type": ""}
        client.call("tasks.edit_hyper_params", task=task, hyperparams=[value], replace_hyperparams="none", force=True)
        client.call(
            f"tasks.{'failed' if number % 11 == 5 else 'stopped' if number % 7 == 4 else 'completed'}", task=task
        )
    return task


def _curves(task: str, values: dict[str, Any], chance: random.Random, length: int) -> list[dict[str, Any]]:
    rate = float(values["learning_rate"])
    floor = 0.08 + 0.05 * abs(math.log10(rate) + 1.3) + 0.01 * abs(int(values["depth"]) - 7)
    events: list[dict[str, Any]] = []
    for n in range(length):
        fall = math.exp(-n * (0.02 + rate / 2))
        for variant, worse in (("learn", -0.02), ("validation", 0.0)):
            value = floor + worse + 0.6 * fall + chance.gauss(0, 0.004)
            events.append(_scalar(task, "logloss", variant, n, value))
        events.append(_scalar(task, "validation", "AUC", n, 1 - floor - 0.4 * fall + chance.gauss(0, 0.004)))
        if n % 10 == 0:
            events.append(_scalar(task, ":monitor:machine", "cpu_usage", n, chance.uniform(40, 90)))
    now = int(time.time() * 1000)
    for n in range(length):
        msg = f"{n}:\tlearn: {0.7 - n / 400:.4f}\ttest: {0.72 - n / 500:.4f}\tremaining: {length - n}ms"
        events.append({"type": "log", "task": task, "timestamp": now - (length - n) * 100, "msg": msg})
    return events


def _scalar(task: str, metric: str, variant: str, iteration: int, value: float) -> dict[str, Any]:
    kind = {"type": "training_stats_scalar", "timestamp": int(time.time() * 1000) + iteration * 100}
    return {**kind, "task": task, "metric": metric, "variant": variant, "iter": iteration, "value": value}


def make_rich(client: Client, project: str) -> str:
    """A task with one of everything that a page shows."""
    task: str = client.call("tasks.create", name="one of everything", type="training", project=project)["id"]
    client.call("tasks.started", task=task)
    picture = client.upload(f"vision/{task}/picture one.png", _PNG)
    table = client.upload(f"vision/{task}/table.csv", b"a,b\n1,2\n")
    plot = {"data": [{"type": "bar", "x": ["a", "b"], "y": [3, 5]}], "layout": {"title": {"text": "a bar"}}}
    surface = {"data": [{"type": "scatter3d", "x": [1, 2], "y": [1, 2], "z": [1, 2]}], "layout": {}}
    client.report(
        [
            {"type": "plot", "task": task, "metric": "bars", "variant": "one", "iter": 3, "plot_str": json.dumps(plot)},
            {
                "type": "plot",
                "task": task,
                "metric": "bars",
                "variant": "3d",
                "iter": 0,
                "plot_str": json.dumps(surface),
            },
            {"type": "plot", "task": task, "metric": "bars", "variant": "bad", "iter": 0, "plot_str": "no JSON"},
            *(
                {
                    "type": "training_debug_image",
                    "task": task,
                    "metric": "pictures",
                    "variant": "p",
                    "iter": n,
                    "url": url,
                }
                for n, url in enumerate((picture, picture, "s3://bucket/p.png"))
            ),
            {"type": "log", "task": task, "msg": "\x1b[31mred\x1b[0m\n 10%\r100%"},
            _scalar(task, "Summary", "final", -(2**31), 3.25),
        ]
    )
    artifact = {"key": "table", "type": "pandas", "uri": table, "content_size": 8, "type_data": {"preview": "a b"}}
    client.call("tasks.add_or_update_artifacts", task=task, artifacts=[artifact])
    model = client.call("models.create", name="the model", uri=table, framework="CatBoost", task=task)["id"]
    client.call("tasks.add_or_update_model", task=task, name="model", model=model, type="output")
    client.call("tasks.completed", task=task)
    return task
