"""A forked process, from the fork to its end: it behaves as ``python -u script.py`` would in its place."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import gc
import io
import os
import runpy
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NoReturn

from clearml_hpo.workers import checkout
from clearml_hpo.workers.warm import sdk

_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True)
class ForkRequest:
    """One run of a script.

    Attributes:
        run: number of the run, unique within the worker.
        environ: the whole environment.
        folder: the working directory.
        words: arguments for Python; empty if ``plan`` has them.
        plan: file of a ``CheckoutPlan``; empty for none.
        log: file of the output.
        roots: folders in which it looks for modules beside the script's own.
    """

    run: int
    environ: Mapping[str, str]
    folder: str
    words: Sequence[str]
    plan: str
    log: str
    roots: Sequence[str] = ()


def main(request: ForkRequest, gate: int, others: Iterable[int]) -> NoReturn:
    """Waits until ``gate`` opens, runs the script, and ends this process as Python ends.

    Args:
        request: what to run.
        gate: descriptor that sends one byte when the script may begin; it is closed if the script must not.
        others: descriptors of the parent, to be closed.
    """
    code = 1
    try:
        os.setsid()
        for descriptor in others:
            os.close(descriptor)
        if not os.read(gate, 1):
            os._exit(0)
        os.close(gate)
        _become(request)
        code = _exit_code(request)
        _finish()
    except BaseException:  # of this file: the script's own are handled above
        traceback.print_exc()
        code = code or 1
    finally:
        _leave(code)


def _become(request: ForkRequest) -> None:
    signal.set_wakeup_fd(-1)
    for number in _RESET:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    output = os.open(request.log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update({**request.environ, "PWD": request.folder})
    os.chdir(request.folder)
    sdk.set_task_id(request.environ.get("CLEARML_TASK_ID", ""))
    if "numpy.random" in sys.modules:  # Python seeds its own generator at a fork
        sys.modules["numpy.random"].seed()


# --- the script ------------------------------------------------------------------------------------------------------


def _exit_code(request: ForkRequest) -> int:
    """Runs the script. Returns its exit code, or minus the signal that the process is to end by."""
    try:
        words, roots = _checked_out(request)
        _run(words, roots)
    except checkout.CheckoutError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except SystemExit as error:
        return _code_of(error)
    except BaseException as error:
        _show(error)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _checked_out(request: ForkRequest) -> tuple[Sequence[str], Sequence[str]]:
    if not request.plan:
        return request.words, request.roots
    plan = checkout.CheckoutPlan.read(Path(request.plan))
    folder = checkout.make_tree(plan)
    checkout.enter(plan, folder)
    return checkout.arguments(plan.entry_point, folder), (str(folder), plan.tree)


def _run(words: Sequence[str], roots: Sequence[str]) -> None:
    """Does what ``python -u *words`` does with ``roots`` in ``PYTHONPATH``."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = module
    is_module = words[0] == "-m"
    sys.argv = [*words[1:]] if is_module else [*words]
    sys.orig_argv = [sys.executable, "-u", *words]
    path = Path.cwd() / words[0]
    first = str(Path.cwd() if is_module else path.resolve().parent)
    own = list(dict.fromkeys([*roots])) if getattr(sys.flags, "safe_path", False) else [first, *roots]
    sys.path[:] = [*dict.fromkeys([*own, *sys.path])]
    if is_module:
        runpy._run_module_as_main(sys.argv[0])  # type: ignore[attr-defined]
        return
    _run_file(path, module)


def _run_file(path: Path, module: types.ModuleType) -> None:
    try:
        with io.open_code(str(path)) as file:
            source = file.read()
    except OSError as error:
        text = f"{sys.executable}: can't open file {str(path)!r}: [Errno {error.errno}] {error.strerror}"
        print(text, file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    loader = SourceFileLoader("__main__", str(path))
    module.__dict__.update(__file__=str(path), __cached__=None, __loader__=loader, __spec__=None)
    sdk.know_script(path)
    exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)


def _code_of(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    with contextlib.suppress(Exception):
        print(error.code, file=sys.stderr)  # noqa: T201
    return 1


def _show(error: BaseException) -> None:
    """Prints the traceback as Python does, without the frames above the script."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename == __file__:
        found = found.tb_next
    error.__traceback__ = found
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, found
    with contextlib.suppress(SystemExit):
        sys.excepthook(type(error), error, found)


# --- its end ---------------------------------------------------------------------------------------------------------


def _finish() -> None:
    """Does what Python does when a program ends, except for the teardown of modules, which takes long."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    for found in gc.get_objects():
        if issubclass(type(found), io.IOBase):
            _flush(found)


def _flush(file: Any) -> None:
    with contextlib.suppress(Exception):
        if not file.closed and file.writable():
            file.flush()


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).fflush(None)  # what libraries in C have printed
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)
