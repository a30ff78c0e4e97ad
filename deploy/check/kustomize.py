"""Bases and overlays, built by kubectl: each with each kind of worker."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import yaml

from clearml_hpo.deployment.kubernetes import WORKERS
from deploy.check import Report, manifests, tools


def check(folder: Path) -> Report:
    """Builds each folder that has a kustomization, and checks the objects that come out."""
    named, faults, built = [], [], 0
    with tempfile.TemporaryDirectory() as temporary:
        for workers in WORKERS:
            top = Path(temporary) / workers
            shutil.copytree(folder / "kubernetes", top)
            base = top / "base/kustomization.yaml"
            base.write_text(base.read_text().replace(f"worker-{WORKERS[0]}.yaml\n", f"worker-{workers}.yaml\n"))
            for kustomization in sorted(top.rglob("kustomization.yaml")):
                name = f"kubernetes/{kustomization.parent.relative_to(top)}"
                if workers != WORKERS[0] and not name.startswith(("kubernetes/base", "kubernetes/overlays")):
                    continue
                try:
                    built += 1
                    named += [(f"{name} ({workers})", manifest) for manifest in build(kustomization.parent)]
                except ValueError as error:
                    faults.append(f"{name}: {error}")
    report = manifests.examine(named)
    version = tools.run([tools.kubectl(), "version", "--client"]).stdout.split()[2]
    return Report(f"{built} built by kubectl {version}: {report.checked}", [*faults, *report.faults])


def build(folder: Path) -> list[manifests.Manifest]:
    """The objects of a kustomization.

    Raises:
        ValueError: kubectl refuses it.
    """
    done = tools.run([tools.kubectl(), "kustomize", folder])
    if done.returncode or done.stderr:
        raise ValueError(done.stderr.strip().splitlines()[-1] if done.stderr else f"exit code {done.returncode}")
    return list(yaml.safe_load_all(done.stdout))
