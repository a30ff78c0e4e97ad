"""Runs the first steps of a script offline, where reading is not enough."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clearml_hpo.drafting.found import Findings, Found
from clearml_hpo.drafting.metrics import of_names
from clearml_hpo.scripts.startup import with_startup
from clearml_hpo.workers.last_line import last_words

LONGEST_S = 90.0
"""So long a script may take until it reports its first scalar."""

_PROGRAM = Path(__file__).with_name("offline_run.py")


def with_first_steps(findings: Findings, target: str, folder: Path, arguments: Sequence[str]) -> Findings:
    """What was read of a script, completed by what its first steps show.

    The script runs in its own folder, with ClearML offline in a temporary one, until it has reported each scalar once.

    Args:
        target: the file, or ``-m:package.module``.
        folder: the working directory.
    """
    with tempfile.TemporaryDirectory(prefix="clearml-hpo-init-") as name:
        recorded, said = _run(target, folder, arguments, Path(name))
    if recorded is None:
        return replace(findings, gaps=(*findings.gaps, f"its first steps, run offline, end with: {said}"))
    from clearml_hpo.backend.template import Template
    from clearml_hpo.drafting.recorded import parameters

    entries = Template("", "", "", recorded["hyperparams"], recorded["configuration"]).entries
    read = {found.name: found for found in findings.parameters}
    seen = {found.name: _completed(found, read.get(found.name)) for found in parameters(entries, arguments)}
    names = [name for name in read if name in seen] + [name for name in seen if name not in read]
    known = {metric.name for metric in findings.metrics if not (metric.is_guess and recorded["scalars"])}
    metrics = of_names({*recorded["scalars"], *known})
    return replace(findings, parameters=tuple(seen[name] for name in names), metrics=metrics, gaps=(), unnamed=())


def _completed(seen: Found, read: Found | None) -> Found:
    """A parameter that has run, with the choices, bounds and options that only the text has."""
    if read is None:
        return seen
    return replace(read, kind=read.kind or seen.kind, default=seen.default, is_required=read.is_required)


def _run(target: str, folder: Path, arguments: Sequence[str], temporary: Path) -> tuple[Mapping[str, Any] | None, str]:
    """What the script connected and reported; what it said last, if it did not come to that."""
    result = temporary / "result.json"
    configuration = temporary / "clearml.conf"
    configuration.write_text("sdk { development { report_use_subprocess: false } }\n", encoding="utf-8")
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("CLEARML_TASK", "CLEARML_PROC"))
    }
    environ |= {
        "CLEARML_OFFLINE_MODE": "1",
        "CLEARML_CACHE_DIR": str(temporary / "cache"),
        "CLEARML_CONFIG_FILE": str(configuration),
    }
    with (temporary / "output").open("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(result), target, *arguments],
            cwd=folder,
            env=with_startup(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(LONGEST_S)
            said = "it reported nothing"
        except subprocess.TimeoutExpired:
            said = f"no scalar within {LONGEST_S:g} s"
        finally:
            _end(process)
        if result.is_file():
            return json.loads(result.read_text(encoding="utf-8")), ""
        output.seek(0)
        return None, last_words(output.read()) or said


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the script and what it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()
