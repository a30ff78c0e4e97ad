"""`make check-deploy` finds nothing wrong in deploy/, and finds a typo in each kind of file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from deploy.check import Report
from deploy.check.__main__ import CHECKS
from deploy.check.tools import Unavailable
from deploy.render import FOLDER

pytestmark = pytest.mark.long

ALONE = {"manifests", "image"}
"""Checks that need no other file."""
TYPOS = [
    ("manifests", "kubernetes/base/clearml.yaml", "data:", "dta:"),
    ("manifests", "kubernetes/base/worker-deployment.yaml", "PeriodSeconds", "PeriodSecond"),
    ("manifests", "kubernetes/base/worker-deployment.yaml", "emptyDir: {medium", "emptydir: {medium"),
    ("manifests", "kubernetes/base/worker-job.yaml", "parallelism", "paralelism"),
    ("manifests", "kubernetes/base/worker-scaledjob.yaml", "maxReplicaCount", "maxReplicasCount"),
    ("manifests", "kubernetes/base/worker-scaledjob.yaml", "pollingInterval: 15", "pollingInterval: often"),
    ("manifests", "kubernetes/base/worker-scaledjob.yaml", "valueLocation", "valueLocaton"),
    ("manifests", "kubernetes/base/worker-scaledjob.yaml", "strategy: accurate", "strategy: acurate"),
    ("manifests", "kubernetes/base/worker-scaledjob.yaml", "restartPolicy", "restartpolicy"),
    ("manifests", "kubernetes/base/worker-scaledjob.yaml", "secretTargetRef", "secretTargetRefs"),
    ("manifests", "kubernetes/base/worker-scaledjob.yaml", "kind: TriggerAuth", "kind: TrigerAuth"),
    ("manifests", "kubernetes/base/worker-scaledjob.yaml", "--idle-timeout", "--idle-timout"),
    ("manifests", "kubernetes/dask/daskcluster.yaml", '"scheduler"]', '"schedular"]'),
    ("manifests", "kubernetes/server/server.yaml", "serviceName", "servicename"),
    ("manifests", "kubernetes/server/server.yaml", "targetPort: api", "targetport: api"),
    ("manifests", "kubernetes/controller/controller.yaml", "onExitCodes", "onExitCode"),
    ("manifests", "kubernetes/agent/agent.yaml", "apps/v1", "app/v1"),
    ("manifests", "kubernetes/overlays/https-only/networkpolicy.yaml", "podSelector", "podSelektor"),
    ("manifests", "kubernetes/overlays/no-outbound/networkpolicy.yaml", "ingress:", "ingres:"),
    ("manifests", "kubernetes/dask/daskcluster.yaml", "replicas", "replica"),
    ("manifests", "kubernetes/dask/daskcluster.yaml", "readinessProbe", "redinessProbe"),
    ("manifests", "kubernetes/dask/daskautoscaler.yaml", "minimum", "minimun"),
    ("kustomize", "kubernetes/base/kustomization.yaml", "resources", "resourses"),
    ("kustomize", "kubernetes/overlays/gpu/kustomization.yaml", "op: replace", "op: replac"),
    (
        "kustomize",
        "kubernetes/overlays/gpu/kustomization.yaml",
        "Ref/template/spec/tolerations",
        "Ref/template/spec/tol",
    ),
    ("kustomize", "kubernetes/overlays/no-outbound/kustomization.yaml", "../../server", "../server"),
    ("helm", "helm/Chart.yaml", "name:", "nmae:"),
    ("helm", "helm/values.yaml", "queueId", "queueID"),
    ("helm", "helm/ci/job.yaml", "gpus", "gpu"),
    ("helm", "helm/values.schema.json", '"properties"', "properties"),
    ("helm", "helm/templates/worker.yaml", "nindent", "nident"),
    ("helm", "helm/templates/worker.yaml", "pollingInterval", "pollInterval"),
    ("helm", "helm/templates/_pod.tpl", "--drain-timeout", "--drain-timout"),
    ("image", "kubernetes/image/Dockerfile", "RUN useradd", "RNU useradd"),
    ("image", "kubernetes/image/Dockerfile", "WORKDIR /home", "WORKDIR home"),
    ("batch", "slurm/worker.sh", "--cpus-per-task", "--cpu-per-task"),
    ("batch", "slurm/worker.sh", "#SBATCH --requeue", "#SBTACH --requeue"),
    ("batch", "slurm/worker.sh", "B:TERM@", "B:TREM@"),
    ("batch", "slurm/worker.sh", "--mem=16384M", "--mem=16384Mi"),
    ("batch", "slurm/worker.sh", "#SBATCH --requeue", "hostname\n#SBATCH --requeue"),
    ("batch", "slurm/worker.sh", "exec clearml-hpo", "clearml-hpo"),
    ("batch", "slurm/worker.sh", "--drain-timeout", "--drain-timout"),
    ("batch", "slurm/worker.sh", '"$@"', '"$@'),
    ("batch", "slurm/dask-worker.sh", "--scheduler-file", "--schedulerfile"),
    ("batch", "slurm/dask-worker.sh", "--idle-timeout 600s", "--idle-timeout soon"),
    ("batch", "slurm/dask-scheduler.sh", "--port 0", "--prot 0"),
    ("batch", "slurm/dask-scheduler.sh", "#SBATCH --time", "#SBATCH --tiem"),
    ("batch", "pbs/worker.sh", "ngpus", "ngpu"),
    ("batch", "pbs/worker.sh", "#PBS -J", "#PBS -j"),
    ("batch", "pbs/worker.sh", "|| exit", "|| (exit"),
    ("batch", "pbs/worker.sh", "--foreground", "--forground"),
    ("batch", "htcondor/worker.sh", "--threads", "--thread-count"),
    ("batch", "htcondor/worker.sub", "request_memory", "request_memroy"),
    ("batch", "htcondor/worker.sub", "MB", "mb"),
    ("batch", "htcondor/worker.sub", "queue 4", "queu 4"),
    ("services", "services/clearml-agent-services.service", "KillMode=mixed", "KillMode=mixd"),
    ("services", "services/clearml-agent-services.service", "Restart=", "Restrat="),
    ("services", "services/clearml-agent-services.service", "--services-mode", "--service-modes"),
    ("services", "services/clearml-agent-services.service", "ExecStart=", "Exec="),
    ("services", "services/compose.yaml", "stop_grace_period", "stop_grace"),
    ("services", "services/compose.yaml", "--create-queue", "--make-queue"),
    ("services", "services/compose.yaml", "name: clearml", "- name: clearml"),
    ("rendered", "kubernetes/base/worker-job.yaml", "--idle-timeout", "--idle-timout"),
    ("rendered", "slurm/worker.sh", "# The worker", "# A worker"),
]


def run(name: str, folder) -> Report:
    try:
        return CHECKS[name](folder)
    except Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_wrong(name):
    report = run(name, FOLDER)
    assert report.faults == []
    assert any(character.isdigit() for character in report.checked)


@pytest.mark.parametrize(("name", "file", "right", "wrong"), TYPOS)
def test_a_typo_is_found(name, file, right, wrong, tmp_path):
    folder = tmp_path / "deploy"
    if name in ALONE:
        (folder / file).parent.mkdir(parents=True)
        shutil.copy(FOLDER / file, folder / file)
        assert run(name, folder).faults == []
    else:
        shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("check"))
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong, 1))
    assert run(name, folder).faults


@pytest.mark.parametrize(("environ", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_what_cannot_be_fetched_is_said(environ, code, tmp_path):
    nothing = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    nothing |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    others = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.check"],
        cwd=FOLDER.parent,
        env={**others, **nothing, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert set(re.findall(r"^SKIPPED  (\w+) +\S", done.stdout, re.MULTILINE)) == CHECKS.keys() - {"rendered"}


def test_each_check_is_tried():
    assert {name for name, *_ in TYPOS} == CHECKS.keys()
