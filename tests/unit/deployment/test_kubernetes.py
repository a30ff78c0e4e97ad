"""What the files for Kubernetes say."""

from __future__ import annotations

import json
from dataclasses import replace

import click
import pytest
import yaml
from click.testing import CliRunner

from clearml_hpo.cli import main
from clearml_hpo.cli.exits import Exit
from clearml_hpo.core.errors import InputError
from clearml_hpo.deployment.kubernetes import Cluster, next_commands, render_files

HOSTS = ("https://api.example.com", "https://app.example.com", "https://files.example.com")
CLUSTER = Cluster("gpu", *HOSTS, queue_id="5f")
SECRETS = [{"configMapRef": {"name": "clearml-server"}}, {"secretRef": {"name": "clearml-credentials"}}]


def documents(texts: dict[str, str]) -> list[dict]:
    return [found for name in texts if name.endswith(".yaml") for found in yaml.safe_load_all(texts[name])]


def pods(value) -> list[dict]:
    """Each specification of a pod in it, however deep."""
    if isinstance(value, list):
        return [pod for item in value for pod in pods(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if "containers" in value else []
    return own + [pod for item in value.values() for pod in pods(item)]


def args(texts: dict[str, str], name: str) -> list[str]:
    (pod,) = pods(list(yaml.safe_load_all(texts[name])))
    return pod["containers"][0]["args"]


def gpu_patches(texts: dict[str, str]) -> dict[str, dict[str, object]]:
    """Values by path, by kind."""
    patches = yaml.safe_load(texts["overlays/gpu/kustomization.yaml"])["patches"]
    return {
        patch["target"]["kind"]: {entry["path"]: entry["value"] for entry in yaml.safe_load(patch["patch"])}
        for patch in patches
    }


PODS = pods(documents(render_files(CLUSTER)))
COMMANDS = [c["args"] for pod in PODS for c in pod["containers"] if c["command"] == ["clearml-hpo"]]


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod["containers"][0]["name"])
def test_a_pod_is_not_root_and_writes_only_to_its_volumes(pod):
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 1000
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["name"] for mount in container["volumeMounts"]} >= {"tmp"}


@pytest.mark.parametrize(
    "pod",
    [pod for pod in PODS if pod["containers"][0]["name"] not in ("server", "scheduler")],
    ids=lambda pod: pod["containers"][0]["name"],
)
def test_keys_come_from_a_secret_and_shared_memory_is_there(pod):
    (container,) = pod["containers"]
    assert container["envFrom"] == SECRETS
    assert "KEY" not in json.dumps([container.get("args"), container.get("env")])
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert pod["volumes"][0]["emptyDir"]["medium"] == "Memory"


def test_a_scheduler_has_no_keys():
    (scheduler,) = [pod for pod in PODS if pod["containers"][0]["name"] == "scheduler"]
    assert "envFrom" not in scheduler["containers"][0]


def test_a_controller_that_is_evicted_is_replaced_and_one_that_has_ended_is_not():
    job = yaml.safe_load(render_files(CLUSTER)["controller/controller.yaml"])
    first, second = job["spec"]["podFailurePolicy"]["rules"]  # the first that holds counts
    assert (first["action"], first["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert second["action"] == "FailJob"
    assert set(second["onExitCodes"]["values"]) == {Exit.FAILED, Exit.BAD_INPUT, Exit.INTERRUPTED}


def test_a_pod_may_drain_before_it_is_killed():
    texts = render_files(replace(CLUSTER, drain_s=4 * 3600))
    draining = [pod for pod in pods(documents(texts)) if "--drain-timeout" in (pod["containers"][0].get("args") or [])]
    assert len(draining) == 5  # Deployment, Job, ScaledJob, agent, Dask worker
    for pod in draining:
        words = pod["containers"][0]["args"]
        assert words[words.index("--drain-timeout") + 1] == "240m"
        assert pod["terminationGracePeriodSeconds"] > 4 * 3600


@pytest.mark.parametrize(
    ("gpus", "listed"),
    [(1, "0"), (4, "0,1,2,3")],
)
def test_a_worker_has_a_trial_on_each_gpu(gpus, listed):
    patches = gpu_patches(render_files(replace(CLUSTER, gpus=gpus)))
    assert set(patches) == {"Deployment", "Job", "ScaledJob"}
    for kind, values in patches.items():
        start = "/spec/jobTargetRef/template/spec" if kind == "ScaledJob" else "/spec/template/spec"
        words = values[f"{start}/containers/0/args"]
        assert words[:5] == ["worker", "--queue", "gpu", "--gpus", listed]
        assert ("--idle-timeout" in words) == (kind != "Deployment")
        assert values[f"{start}/containers/0/resources/limits/nvidia.com~1gpu"] == str(gpus)


def test_keda_asks_for_the_length_and_starts_a_worker_for_as_many_trials_as_it_runs():
    texts = render_files(replace(CLUSTER, gpus=2))
    job, authentication = yaml.safe_load_all(texts["base/worker-scaledjob.yaml"])
    (trigger,) = job["spec"]["triggers"]
    assert trigger["metadata"] == {
        "url": "https://api.example.com/queues.get_num_entries?queue=5f",
        "valueLocation": "data.num",
        "targetValue": "2",
        "authMode": "basic",
    }
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert {ref["parameter"]: ref["key"] for ref in authentication["spec"]["secretTargetRef"]} == {
        "username": "CLEARML_API_ACCESS_KEY",
        "password": "CLEARML_API_SECRET_KEY",
    }


def test_a_dask_worker_has_one_slot_and_the_scheduler_its_settings():
    import distributed  # noqa: F401  # its settings
    from dask import config

    texts = render_files(replace(CLUSTER, gpus=4))
    worker, scheduler = pods(list(yaml.safe_load_all(texts["dask/daskcluster.yaml"])))
    assert worker["containers"][0]["args"][:6] == ["dask", "worker", "--gpus", "0", "--resources", "GPU=1"]
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    environ = {entry["name"]: entry["value"] for entry in scheduler["containers"][0]["env"]}
    set_by_environ = config.collect_env(environ)

    def read(key):
        return config.get(f"distributed.scheduler.{key}", config=set_by_environ)

    assert read("default-task-durations") == {"clearml-trial": "1h"}
    assert read("worker-saturation") == 1.0
    defaults = config.get("distributed.scheduler.http.routes")
    assert set(read("http.routes")) == {"distributed.http.scheduler.api", *defaults}


@pytest.mark.parametrize(
    ("cluster", "absent"),
    [
        (replace(CLUSTER, gpus=0), ["overlays/gpu/kustomization.yaml"]),
        (replace(CLUSTER, api="http://clearml:8008"), ["overlays/https-only/networkpolicy.yaml"]),
        (replace(CLUSTER, queue_id="", workers="job"), ["base/worker-scaledjob.yaml"]),
        (CLUSTER, []),
    ],
)
def test_what_cannot_be_is_left_out(cluster, absent):
    texts, all_texts = render_files(cluster), render_files(CLUSTER)
    missing = set(all_texts) - set(texts)
    assert set(absent) <= missing and {name.rpartition("/")[0] for name in missing if name not in absent} <= {
        name.rpartition("/")[0] for name in absent
    }


@pytest.mark.parametrize("workers", ["scaledjob", "deployment", "job"])
def test_one_kind_of_worker_is_applied(workers):
    texts = render_files(replace(CLUSTER, workers=workers))
    assert yaml.safe_load(texts["base/kustomization.yaml"])["resources"] == ["clearml.yaml", f"worker-{workers}.yaml"]


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        ("gpu", "clearml-hpo-worker-gpu"),
        ("GPU box: A/B", "clearml-hpo-worker-gpu-box-a-b"),
        ("x" * 80, "clearml-hpo-worker-" + "x" * 33),
    ],
)
def test_a_queue_of_any_name_is_served(queue, name):
    cluster = replace(CLUSTER, queue=queue)
    texts = render_files(cluster)
    assert cluster.name == name
    assert args(texts, "base/worker-deployment.yaml")[2] == queue


def test_kubernetes_replaces_nothing_in_a_queues_name():
    assert args(render_files(replace(CLUSTER, queue="a $(HOME) 'b'")), "base/worker-job.yaml")[2] == "a $$(HOME) 'b'"


@pytest.mark.parametrize(
    ("field", "value"),
    [("namespace", "My_Space"), ("image", "a b"), ("memory", "16 GB"), ("queue_id", "x&y=1")],
)
def test_a_value_that_kubernetes_would_refuse_is_bad_input(field, value):
    with pytest.raises(InputError, match=f"--{field.replace('_', '-')} "):
        replace(CLUSTER, **{field: value})


def test_without_the_queues_id_there_is_no_keda():
    with pytest.raises(InputError, match="--queue-id ID, or --workers deployment"):
        replace(CLUSTER, queue_id="")


@pytest.mark.parametrize(
    ("cluster", "overlay"),
    [
        (CLUSTER, "overlays/https-only"),
        (replace(CLUSTER, api="http://clearml:8008"), "overlays/gpu"),
        (replace(CLUSTER, api="http://clearml:8008", gpus=0), "base"),
        (replace(CLUSTER, api=f"{CLUSTER.inside}:8008"), "overlays/no-outbound"),
    ],
)
def test_what_is_typed_next_names_files_that_are_there(cluster, overlay, tmp_path):
    texts, commands = render_files(cluster), next_commands(cluster, tmp_path)
    applied = [command.split()[-1] for command in commands if "apply" in command]
    assert applied[0] == str(tmp_path / overlay)
    assert {f"{folder.removeprefix(f'{tmp_path}/')}/kustomization.yaml" for folder in applied} <= set(texts)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_command_of_a_pod_is_one_of_ours(words):
    command, rest = main, list(words)
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), rest.pop(0))
    assert command is not None
    command.make_context(words[0], rest).close()


def deploy(*arguments: str, **environ: str):
    return CliRunner().invoke(main, ["deploy", "kubernetes", "--queue", "gpu", *arguments], env=environ)


NO_SERVER = {"CLEARML_CONFIG_FILE": "/nowhere/clearml.conf", "CLEARML_API_HOST": ""}


def test_the_command_writes_and_says_what_to_type(tmp_path):
    done = deploy("--queue-id", "5f", "--api-host", HOSTS[0], "--output", str(tmp_path), **NO_SERVER)
    assert done.exit_code == 0, done.output
    assert f"kubectl apply -k {tmp_path}/overlays/https-only" in done.output
    assert yaml.safe_load((tmp_path / "base/clearml.yaml").read_text())["data"] == {
        "CLEARML_API_HOST": HOSTS[0],
        "CLEARML_WEB_HOST": HOSTS[1],
        "CLEARML_FILES_HOST": HOSTS[2],
    }


def test_an_address_of_this_machine_is_of_no_use_to_pods(tmp_path):
    done = deploy("--output", str(tmp_path), **{**NO_SERVER, "CLEARML_API_HOST": "http://127.0.0.1:8008"})
    assert done.exit_code == 2
    assert "say where pods find it: --api-host URL" in done.output
