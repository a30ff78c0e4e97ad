"""What a check says of a script that was not run yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearml_hpo.controller.check import check_study, faults_of_text
from clearml_hpo.core.errors import InputError
from clearml_hpo.scripts.code import collect
from clearml_hpo.scripts.entry import Entry
from clearml_hpo.study_file import load_study

SCRIPT = """
import argparse

from clearml import Task

task = Task.init("demo", "names")
task.connect({"sl/ash": 3, "ints": {1: "a"}, "deep": {"er": 1}})
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=1)
parser.add_argument("--n-trees", type=int, default=1)
task.get_logger().report_scalar("val", "score", 1, 0)
"""


def faults(folder: Path, name: str, metric: str = "val/score", more: str = "") -> list[str]:
    (folder / "names.py").write_text(SCRIPT + more)
    study = folder / "study.yaml"
    study.write_text(
        f"""
study: names
project: demo
template: {{script: names.py}}
search_space:
  {name}: {{type: int, low: 1, high: 5}}
objective: {{metric: {metric}, direction: maximize}}
budget: {{trials: 2}}
"""
    )
    return [str(fault) for fault in faults_of_text(load_study(study), collect(Entry(folder / "names.py", folder)))]


@pytest.mark.parametrize("name", ["General/sl/ash", "General/ints/1", "General/deep/er", "Args/depth"])
def test_a_name_of_the_script_is_found(tmp_path, name):
    assert faults(tmp_path, name) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sl/ash", "General/sl/ash"),
        ("deep/er", "General/deep/er"),
        ("deep.er", "General/deep/er"),
        ("er", "General/deep/er"),
        ("Args/dep", "Args/depth"),
        ("depth", "Args/depth"),
        ("--n-trees", "Args/n_trees"),
        ("n-trees", "Args/n_trees"),
    ],
)
def test_a_near_miss_is_answered_with_what_is_meant(tmp_path, name, meant):
    (fault,) = faults(tmp_path, name)
    assert f"; did you mean {meant!r}?" in fault


@pytest.mark.parametrize("metric", ["valid/score", "score/val"])
def test_a_metric_of_another_name_is_answered_with_what_the_script_reports(tmp_path, metric):
    (fault,) = faults(tmp_path, "depth", metric=metric)[1:]
    assert fault == f"objective.metric: {metric!r}: nothing in names.py reports it; did you mean 'val/score'?"


def test_a_parameter_of_a_module_beside_the_script_or_one_that_is_computed_is_no_fault(tmp_path):
    (tmp_path / "options.py").write_text("DEFAULTS = {'width': 1}\n")
    beside = "from options import DEFAULTS\ntask.connect(DEFAULTS)\n"
    assert faults(tmp_path, "width", more=beside) == []
    assert faults(tmp_path, "anything", more="task.connect(load())\n") == []


def test_a_script_that_never_begins_a_task_is_warned_of(tmp_path):
    faults(tmp_path, "depth")
    study = load_study(tmp_path / "study.yaml")
    assert not [text for text in check_study(study, None).remarks if text.startswith("warning")]
    (tmp_path / "names.py").write_text(SCRIPT.replace("task = Task.init", "task = Task.get_task"))
    (said,) = [text for text in check_study(study, None).remarks if text.startswith("warning")]
    assert said.startswith("warning: names.py: it never calls Task.init: add `from clearml import Task`")


def test_what_auto_stands_for_is_said(tmp_path):
    faults(tmp_path, "depth")
    with_both = load_study(tmp_path / "study.yaml")
    assert check_study(with_both, None).remarks[:2] == [
        "sampler: gp_tpe (one objective)",
        "pruner: falling (by val/score; the first 8 trials are left to complete)",
    ]
    named = load_study(tmp_path / "study.yaml", ["sampler=random", "pruner=none"])
    assert not any(text.startswith(("sampler", "pruner")) for text in check_study(named, None).remarks)


def remarks(folder: Path, dask: str) -> list[str]:
    (folder / "names.py").write_text(SCRIPT)
    (folder / "study.yaml").write_text(
        f"""
study: names
template: {{script: names.py}}
search_space: {{Args/depth: {{type: int, low: 1, high: 5}}}}
objective: {{metric: val/score, direction: maximize}}
budget: {{trials: 2}}
execution: {{executor: dask, local: {{cpu: 3}}, dask: {dask}}}
"""
    )
    return check_study(load_study(folder / "study.yaml"), None).remarks


@pytest.mark.parametrize(
    ("dask", "said"),
    [
        ("{cluster: local}", "a Dask cluster on this machine: 3 slots"),
        ("{cluster: local, scale: 2}", "a Dask cluster on this machine: 2 slots"),
        ("{cluster: pbs, scale: 2}", "qsub is not on this machine: the study has to run where jobs can be submitted"),
        ("{scheduler_file: nope.json}", "no Dask scheduler answers at /"),
        ("{address: 'tcp://127.0.0.1:9'}", "no Dask scheduler answers at tcp://127.0.0.1:9 yet"),
    ],
)
def test_the_cluster_of_a_study_on_dask_is_looked_at(tmp_path, monkeypatch, dask, said):
    monkeypatch.setattr("clearml_hpo.executors.dask.cluster._CONNECT_S", 0.2)
    assert remarks(tmp_path, dask)[0].startswith(said)


@pytest.mark.parametrize(
    ("dask", "said"),
    [
        (
            "{cluster: kubernetes, scale: 2}",
            r"'kubernetes' cannot be imported .*pip install 'clearml-hpo\[kubernetes\]'",
        ),
        ("{cluster: pkg.Cluster, scale: 2}", r"'pkg.Cluster' cannot be imported \(No module named 'pkg'\)$"),
        ("{address: 'tls://a:1', tls: {ca: ca.pem, cert: c, key: k}}", r"execution.dask.tls: no such file: /.*/ca.pem"),
    ],
)
def test_a_study_that_cannot_run_on_dask_is_refused(tmp_path, dask, said):
    with pytest.raises(InputError, match=said):
        remarks(tmp_path, dask)
