"""Holds the gateway's socket, and starts the process that serves anew if it dies: connections wait meanwhile."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from clearml_hpo.gateway.process import UNUSABLE, Options
from clearml_hpo.machine import signals

_PAUSES_S = (0.0, 0.2, 1.0, 5.0, 10.0)
"""Pauses before a new start, after one that lived for a minute, then after each that did not."""
_WELL_S = 60.0
"""A process that has lived for so long has not failed at once."""


def supervise(listening: socket.socket, options: Options, say: Callable[[str], None]) -> int:
    """Serves until SIGINT, SIGTERM or SIGHUP, or until it cannot; returns the exit status."""
    stopped, child = threading.Event(), list[subprocess.Popen[bytes]]()

    def stop() -> None:
        if child:
            child[0].send_signal(signal.SIGTERM)
        signals.set_soon(stopped)

    listening.set_inheritable(True)
    command = [sys.executable, "-m", "clearml_hpo.gateway.process", str(listening.fileno()), options.as_json()]
    failures = 0
    with signals.handled(dict.fromkeys(signals.ENDS, stop)):
        while True:
            began = time.monotonic()
            # In a session of its own: Ctrl-C is this process's, which passes it on once.
            child[:] = [subprocess.Popen(command, pass_fds=[listening.fileno()], start_new_session=True)]
            status = child[0].wait()
            if stopped.is_set() or status in (0, UNUSABLE):
                return status
            failures = 0 if time.monotonic() - began >= _WELL_S else failures + 1
            pause_s = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            say(f"the process that serves has died ({how}); it is started anew in {pause_s:g} s, requests wait")
            if stopped.wait(pause_s):
                return 0
