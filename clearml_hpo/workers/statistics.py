"""Load, memory, disk and network of this machine, as workers report them to ClearML."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import psutil

from clearml_hpo.machine import gpus
from clearml_hpo.workers.timed_call import TimedCall

_MB = 1024.0 * 1024.0
_TIMEOUT_S = 0.5
"""How long a report waits for nvidia-smi."""
_MAX_AGE_S = 90.0
"""How long the load of GPUs is reported; one that came too late for a report, every 30 s, is in the next one."""


class MachineStatistics:
    """Measures this machine; rates are those since the last measurement."""

    def __init__(self, seen_gpus: tuple[str, ...] = ()) -> None:
        """Begins to measure; ``seen_gpus`` are the GPUs to include, by index or UUID."""
        self._gpus = seen_gpus
        self._load = TimedCall(gpus.load, timeout_s=_TIMEOUT_S, max_age_s=_MAX_AGE_S)
        self._before, self._looked_at = _counters(), time.monotonic()
        psutil.cpu_percent()  # counts from here

    def measure(self) -> dict[str, Any]:
        """Percent of cores in use and of disk free, MiB of memory, MiB/s of network and disk; lists by GPU.

        What this machine does not provide is left out.
        """
        now, elapsed = _counters(), max(1e-3, time.monotonic() - self._looked_at)
        rates = {name: (now[name] - self._before[name]) / _MB / elapsed for name in now}
        self._before, self._looked_at = now, time.monotonic()
        memory = psutil.virtual_memory()
        found: dict[str, Any] = {
            "cpu_usage": [psutil.cpu_percent()],
            "memory_used": memory.used / _MB,
            "memory_free": memory.available / _MB,
            **rates,
        }
        with contextlib.suppress(OSError, RuntimeError):  # there may be no home
            found["disk_free_home"] = 100.0 - psutil.disk_usage(str(Path.home())).percent
        return {**found, **self._of_gpus()}

    def _of_gpus(self) -> dict[str, list[float]]:
        if not self._gpus:
            return {}
        known = self._load.answer() or {}
        seen = [known[gpu] for gpu in dict.fromkeys(self._gpus) if gpu in known]
        return {name: [gpu[name] for gpu in seen] for name in gpus.LOAD} if seen else {}


def _counters() -> dict[str, float]:
    network = disk = None
    with contextlib.suppress(OSError, NotImplementedError, RuntimeError):  # a container may show neither
        network, disk = psutil.net_io_counters(), psutil.disk_io_counters()
    return {
        "network_tx": network.bytes_sent if network else 0.0,
        "network_rx": network.bytes_recv if network else 0.0,
        "disk_read": disk.read_bytes if disk else 0.0,
        "disk_write": disk.write_bytes if disk else 0.0,
    }
