"""Processes that write what clearml-agent's daemon writes, and a clock for those that watch them."""

from __future__ import annotations

import sys

from clearml_hpo.fleet import AgentSlot

SLOT = AgentSlot("cpu0", "trials")

DAEMON = """
import os, signal, subprocess, sys, time
def say(text): print(text, flush=True)
def idle(): say("No tasks in Queues, sleeping for 0.5 seconds")
def end(*_): say("terminated"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
{body}
"""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def command(body: str) -> list[str]:
    """The command line of a fake daemon; ``-S`` makes it start in some milliseconds."""
    return [sys.executable, "-S", "-c", DAEMON.format(body=body)]
