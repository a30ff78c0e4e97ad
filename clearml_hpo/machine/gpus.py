"""Which GPUs this machine has, as ``nvidia-smi`` tells; which of them this process may use; what memory is free."""

from __future__ import annotations

import re
import subprocess

from clearml_hpo.machine.settings import child_environ

_TIMEOUT_S = 30.0
"""Longest wait for nvidia-smi."""
_GPU = re.compile(r"^GPU (?P<index>\d+): .*\(UUID: (?P<uuid>[^)]+)\)")
_MIG = re.compile(r"^\s+MIG .*\(UUID: (?P<uuid>[^)]+)\)")


NO_GPU = ("", "-1", "none", "void", "NoDevFiles")
"""What ``CUDA_VISIBLE_DEVICES`` may say where no GPU is to be seen."""


def detect_gpus() -> tuple[str, ...]:
    """Indices (of a GPU split by MIG: the UUIDs of its parts) that an agent can be given; () if none."""
    return visible(parse(_nvidia_smi("-L")), child_environ().get("CUDA_VISIBLE_DEVICES"))


def parse(listing: str) -> dict[str, tuple[str, ...]]:
    """``nvidia-smi -L`` as GPU → all names it goes by: its index, its UUID; or the UUIDs of its MIG parts."""
    gpus: dict[str, tuple[str, ...]] = {}
    whole = ""
    for line in listing.splitlines():
        if gpu := _GPU.match(line):
            whole = gpu["index"]
            gpus[whole] = (whole, gpu["uuid"])
        elif mig := _MIG.match(line):
            gpus.pop(whole, None)  # a GPU in MIG mode is reached by its parts alone
            gpus[mig["uuid"]] = (mig["uuid"],)
    return gpus


def visible(gpus: dict[str, tuple[str, ...]], wanted: str | None) -> tuple[str, ...]:
    """Those of ``gpus`` that ``CUDA_VISIBLE_DEVICES=wanted`` leaves, in its order.

    As in CUDA, unset means all, and the first name that is no GPU ends the list.
    """
    if wanted is None:
        return tuple(gpus)
    chosen: list[str] = []
    for word in wanted.split(","):
        match = next((gpu for gpu, names in gpus.items() if _names(word.strip(), names)), None)
        if match is None or match in chosen:
            break
        chosen.append(match)
    return tuple(chosen)


def _names(word: str, names: tuple[str, ...]) -> bool:
    by_prefix = word.startswith(("GPU-", "MIG-"))  # CUDA accepts the beginning of a UUID
    return any(name == word or (by_prefix and name.startswith(word)) for name in names)


def free_memory() -> dict[str, int]:
    """Free memory in MiB of each GPU, by its index and by its UUID; of a part of a GPU (MIG) nothing is known."""
    return parse_memory(_nvidia_smi("--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits"))


def parse_memory(listing: str) -> dict[str, int]:
    """``index, uuid, MiB`` lines as MiB by index and by UUID; a GPU that does not tell is left out."""
    free: dict[str, int] = {}
    for line in listing.splitlines():
        words = [word.strip() for word in line.split(",")]
        if len(words) == 3 and words[2].isdigit():
            free |= dict.fromkeys(words[:2], int(words[2]))
    return free


LOAD = ("gpu_usage", "gpu_memory_used", "gpu_memory_free", "gpu_temperature")
"""What :func:`load` tells of a GPU: percent, MiB, MiB, degrees Celsius."""


def load() -> dict[str, dict[str, float]]:
    """By GPU, by its index and by its UUID, the values of :data:`LOAD`."""
    asked = "index,uuid,utilization.gpu,memory.used,memory.free,temperature.gpu"
    return parse_load(_nvidia_smi(f"--query-gpu={asked}", "--format=csv,noheader,nounits"))


def parse_load(listing: str) -> dict[str, dict[str, float]]:
    """``index, uuid, percent, MiB, MiB, degrees`` lines; what a GPU does not tell is 0."""
    found: dict[str, dict[str, float]] = {}
    for line in listing.splitlines():
        words = [word.strip() for word in line.split(",")]
        if len(words) == 2 + len(LOAD):
            values = [float(word) if word.replace(".", "", 1).isdigit() else 0.0 for word in words[2:]]
            found |= {name: dict(zip(LOAD, values, strict=True)) for name in words[:2]}
    return found


def _nvidia_smi(*arguments: str) -> str:
    command = ["nvidia-smi", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
