"""The benchmark's command and the keys of its JSON, by the sides that start soon."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import clearml.automation
import psutil
import pytest

from benchmarks.boosting import PARAMETERS, SPACE, TREES, train
from benchmarks.study import SHARES, SIDES, bands, clearml_ranges, figures, needs, study_file, summary
from benchmarks.study_plot import COLORS, NAMES, draw
from clearml_hpo.study_file import parse_study

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "benchmarks.study"]
QUICK = ["ours", "optuna"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plot(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "study.svg"


@pytest.fixture(scope="module")
def result(plot):
    sides = [word for side in QUICK for word in ("--side", side)]
    command = [*COMMAND, *sides, "--minutes", "0.75", "--seeds", "1", "--plot", str(plot)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stderr.splitlines() if line.startswith("   0 ")] == QUICK
    return json.loads(done.stdout)


def test_each_side_has_the_promised_figures(result):
    assert (result["benchmark"], result["minutes"], result["seeds"], result["slots"]) == ("study", 0.75, 1, 2)
    assert list(result["sides"]) == QUICK and list(result["ours_needs"]) == ["optuna"]
    for side in result["sides"].values():
        (run,) = side["runs"]
        assert run["started"] >= run["completed"] >= len(run["curve"]) > 0
        assert run["cpu_s"] > 0
        assert 0 < run["first_start_s"] < run["first_value_s"] == run["curve"][0][0]
        assert 0 < run["best"] == run["curve"][-1][1] < math.log(2) + 0.1
        assert side["best"]["1"]["median"] == pytest.approx(run["best"], abs=1e-4)


def test_the_plot_has_a_line_for_each_side(result, plot):
    lines = ElementTree.parse(plot).getroot().findall(f"{SVG}polyline")
    assert [line.get("stroke") for line in lines] == [COLORS[side] for side in QUICK]


def test_a_side_without_values_is_in_the_legend_alone():
    root = ElementTree.fromstring(draw({"ours": [(2.0, 0.4, 0.4, 0.5), (50.0, 0.3, 0.2, 0.4)], "stock": []}, 60.0))
    assert len(root.findall(f"{SVG}polyline")) == 1
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert NAMES["stock"] in texts and f"{NAMES['ours']}: 0.3000" in texts


def test_sides_that_all_have_one_value_are_drawn():
    root = ElementTree.fromstring(draw({"ours": [(2.0, 0.4, 0.4, 0.4)], "optuna": [(9.0, 0.4, 0.4, 0.4)]}, 60.0))
    assert len(root.findall(f"{SVG}polyline")) == 2


def test_what_is_later_than_the_wall_time_does_not_count():
    lines = [
        json.dumps({"at": 100.0 + at, "what": what, "loss": loss})
        for at, what, loss in [
            (1, "start", None),
            (2, "start", None),
            (5, "end", 0.5),
            (6, "end", 0.6),
            (9, "end", 0.4),
            (11, "end", 0.1),
        ]
    ]
    found = figures(lines, 100.0, 10.0)
    assert (found["started"], found["completed"], found["first_start_s"], found["first_value_s"]) == (2, 3, 1.0, 5.0)
    assert found["curve"] == [(5.0, 0.5), (9.0, 0.4)] and found["best"] == 0.4
    assert figures([], 100.0, 10.0)["best"] is None


def test_how_long_ours_needs_for_what_another_has():
    own, other = [[(1.0, 0.5), (20.0, 0.3)]], [[(50.0, 0.4)]]
    found = needs(own, other, 100.0)
    assert list(found) == [f"{share:g}" for share in SHARES]
    assert found["0.1"]["median"] == 0.0  # the other has nothing by then
    assert (found["0.5"]["median"], found["1"]["median"]) == (0.4, 0.2)
    assert needs(other, own, 100.0)["1"]["median"] is None


def test_a_summary_says_what_has_not_come():
    runs = [figures([], 0.0, 10.0), figures(['{"at": 4.0, "what": "end", "loss": 0.5}'], 0.0, 10.0)]
    runs = [{**run, "cpu_s": 2.0} for run in runs]
    found = summary(runs, 10.0)
    assert found["completed"] == {"median": 0.5, "min": 0, "max": 1}
    assert found["best"]["1"] == {"median": None, "min": 0.5, "max": None}
    assert bands({"minutes": 1, "sides": {"ours": {"runs": runs}}}) == {"ours": []}


def test_all_sides_search_the_same_space():
    file = parse_study(study_file("s", "0" * 32, 3, 60.0), "s")
    ours = {name.removeprefix("General/"): axis for name, axis in file.space.distributions.items()}
    assert set(ours) == set(SPACE) == set(PARAMETERS)
    for kind, given in clearml_ranges():
        name = given["name"].removeprefix("General/")
        low, high, log = SPACE[name]
        theirs = getattr(clearml.automation, kind)(**given)
        ends = [theirs.base**end for end in (theirs.min_value, theirs.max_value)] if log else None
        assert (ends or [theirs.min_value, theirs.max_value]) == pytest.approx([low, high])
        assert (ours[name].low, ours[name].high, ours[name].log) == (low, high, log)
    assert (
        list(SIDES) == ["ours", "ours-unpruned", "stock", "stock-12s", "optuna", "ray"] == list(COLORS) == list(NAMES)
    )


def test_the_training_learns_and_notes_its_start_and_end(tmp_path, monkeypatch):
    log = tmp_path / "log.jsonl"
    monkeypatch.setenv("BENCH_STUDY_LOG", str(log))
    seen = []
    last = train(PARAMETERS, lambda loss, tree: seen.append((tree, loss)))
    assert [tree for tree, _ in seen] == list(range(10, TREES + 1, 10))
    assert seen[-1][1] == last < seen[0][1]
    notes = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(note["what"], note["loss"]) for note in notes] == [("start", None), ("end", last)]


def test_ctrl_c_ends_all_of_it():
    bench = subprocess.Popen([*COMMAND, "--side", "optuna", "--minutes", "5"], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        begun = []
        while not any("study_optuna" in " ".join(found.cmdline()) for found in begun) and time.monotonic() < deadline:
            time.sleep(0.1)
            begun = _children(bench.pid)
        assert begun
        begun = _children(bench.pid)
        bench.send_signal(signal.SIGINT)
        assert bench.wait(60) != 0
        assert not psutil.wait_procs(begun, timeout=10)[1]
    finally:
        bench.kill()
        bench.wait()


def _children(pid):
    return [found for found in psutil.Process(pid).children(recursive=True) if found.status() != psutil.STATUS_ZOMBIE]


def test_a_python_without_ray_is_refused():
    done = subprocess.run(
        [*COMMAND, "--side", "ray", "--ray-python", "false"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2 and "--side ray: false cannot import ray.tune" in done.stderr
