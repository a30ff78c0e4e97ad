"""Job scripts of Slurm, PBS and HTCondor: the shell's own check, lists of directives, and the commands that they run.

A directive that is not in a list is a fault, though the batch system may know it: the lists have those that are used,
with how their values look, and Slurm would ignore a line with a typo in ``#SBATCH``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from deploy.check import Report, commands, tools

_TIME = r"\d{2,}:[0-5]\d:[0-5]\d"
_SLURM = {
    "job-name": r"[\w-]+",
    "array": r"0-\d+",
    "nodes": r"1",
    "cpus-per-task": r"\d+",
    "mem": r"\d+M",
    "gres": r"gpu:\d+",
    "time": _TIME,
    "output": r"%x-(%A_%a|%j)\.log",
    "requeue": r"",
    "open-mode": r"append",
    "signal": r"B:TERM@\d+",
}
_PBS = {
    "N": r"[\w-]+",
    "J": r"0-\d+",
    "l": rf"select=1:ncpus=\d+:mem=\d+mb(:ngpus=\d+)?|walltime={_TIME}",
    "j": r"oe",
    "r": r"y",
}
_HTCONDOR = {
    "universe": r"vanilla",
    "executable": r"worker\.sh",
    "getenv": r"HOME, PATH",
    "should_transfer_files": r"IF_NEEDED",
    "when_to_transfer_output": r"ON_EXIT",
    "request_cpus": r"\d+",
    "request_memory": r"\d+MB",
    "request_gpus": r"\d+",
    "kill_sig": r"SIGTERM",
    "job_max_vacate_time": r"\d+",
    "allowed_job_duration": r"\d+",
    "output": r"[\w-]+\$\(ClusterId\)_\$\(ProcId\)\.log",
    "error": r"[\w-]+\$\(ClusterId\)_\$\(ProcId\)\.err",
    "log": r"[\w-]+\$\(ClusterId\)\.events",
}
_TIMEOUT = ["timeout", "--foreground", "--preserve-status", "--signal=TERM"]


def check(folder: Path) -> Report:
    """Checks all files of the three folders."""
    readers: dict[str, Callable[[str], Iterator[str]]] = {
        "slurm": lambda text: _directives(text, "#SBATCH", r"--(?P<name>[a-z-]+)(=(?P<value>.*))?", _SLURM),
        "pbs": lambda text: _directives(text, "#PBS", r"-(?P<name>[a-zA-Z])( (?P<value>.*))?", _PBS),
        "htcondor": lambda text: iter(()),
    }
    faults, number = [], 0
    for kind, read in readers.items():
        for path in sorted((folder / kind).iterdir()):
            number += 1
            text = path.read_text()
            found = _description(text) if path.suffix == ".sub" else (*_shell(path), *read(text), *_command(text))
            faults += [f"{kind}/{path.name}: {fault}" for fault in found]
    return Report(f"{number} files for Slurm, PBS and HTCondor; none is run", faults)


def _shell(path: Path) -> Iterator[str]:
    done = tools.run(["bash", "-n", path])
    if done.returncode or done.stderr:
        yield done.stderr.strip().partition("\n")[0]
    if not path.read_text().startswith("#!/bin/bash\n"):
        yield "the first line does not say #!/bin/bash"


def _directives(text: str, prefix: str, form: str, known: Mapping[str, str]) -> Iterator[str]:
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    for n, line in enumerate(lines):
        if not re.match(r"#[A-Z]+ -", line):
            continue
        word, _, directive = line.partition(" ")
        found = re.fullmatch(form, directive)
        if word != prefix:
            yield f"{line}: only a comment; {prefix} is a directive"
        elif n > first:
            yield f"{line}: too late, after the first command"
        elif found is None or found["name"] not in known:
            yield f"{line}: not a known directive"
        elif not re.fullmatch(known[found["name"]], found["value"] or "", re.ASCII):
            yield f"{line}: not a value for it"


def _description(text: str) -> Iterator[str]:
    """What is wrong with a submit description of HTCondor."""
    *lines, last = [line for line in text.splitlines() if not line.startswith("#")]
    if not re.fullmatch(r"queue \d+", last):
        yield f"{last}: the last line is not `queue N`"
    for line in lines:
        name, separator, value = line.partition(" = ")
        if not separator or name not in _HTCONDOR:
            yield f"{line}: not a known command"
        elif not re.fullmatch(_HTCONDOR[name], value, re.ASCII):
            yield f"{line}: not a value for it"


def _command(text: str) -> Iterator[str]:
    """What is wrong with the program that takes the shell's place: its options, by its own parser."""
    try:
        words = shlex.split(text.replace("\\\n", "").rstrip().rpartition("\n")[2])
    except ValueError:
        return  # the shell has said it
    words = [word for word in words if word != "$@"]
    if words[:5] == ["exec", *_TIMEOUT] and words[5].isdecimal():
        words = [words[0], *words[6:]]
    if words[0] == "exec":
        yield from commands.faults(words[1:])
    else:
        yield f"{' '.join(words[:3])}: not `exec` and a program"
