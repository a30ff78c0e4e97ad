"""Which GPUs trials on Dask see; clusters that encrypt."""

from __future__ import annotations

import json
import subprocess

import pytest

from clearml_hpo.executors.dask.plan import Tls
from tests import nvidia_smi

pytestmark = [pytest.mark.long, pytest.mark.embedded]

SEES = """
import json, os, pathlib, time
folder = pathlib.Path({folder!r})
names = ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS"]
(folder / ("sees-" + {name!r})).write_text(json.dumps([os.environ.get(name) for name in names]))
while not (folder / "release-all").exists():
    time.sleep(0.05)
"""


def seen(stage, study, names, place="dask"):
    """What trials that run at the same time see."""
    tasks = [stage.script(SEES.format(folder=str(stage.folder), name=name), name=name) for name in names]
    for task in tasks:
        study.executor.submit(task, place)
    stage.until("in_progress", *tasks)
    stage.release("all")
    stage.until("completed", *tasks)
    (stage.folder / "release-all").unlink()
    return sorted(json.loads((stage.folder / f"sees-{name}").read_text()) for name in names)


def test_each_worker_of_a_gpu_has_it_as_a_resource_and_sees_it_alone(stage, processes, open_study, tmp_path):
    path = nvidia_smi.put(tmp_path / "bin", nvidia_smi.FOUR)
    processes.scheduler()
    processes.worker("--gpus", "1,3", PATH=path)
    study = open_study(places={"dask": {}, "dask GPU=1": {"GPU": 1.0}})
    study.until_workers(2, "dask GPU=1")
    found = seen(stage, study, ["a", "b"], "dask GPU=1")
    assert found == [["1", "PCI_BUS_ID", None], ["3", "PCI_BUS_ID", None]], "and no limit on threads"


def test_workers_on_cores_see_no_gpu_and_share_the_cores(stage, processes, open_study, tmp_path):
    path = nvidia_smi.put(tmp_path / "bin", nvidia_smi.FOUR)
    processes.scheduler()
    processes.worker("--cpu", "2", "--threads", "3", PATH=path)
    study = open_study(places={"dask": {}, "dask GPU=1": {"GPU": 1.0}})
    study.until_workers(2)
    assert study.executor.workers()["dask GPU=1"] == 0
    assert seen(stage, study, ["a", "b"]) == [["", None, "3"]] * 2


@pytest.mark.parametrize(
    ("threads", "expected"), [("1", ["2,3"]), ("2", ["2", "3"])], ids=["one thread: all", "several: in turn"]
)
def test_a_plain_worker_hands_on_what_it_sees(stage, processes, open_study, tmp_path, threads, expected):
    path = nvidia_smi.put(tmp_path / "bin", nvidia_smi.FOUR)
    processes.scheduler()
    where = [processes.address, "--host", "127.0.0.1", "--nthreads", threads, "--nworkers", "1", "--no-dashboard"]
    processes.start("plain", "distributed.cli.dask_worker", *where, PATH=path, CUDA_VISIBLE_DEVICES="2,3")
    study = open_study()
    study.until_workers(len(expected))
    assert [gpus for gpus, *_ in seen(stage, study, [f"t{i}" for i in range(len(expected))])] == expected


@pytest.fixture
def tls(tmp_path):
    """An authority, and one certificate of it for all."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    key = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    openssl("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    openssl("x509", "-req", "-in", "request.pem", *signed, "-out", "cert.pem")
    return Tls(*(str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem")))


def test_a_cluster_that_encrypts(stage, processes, open_study, tls):
    files = ["--tls-ca", tls.ca, "--tls-cert", tls.cert, "--tls-key", tls.key]
    where = ["--host", f"tls://127.0.0.1:{processes.port}", "--dashboard-address", "127.0.0.1:0"]
    names = ["--tls-ca-file", tls.ca, "--tls-cert", tls.cert, "--tls-key", tls.key]
    scheduler = processes.start("scheduler", "distributed.cli.dask_scheduler", *where, *names)
    processes.until_said(scheduler, "Scheduler at")
    address = f"tls://127.0.0.1:{processes.port}"
    worker = processes.start("worker", "clearml_hpo", "dask", "worker", address, "--cpu", "1", *files)
    processes.until_said(worker, "; Ctrl-C to leave")
    study = open_study(address=address, tls=tls)
    (task,) = study.submit("a")
    stage.release("a")
    stage.until("completed", task)
    unencrypted = open_study(address=address)
    unencrypted.until_said("does not answer")
    status = processes.start("status", "clearml_hpo", "dask", "status", address, *files)
    assert status.wait(60) == 0 and "takes trials" in processes.said(status)
