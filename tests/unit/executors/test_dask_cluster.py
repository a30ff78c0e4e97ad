"""What a cluster that a study starts is told."""

from __future__ import annotations

from dask import config

from clearml_hpo.executors.dask.cluster import on_kubernetes
from clearml_hpo.executors.dask.plan import DaskPlan


def test_pods_on_kubernetes_are_told_by_variables_what_a_cluster_of_this_process_is_told():
    options = on_kubernetes({"image": "registry/trials:1", "env": {"CLEARML_API_HOST": "https://api"}}, {})
    assert options["image"] == "registry/trials:1"
    assert options["worker_command"] == "dask worker --nthreads 1"
    assert options["env"].pop("CLEARML_API_HOST") == "https://api"
    told = config.collect_env(options["env"])

    def read(key):
        return config.get(f"distributed.{key}", config=told)

    assert read("scheduler.default-task-durations") == {"clearml-trial": "1h"}
    assert read("worker.preload") == ["clearml_hpo.executors.dask.preload"]
    assert "distributed.http.scheduler.api" in read("scheduler.http.routes")
    assert set(config.get("distributed.scheduler.http.routes")) < set(read("scheduler.http.routes"))


def test_workers_of_the_own_cluster_have_what_trials_need():
    needs = DaskPlan(places={"a": {"GPU": 1.0}, "b": {"GPU": 2.0, "memory": 64.0}}).needs
    assert on_kubernetes({}, needs)["worker_command"] == "dask worker --nthreads 1 --resources GPU=2,memory=64"


def test_what_a_study_file_says_stands():
    given = {"worker_command": "dask worker --nthreads 2", "env": {"DASK_DISTRIBUTED__WORKER__PRELOAD": "[]"}}
    options = on_kubernetes(given, {})
    assert options["worker_command"] == given["worker_command"]
    assert options["env"]["DASK_DISTRIBUTED__WORKER__PRELOAD"] == "[]"
