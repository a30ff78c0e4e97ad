"""Workers, controllers, Dask and the embedded server on Kubernetes: bases and overlays of kustomize."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clearml_hpo.core.errors import InputError
from clearml_hpo.deployment import files

WORKERS = ("scaledjob", "deployment", "job")
"""How workers are started: as many as the queue needs, by KEDA; as many as are said; until the queue is empty."""
SECRET = "clearml-credentials"
_END_S = 300
"""Time that a pod has beyond the time to drain: what it lost is reported then."""
_IDLE = "5m"
_NAMES = {
    "namespace": (r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "lower-case letters, digits and hyphens"),
    "image": (r"[\w.:/@-]+", "the name of an image, such as registry.example.com/clearml-hpo:1"),
    "memory": (r"\d+(\.\d+)?(Ki|Mi|Gi|Ti)", "a quantity, such as 16Gi"),
    "queue_id": (r"[0-9a-zA-Z]*", "the id of a queue"),
}


@dataclass(frozen=True)
class Cluster:
    """What is to run on a cluster.

    Attributes:
        queue: that the workers serve.
        api: address of ClearML's API as pods reach it; ``web`` and ``files`` are its pages and files.
        queue_id: by which KEDA asks for the queue's length; empty if it is not known.
        gpus: of each worker, one trial on each; 0 for one trial on cores.
        image: that has this package.
        namespace: where all of it runs.
        workers: how they are started, one of :data:`WORKERS`.
        maximum: workers at once.
        cores: that a worker asks for.
        memory: of a worker, ``/dev/shm`` included.
        drain_s: how long a trial may still run when its pod is to end: that of the longest trial.
    """

    queue: str
    api: str
    web: str
    files: str
    queue_id: str = ""
    gpus: int = 1
    image: str = "registry.example.com/clearml-hpo:0.1.0"
    namespace: str = "clearml-hpo"
    workers: str = "scaledjob"
    maximum: int = 16
    cores: int = 4
    memory: str = "16Gi"
    drain_s: int = 3300

    def __post_init__(self) -> None:
        for field, (pattern, meaning) in _NAMES.items():
            value = getattr(self, field)
            if not re.fullmatch(pattern, value, re.ASCII):
                raise InputError(f"--{field.replace('_', '-')} {value!r}: write {meaning}")
        if self.workers == "scaledjob" and not self.queue_id:
            raise InputError("KEDA asks for a queue by its id: --queue-id ID, or --workers deployment")

    @property
    def name(self) -> str:
        """Of the worker's resources: it has the queue's name, as far as Kubernetes allows its characters."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.queue.lower()).strip("-")
        return f"clearml-hpo-worker-{plain}"[:52].rstrip("-")  # KEDA and Job add to it; 63 is a name's limit

    @property
    def inside(self) -> str:
        """Address of the embedded server in the cluster, without a port."""
        return f"http://clearml-hpo-server.{self.namespace}.svc"

    @property
    def is_https(self) -> bool:
        """True if workers need nothing but HTTPS."""
        return all(url.startswith("https://") for url in (self.api, self.web, self.files))


def render_files(cluster: Cluster) -> dict[str, str]:
    """Texts by file name.

    The overlay ``https-only`` is left out if an address of ClearML is of another kind, the overlay ``gpu`` if there are
    no GPUs, and the ScaledJob if the queue's id is not known.
    """
    values = {**vars(cluster), "name": cluster.name, "inside": cluster.inside, **_commands(cluster)}
    values["grace_s"] = cluster.drain_s + _END_S
    values["ports"] = sorted({443, *(urlsplit(url).port or 443 for url in (cluster.api, cluster.files))})
    left_out = {
        "base/worker-scaledjob.yaml": not cluster.queue_id,
        "overlays/gpu/": not cluster.gpus,
        "overlays/https-only/": not cluster.is_https,
    }
    folder = Path(__file__).parent / "templates/kubernetes"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))
    texts = {
        name: files.render(f"kubernetes/{name}", **values)
        for name in names
        if not any(is_out and name.startswith(start) for start, is_out in left_out.items())
    }
    texts["image/Dockerfile"] = files.render(
        "Dockerfile.j2",
        header="# The image of all pods.",
        user="hpo",
        extras="catboost,dask",
        build="docker build",
        number="as runAsUser in the pods",
        start="CMD",  # Dask's operator and ClearML's Kubernetes agent start other programs of the image
    )
    return texts


def next_commands(cluster: Cluster, folder: Path) -> dict[str, str]:
    """What a user types then, and why."""
    kubectl = f"kubectl -n {cluster.namespace}"
    if cluster.is_https:
        overlay = "overlays/https-only"
    elif cluster.api == f"{cluster.inside}:8008":
        overlay = "overlays/no-outbound"
    else:
        overlay = "overlays/gpu" if cluster.gpus else "base"
    apply = "kubectl apply -k"
    return {
        f"docker build -t {cluster.image} {_quoted(folder / 'image')}": "if there is no such image yet",
        f"docker push {cluster.image}": "",
        f"kubectl create namespace {cluster.namespace}": "",
        f"{kubectl} create secret generic {SECRET} --from-env-file=credentials.env": "a file with two lines: "
        "CLEARML_API_ACCESS_KEY=... and CLEARML_API_SECRET_KEY=...",
        f"{apply} {_quoted(folder / overlay)}": "workers",
        f"{apply} {_quoted(folder / 'agent')}": "an agent for controllers: clearml-hpo launch study.yaml",
        f"{apply} {_quoted(folder / 'dask')}": "only for studies with `executor: dask`",
    }


def _commands(cluster: Cluster) -> dict[str, Sequence[str]]:
    """Arguments of ``clearml-hpo`` by what the templates call them."""
    drain = ("--drain-timeout", f"{cluster.drain_s // 60}m" if cluster.drain_s % 60 == 0 else f"{cluster.drain_s}s")
    serve = ("worker", "--queue", cluster.queue.replace("$(", "$$("))  # Kubernetes replaces $(NAME)
    on_cores = (*serve, "--cpu", "1", *drain)
    on_gpus = (*serve, "--gpus", ",".join(map(str, range(cluster.gpus))), *drain)
    leave = ("--idle-timeout", _IDLE)
    return {
        "lasting": on_cores,
        "leaving": (*on_cores, *leave),
        "lasting_on_gpus": on_gpus,
        "leaving_on_gpus": (*on_gpus, *leave),
        "controller": ("run", "study.yaml", "--detach", "--log-format", "json"),
        "agent": ("agents", "run", "--queue", "services", "--cpu", "2", *drain),
        "dask_worker": (
            *("dask", "worker", *(("--gpus", "0", "--resources", "GPU=1") if cluster.gpus else ("--cpu", "1"))),
            *drain,
        ),
    }


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
