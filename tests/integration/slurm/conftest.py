"""A site: Slurm, an embedded server, job scripts that ``clearml-hpo deploy slurm`` has written, and a study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clearml_hpo.testing.executor_contract import Stage, eventually
from tests import place
from tests.slurm import Slurm, slurm

__all__ = ["slurm"]

SCRIPT = """\
import json, os, pathlib, time
from clearml import Task
task = Task.init()
x = float(task.connect({{"x": 0.5}})["x"])
folder = pathlib.Path({folder!r})
with (folder / "begun").open("a") as log:
    log.write(task.id + "\\n")
(folder / ("environ-" + task.id)).write_text(json.dumps(dict(os.environ)))
while not (folder / "go").exists() and not (folder / ("go-" + task.id)).exists():
    time.sleep(0.05)
task.get_logger().report_scalar("validation", "loss", x * x, 0)
"""
STUDY = """\
study: {name}
project: {project}
template: {{task: {template}}}
search_space: {{General/x: {{type: float, low: 0.0, high: 1.0}}}}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: random, seed: 1}}
budget: {{trials: 4}}
execution: {{poll_interval: 0.2, concurrency: 4, {execution}}}
"""


@dataclass
class Site:
    """What a user of a cluster has.

    Attributes:
        folder: on the file system that all nodes share.
        environ: of a shell on the login node, which jobs take over.
        stage: the server.
        template: the task of which trials are clones.
    """

    slurm: Slurm
    folder: Path
    environ: dict[str, str]
    stage: Stage
    template: str

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts ``clearml-hpo``."""
        command = [sys.executable, "-m", "clearml_hpo", *map(str, arguments)]
        environ = {**self.environ, **self.slurm.environ}
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=environ, start_new_session=True, **options)

    def deploy(self, *options: str) -> None:
        """Writes job scripts for the queue: jobs of one core that stay."""
        small = ("--gpus", "0", "--cores", "1", "--memory", "100M", "--idle-timeout", "1h")
        words = ("--queue", self.stage.queue, *small, *options)
        process = self.start("deploy", "slurm", *words, "--output", self.folder, "--force")
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output

    def write_study(self, execution: str) -> None:
        """Writes the study file; ``execution`` says where trials run, as ``key: value`` in YAML."""
        names = {"name": self.stage.queue, "project": place.project("slurm"), "template": self.template}
        (self.folder / "study.yaml").write_text(STUDY.format(**names, execution=execution))

    def submit(self, script: str = "worker.sh", *words: str) -> str:
        """The id of a job, or of an array of jobs; words are added to the options of its workers."""
        return self.slurm.sbatch("--chdir", self.folder, self.folder / script, *words, **self.environ)

    def run(self, *overrides: str) -> subprocess.Popen[str]:
        """Starts the study, or goes on with it."""
        words = [word for override in overrides for word in ("--set", override)]
        return self.start("run", "study.yaml", *words, "--output", self.folder / "out.json")

    @property
    def begun(self) -> list[str]:
        """Tasks that began to run, in their order."""
        path = self.folder / "begun"
        return path.read_text().split() if path.exists() else []

    def until_begun(self, count: int) -> list[str]:
        """Waits until so many tasks have begun."""
        eventually(lambda: len(self.begun) >= count, f"{count} tasks have begun", self.state)
        return self.begun

    def environ_of(self, task: str) -> dict[str, str]:
        """The variables that a task's process has."""
        path = self.folder / f"environ-{task}"
        eventually(lambda: path.exists() and path.read_text().endswith("}"), "the task says it", self.state)
        return dict(json.loads(path.read_text()))

    def release(self, *tasks: str) -> None:
        """Lets tasks end; without a name all of them."""
        for name in [f"go-{task}" for task in tasks] or ["go"]:
            (self.folder / name).touch()

    def result(self, process: subprocess.Popen[str]) -> list[dict[str, Any]]:
        """The trials of a study, when its run has ended well."""
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, f"{output}\n{self.state()}"
        return list(json.loads((self.folder / "out.json").read_text())["trials"])

    def logs(self) -> str:
        """What all jobs have printed."""
        files = sorted([*self.folder.glob("*.log"), *self.folder.glob("slurm-*.out")])
        return "\n".join(f"{path.name}: {path.read_text()}" for path in files)

    def state(self) -> str:
        """For messages of tests that fail."""
        return f"{self.slurm.left()}\n{self.logs()}"


@pytest.fixture
def site(slurm, server_environ, tmp_path, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)
    from clearml_hpo.backend.api import Api

    stage = Stage(Api(), tmp_path, place.queue("slurm"), 1)
    stage.api.call("queues.create", name=stage.queue)
    template = stage.script(SCRIPT.format(folder=str(tmp_path)), name="template", params={"x": 0.5})
    path = f"{Path(sys.executable).parent}{os.pathsep}{slurm.environ['PATH']}"
    environ = {**server_environ, "PATH": path, "CLEARML_HPO_HOME": str(tmp_path / "state"), "COLUMNS": "160"}
    site = Site(slurm, tmp_path, environ, stage, template)
    site.write_study(f"queue: {stage.queue}")
    yield site
    slurm.clear()
