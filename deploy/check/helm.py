"""The chart: helm's own checks, and the same objects as those of kustomize."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from deploy.check import Report, manifests, tools
from deploy.check.kustomize import build
from deploy.render import COMMANDS

_SAME = {
    "gpu": ([], ["overlays/gpu"]),
    "all": ([], ["overlays/https-only", "agent", "controller", "dask"]),
    "no-outbound": ([], ["overlays/no-outbound"]),
    "cores": (["--gpus", "0"], ["overlays/no-outbound", "dask"]),
    "deployment": (["--gpus", "0", "--workers", "deployment"], ["base"]),
    "job": (["--gpus", "2", "--workers", "job", "--drain-timeout", "4h"], ["overlays/gpu"]),
}
"""By values of the chart (``ci/``): options of ``clearml-hpo deploy kubernetes``, and folders with the same objects."""


def check(folder: Path) -> Report:
    """Lints the chart and renders it with each file of values; what it makes is what kustomize makes."""
    chart, faults, named = folder / "helm", [], []
    linted = tools.run([tools.helm(), "lint", "--strict", "--quiet", chart, "--values", chart / "ci/all.yaml"])
    if linted.returncode:
        faults.append(f"helm lint: {_last(linted)}")
    there = {path.stem for path in (chart / "ci").glob("*.yaml")}
    faults += [f"helm/ci/{name}.yaml: not in the table of {__name__}" for name in sorted(there ^ _SAME.keys())]
    for name, (options, folders) in _SAME.items():
        values = chart / f"ci/{name}.yaml"
        done = tools.run([tools.helm(), "template", "release", chart, "--namespace", "clearml-hpo", "--values", values])
        if done.returncode:
            faults.append(f"helm/ci/{name}.yaml: {_last(done)}")
            continue
        found = _by_name([manifest for manifest in yaml.safe_load_all(done.stdout) if manifest])
        named += [(f"helm/ci/{name}.yaml", manifest) for manifest in found.values()]
        wanted = _by_name(_of_kustomize(options, folders))
        faults += [
            f"helm/ci/{name}.yaml: {key} is not as kustomize makes it of {', '.join(folders)}"
            for key in sorted(found.keys() | wanted.keys())
            if found.get(key) != wanted.get(key)
        ]
    version = tools.run([tools.helm(), "version", "--short"]).stdout.strip()
    return Report(
        f"helm {version} lint; {len(_SAME)} sets of values, {len(named)} objects, the same as kustomize's",
        faults + manifests.examine(named).faults,
    )


def _of_kustomize(options: list[str], folders: list[str]) -> list[manifests.Manifest]:
    with tempfile.TemporaryDirectory() as temporary:
        command = ["deploy", "kubernetes", *COMMANDS["kubernetes"], *options, "--output", temporary]
        subprocess.run([sys.executable, "-m", "clearml_hpo", *command], check=True, stdout=subprocess.DEVNULL)
        return [manifest for folder in folders for manifest in build(Path(temporary) / folder)]


def _by_name(found: list[manifests.Manifest]) -> dict[str, manifests.Manifest]:
    """By kind and name; the namespace is that of the release, which helm does not write."""
    for manifest in found:
        manifest["metadata"].pop("namespace", None)
    return {f"{manifest['kind']} {manifest['metadata']['name']}": manifest for manifest in found}


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or line.startswith(("-", "at "))]
    return "; ".join(errors or lines[-1:])[:400]
