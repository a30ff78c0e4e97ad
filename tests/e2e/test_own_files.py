"""Scripts that consist of more than one file, run as by hand: on this machine and under an agent that knows nothing."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.embedded, pytest.mark.long]

TRAIN = """
    import argparse
    import json
    from pathlib import Path

    from clearml import Task

    from .inner.scale import SCALE

    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--lr", type=float, default=0.1)

    if __name__ == "__main__":
        task = Task.init()
        arguments = parser.parse_args()
        rows = Path(arguments.data).read_text().split()
        offset = json.loads(Path("conf/main.json").read_text())["offset"]
        seen = sorted(path.name for path in Path().iterdir())
        print("SEES", seen)
        assert not Path("best.pt").exists(), "another trial's"
        Path("best.pt").write_text("of this trial")
        task.get_logger().report_scalar("val", "loss", len(rows) * SCALE * arguments.lr + offset, 0)
"""
STUDY = """
    study: p
    project: own files
    template:
      module: package.train
      arguments: --data rows.csv
    search_space:
      Args/lr: {type: float, low: 0.01, high: 1}
    objective: {metric: val/loss, direction: minimize}
    budget: {trials: 3}
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own: tests share a server, which knows a template by its files."""
    folder = tmp_path / "project"
    write(
        folder,
        {
            "package/__init__.py": f"# {folder}",
            "package/inner/scale.py": "SCALE = 2.0",
            "package/train.py": TRAIN,
            "conf/main.json": '{"offset": 1}',
            "rows.csv": "1 2 3",
            "notes.txt": "of the user",
            "study.yaml": STUDY,
        },
    )
    return folder


@pytest.mark.parametrize("how", [["--cpu", "2"], ["--agents", "1"]], ids=["here", "agent"])
def test_a_package_with_files_and_required_arguments(machine, project, how):
    code, output = machine.run(
        "run", str(project / "study.yaml"), "--new", "--local", *how, "--json", str(project / "out.json")
    )
    assert code == 0, output
    assert "5 files go with each task: conf/main.json, package/__init__.py, package/inner/scale.py" in output
    result = json.loads((project / "out.json").read_text())
    for trial in result["trials"]:
        assert trial["values"]["val/loss"] == pytest.approx(6 * trial["params"]["Args/lr"] + 1)
    assert not (project / "best.pt").exists()
    code, console = machine.run("study", "report", "p", "--local", "--output", str(project / "report"))
    assert code == 0, console
    seen = "".join(path.read_text() for path in (project / "report" / "logs").iterdir())
    assert ("'notes.txt'" in seen) == (how[0] == "--cpu"), "a run here sees all of the folder, an agent's what travels"


def test_trying_again_is_normal(machine, project):
    def run():
        return machine.run("run", str(project / "study.yaml"), "--local", "--cpu", "1", "--set", "study=q")

    write(project, {"package/inner/scale.py": "import warnings\nwarnings.warn('old')\nSCALE = {}['no such key']"})
    code, output = run()
    assert code == 1 and "the first run of train is failed: KeyError: 'no such key'" in output, output
    assert 'package/inner/scale.py", line 3' in output and "/output/log" in output
    assert "UserWarning" not in output and "site-packages" not in output and "runpy" not in output

    write(project, {"package/inner/scale.py": "SCALE = 2.0"})
    code, output = run()
    assert code == 0 and "ended without a value: this one replaces it" in output, output
    code, output = machine.run("resume", "q", "--local", "--set", "budget.trials=4", "--cpu", "1")
    assert code == 0 and "q is the newest study of this name" in output and "the budget of 4 trials" in output, output

    write(project, {"package/inner/scale.py": "SCALE = 3.0"})
    code, output = run()
    assert code == 2 and "exists already" in output and "another template" in output, "this one has values"


def test_a_baseline_that_fails_stops_the_study(machine, tmp_path):
    script = """
        import time
        from clearml import Task
        task = Task.init()
        params = task.connect({"x": 0.5})
        task.get_logger().report_scalar("val", "loss", 1.0, 0)
        task.flush(wait_for_uploads=True)
        time.sleep(2)
        raise RuntimeError("out of data")
    """
    study = """
        study: failing
        template: {script: train.py}
        search_space: {x: {type: float, low: 0, high: 1}}
        objective: {metric: val/loss, direction: minimize}
        budget: {trials: 30}
    """
    write(tmp_path, {"train.py": script, "study.yaml": study})
    code, output = machine.run("run", str(tmp_path / "study.yaml"), "--local", "--cpu", "1")
    assert code == 1 and "the baseline, trial 0, failed: RuntimeError: out of data" in output, output
    assert 'raise RuntimeError("out of data")' in output and "its console: http" in output


def test_a_launcher(machine, tmp_path):
    script = """
        import os
        from clearml import Task
        task = Task.init()
        params = task.connect({"x": 0.5})
        task.get_logger().report_scalar("val", "loss", params["x"] + int(os.environ["RANKS"]), 0)
    """
    launch = """
        import os, subprocess, sys
        ranks, *words = sys.argv[1:]
        sys.exit(subprocess.run([sys.executable, *words], env={**os.environ, "RANKS": ranks}).returncode)
    """
    study = """
        study: launched
        template: {script: train.py, launcher: python launch.py 2, files: [launch.py]}
        search_space: {x: {type: float, low: 0, high: 1}}
        objective: {metric: val/loss, direction: minimize}
        budget: {trials: 2}
    """
    write(tmp_path, {"train.py": script, "launch.py": launch, "study.yaml": study})
    out = tmp_path / "out.json"
    code, output = machine.run("run", str(tmp_path / "study.yaml"), "--local", "--cpu", "1", "--json", str(out))
    assert code == 0, output
    for trial in json.loads(out.read_text())["trials"]:
        assert trial["values"]["val/loss"] == pytest.approx(trial["params"]["General/x"] + 2)
