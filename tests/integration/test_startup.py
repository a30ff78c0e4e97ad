"""What runs first in every Python of a trial, in a Python of its own."""

from __future__ import annotations

import subprocess
import sys

from clearml_hpo.scripts.startup import with_startup
from tests.conftest import unconfigured

FORKS = """
import os, signal, time
import clearml.binding.environ_bind
from clearml.utilities.process.exit_hooks import ExitHooks

hooks = ExitHooks(lambda: None)
hooks.register_signal_and_exception_hooks()
ends = set()
for _ in range(50):
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    ends.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
is_own = signal.getsignal(signal.SIGTERM) == hooks.signal_handler
print(ends, is_own, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


LOCKS = """
import os, signal, sys
from clearml import Task
from clearml.utilities.process import mp
from clearml.utilities.locks.utils import RLock

Task._report_subprocess_enabled = False  # as a worker's configuration says
event, lock = mp.SafeEvent(), RLock(sys.argv[1])
pid = os.fork()
if not pid:
    mp.ForkEvent._inner_lock()
    lock.acquire()
    event.set()
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(pid, 0)
signal.alarm(60)  # the SDK goes on after 90 seconds without the lock
mp.ForkEvent._inner_lock()
lock.acquire(timeout=0)
print(event.is_set())
"""


KEYS = """
from clearml.utilities.proxy_object import nested_from_flat_dictionary
print(nested_from_flat_dictionary({"a": {1: "x", "2": "y"}, "b": 0}, {"a/1": "X", "a/2": "Y", "b": 3}))
"""


def printed(source: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env=with_startup(unconfigured()),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_a_fork_ends_by_sigterm_whenever_it_comes():
    """Python forgets a signal with a handler of its own that comes while a process is forked."""
    assert printed(FORKS) == "{-15} True set()\n"


def test_a_fork_that_is_killed_leaves_no_lock_of_the_sdk_locked(tmp_path):
    assert printed(LOCKS, str(tmp_path / "lock")) == "False\n"


def test_a_number_as_key_of_a_dictionary_gets_the_new_value():
    assert printed(KEYS) == "{'a': {1: 'X', '2': 'Y', '1': 'X'}, 'b': 3}\n"
