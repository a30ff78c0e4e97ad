"""Runs all checks, and prints what each has checked."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.check import Report, batch, helm, image, kustomize, manifests, rendered, services
from deploy.check.tools import Unavailable
from deploy.render import FOLDER

CHECKS: dict[str, Callable[[Path], Report]] = {
    "rendered": rendered.check,
    "manifests": manifests.check,
    "kustomize": kustomize.check,
    "helm": helm.check,
    "image": image.check,
    "batch": batch.check,
    "services": services.check,
}


def main() -> int:
    """0 if nothing is wrong. What cannot be checked here is skipped, unless ``CI`` is set."""
    faults = skipped = 0
    for name, check in CHECKS.items():
        begun = time.monotonic()
        try:
            report = check(FOLDER)
        except Unavailable as reason:
            skipped += 1
            print(f"SKIPPED  {name:10} {reason}")
            continue
        faults += len(report.faults)
        print(f"{'FAILED' if report.faults else 'ok':8} {name:10} {report.checked} ({time.monotonic() - begun:.1f} s)")
        for fault in report.faults:
            print(f"         {fault}")
    print(f"{len(CHECKS) - skipped} checks, {faults} faults, {skipped} skipped")
    return 1 if faults or (skipped and os.environ.get("CI")) else 0


if __name__ == "__main__":
    sys.exit(main())
