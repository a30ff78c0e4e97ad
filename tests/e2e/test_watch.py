"""A study that runs, watched from another process, and the files that stay of it."""

from __future__ import annotations

import re

import pytest

pytestmark = [pytest.mark.agent, pytest.mark.embedded, pytest.mark.long]

STUDY = "examples/01_catboost_breast_cancer/study.yaml"


def test_a_running_study_is_watched_from_another_process_and_leaves_a_report(machine, tmp_path):
    few = ("--set", "budget.trials=30")  # so that it still runs when the watching begins
    running = machine.start("run", STUDY, "--local", "--cpu", "1", "--threads", "1", "--new", *few)
    seen = []
    for line in running.stdout:
        seen.append(line)
        if re.search(r"trial \d+ (runs on|completed)", line):
            break
    watching = machine.start("watch", "catboost-breast-cancer", "--local", "--interval", "0.5")
    watched, _ = watching.communicate(timeout=240)
    seen += running.stdout
    assert running.wait(timeout=60) == 0, "".join(seen)
    assert watching.returncode == 0, watched
    for pattern in (r"driven by \S+ pid \d+", r"trial \d+ (completed|pruned)", r"completed: the budget of 30 trials"):
        assert re.search(pattern, watched), watched
    best = re.search(r"best: trial \d+, .*", "".join(seen))
    assert best and best[0] in watched, "it says at the end what the run says"

    folder = tmp_path / "report"
    code, output = machine.run("study", "report", "catboost-breast-cancer", "--local", "--output", str(folder))
    assert code == 0, output
    assert best[0].split("= ")[1] in (folder / "summary.txt").read_text()
    assert best[0].split("= ")[1][:6] in (folder / "summary.html").read_text()
    logs = sorted(path.name for path in (folder / "logs").iterdir())
    assert logs == [f"trial-{number:04d}.log" for number in range(30)]
    assert "trees kept" in (folder / "logs" / "trial-0000.log").read_text()
    assert machine.left_running() == []
