"""Python runs this file when it starts, because ``PYTHONPATH`` names its folder.

It changes ClearML's SDK, once a script imports it, as ``_CHANGES`` lists. It imports nothing of this package: an
agent's virtual environment does not have it.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False  # typing takes longer to load than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_HOOKS = "clearml.utilities.process.exit_hooks"
_EVENTS = "clearml.backend_interface.metrics.events"
_FORKS = "clearml.binding.environ_bind"
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGBUS")
_MOST_NAMES = 100
_ANY = "*"
_has_arguments: list[bool] = []  # True if the task had some when it began; empty until something is parsed


def crashes_end_the_process(exit_hooks: ModuleType) -> None:
    """Stops the SDK from catching crashes.

    A handler written in Python runs only after the instruction that crashed, which is then repeated forever.
    """
    signals = exit_hooks.signal
    crashes = {getattr(signals, name) for name in _CRASHES if hasattr(signals, name)}

    class Signals:
        """The module ``signal`` as the SDK's exit hooks see it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(signals, name)

        def signal(self, number: int, handler: Any) -> Any:
            """Leaves what the script, or ``faulthandler``, has set for a crash."""
            return None if number in crashes else signals.signal(number, handler)

    exit_hooks.signal = Signals()  # type: ignore[attr-defined]


def forks_end_by_sigterm(_: ModuleType) -> None:
    """Gives forked processes the handling of SIGTERM that was there before the SDK's.

    ``Pool.terminate`` sends SIGTERM to processes that wait for a lock. A handler written in Python never runs if the
    signal arrives just before the wait, and the pool then waits forever. The SDK takes its handlers away itself where
    it reports from a process of its own, which ours do not. SIGTERM is blocked during a fork: Python forgets signals
    that arrive then.
    """
    import os
    import signal
    import threading

    masks: dict[int, Any] = {}

    def block() -> None:
        masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop(threading.get_ident()))

    def unblock_in_child() -> None:
        hooks = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        before = getattr(hooks, "_org_handlers", {}).get(signal.SIGTERM)
        if before is not None:
            signal.signal(signal.SIGTERM, before)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=unblock_in_child)


def locks_are_of_one_process(mp: ModuleType) -> None:
    """Gives each fork events and locks of its own.

    The SDK shares some between a script and its forks. ``Pool.terminate`` kills forks: one that dies while it holds
    such a lock leaves it locked, and the script waits for 90 seconds, or forever, at its next report or at its end. An
    event that a fork sets when it ends would end the script's pings and its look for an abort. Only the SDK's
    reporting process, which our tasks do not have, needs shared events.
    """
    import os
    import threading

    lock = threading.RLock()  # a signal may come while it is held
    os.register_at_fork(after_in_child=lock._at_fork_reinit)  # type: ignore[attr-defined]
    mp._ForkSafeThreadSyncObject._inner_lock = lock.acquire
    mp._ForkSafeThreadSyncObject._inner_unlock = lock.release

    def init(event: Any) -> None:
        from clearml import Task

        event._event = mp.ProcessEvent() if Task._report_subprocess_enabled else mp.ForkEvent()

    mp.SafeEvent.__init__ = init


def file_locks_are_of_one_process(locks: ModuleType) -> None:
    """Makes the lock within a lock file one of threads: when a process dies, the system unlocks the file itself."""
    import os
    import threading

    class ThreadLock:
        """A ``threading.RLock`` with the arguments of ``multiprocessing.RLock``; free in each fork."""

        def __init__(self) -> None:
            self._lock = threading.RLock()
            self._pid = os.getpid()

        def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
            if self._pid != os.getpid():
                self.__init__()  # type: ignore[misc]
            return self._lock.acquire(block, -1 if timeout is None or not block else timeout)

        def release(self) -> None:
            self._lock.release()

    locks.ProcessRLock = ThreadLock  # type: ignore[attr-defined]


def edit_locks_are_made_once(tasks: ModuleType) -> None:
    """Gives all threads the same lock of a task, whichever of them ask for it first.

    At the end of ``Task.init`` the main thread and the monitor of the machine may both be the first. Each then had a
    lock of its own around the same file, and they waited for each other for ever.
    """
    import os
    import threading

    lock = tasks.Task._edit_lock
    making = threading.RLock()  # a signal may come while it is held
    os.register_at_fork(after_in_child=making._at_fork_reinit)  # type: ignore[attr-defined]

    def made_once(task: Any) -> Any:
        with making:
            return lock.fget(task)

    tasks.Task._edit_lock = lock.getter(made_once)


def the_console_names_what_is_not_finite(events: ModuleType) -> None:
    """Prints each scalar that the SDK sends as another number because it is NaN or infinite."""
    known: set[str] = set()
    init = events.ScalarEvent.__init__

    def init_and_name(event: Any, metric: str, variant: str, value: float, *args: Any, **options: Any) -> None:
        init(event, metric, variant, value, *args, **options)
        if not events.np.isfinite(value):
            if not events.np.isfinite(event._value):  # the script has asked for it: a server refuses the whole batch
                event._value = 0.0
            _name(f"{metric}/{variant}", value, event._value, known)

    events.ScalarEvent.__init__ = init_and_name


def _name(scalar: str, value: float, sent: float, known: set[str]) -> None:
    import json

    name = scalar if len(known) < _MOST_NAMES else _ANY
    if name not in known:
        known.add(name)
        try:
            # Not by a logger: the script may have set its level, and may have replaced its stdout. With its end in one
            # write: a progress bar that comes between them would overwrite it.
            line = f"Not finite: {json.dumps(name)} is {value}, reported as '{sent}'\n"
            print(line, end="", file=sys.__stdout__, flush=True)
        except (OSError, ValueError):  # there is none, or it is closed
            return


def unknown_arguments_are_left(binding: ModuleType) -> None:
    """Lets parsers that are asked for what they know alone leave the rest, such as Fire's for its own flags.

    In a run by an agent the SDK asks each parser for all words of the command line. An unknown one ends the script.
    """

    def parse(parser: Any, **given: Any) -> Any:
        return binding.PatchArgumentParser._original_parse_known_args(parser, **given)[0]

    binding.call_original_argparser = parse  # type: ignore[attr-defined]


def first_runs_are_as_by_hand(binding: ModuleType) -> None:
    """Records the script's arguments in a task that has none, as a run by hand does.

    In a run by an agent the SDK reads them from the task instead. If there are none, it ends with a ``KeyError``, or
    gives the script None for each, or records none.
    """
    is_remote = binding.running_remotely

    def running_remotely() -> bool:
        asks = sys._getframe(1).f_code.co_name
        # Options are declared while a module is imported, and tasks begin, without anything that is parsed.
        if not is_remote() or asks == "_command_init":
            return False
        if not _has_arguments:
            if asks == "_update_task_args":
                return True
            from clearml import Task

            task = Task.get_task(task_id=binding.get_remote_task_id())
            _has_arguments.append("Args" in (task._get_task_property("hyperparams") or {}))
        return _has_arguments[0]

    binding.running_remotely = running_remotely  # type: ignore[attr-defined]


def click_options_arrive(binding: ModuleType) -> None:
    """Records 0 and False as such, not as empty texts, and turns the task's texts into lists and None."""
    first_runs_are_as_by_hand(binding)
    if binding.Command is None:
        return
    import ast
    import importlib

    core: Any = importlib.import_module("click.core")
    cast, parse, noted = core.Parameter.type_cast_value, core.Command.parse_args, binding.PatchClick

    def type_cast_value(option: Any, ctx: Any, value: Any) -> Any:
        is_several = option.multiple or option.nargs != 1
        if value == "":
            default = option.get_default(ctx)
            if default is None or option.value_is_missing(default):
                value = None
            elif is_several or not isinstance(option.type, core.types.StringParamType):
                value = default
        elif is_several and isinstance(value, str):
            value = ast.literal_eval(value)
        return cast(option, ctx, value)

    def parse_args(command: Any, ctx: Any, args: list[str]) -> Any:
        rest = parse(command, ctx, args)
        if not binding.running_remotely():
            given = {name: value for name, value in ctx.params.items() if value not in (None, "") and not value}
            noted._args.update({f"{command.name}/{name}": str(value) for name, value in given.items()})
            noted._update_task_args()
        return rest

    core.Parameter.type_cast_value = type_cast_value
    core.Command.parse_args = parse_args


def typer_parameters_arrive(core: ModuleType) -> None:
    """Records parameters of Typer's commands as the SDK does click's; gives a task's values as a shell would.

    Typer has a click of its own, which the SDK does not know. Names are those of the functions' parameters; of several
    commands, ``<command>/<name>``.
    """
    if any(base.__module__ == "click.core" for base in core.TyperCommand.__mro__):
        return  # an older Typer, whose commands are click's
    noted: dict[str, Any] = {}
    parse = core.TyperCommand.parse_args

    def note(task: Any) -> None:
        if task is not None and noted:
            task._set_parameters(noted, __update=True)

    def parse_args(command: Any, ctx: Any, args: list[str]) -> Any:
        import importlib

        binding: Any = importlib.import_module("clearml.binding.click_bind")
        prefix = f"Args/{command.name}/" if ctx.parent is not None else "Args/"
        if binding.running_remotely():
            from clearml import Task

            task = Task.get_task(task_id=binding.get_remote_task_id())
            values = task.get_parameters(backwards_compatibility=False)
            return parse(command, ctx, [*args, *_as_options(command, prefix, values)])
        rest = parse(command, ctx, args)
        for name, value in ctx.params.items():
            noted[f"{prefix}{name}"] = getattr(value, "value", value)  # of an Enum
        if not hasattr(binding.PatchClick, "_notes_typer"):
            binding.PatchClick._notes_typer = True
            connect = binding.PatchClick.patch

            def patch(task: Any = None) -> None:
                connect(task)
                note(task)

            binding.PatchClick.patch = patch  # called by Task.init, which may come after the arguments are parsed
        note(binding.PatchClick._current_task)
        return rest

    core.TyperCommand.parse_args = parse_args


def _as_options(command: Any, prefix: str, values: dict[str, str]) -> list[str]:
    """A command's options with the values of a task, as words of a shell."""
    import ast

    words = []
    for option in command.params:
        text = values.get(f"{prefix}{option.name}")
        if not text or option.param_type_name != "option":
            continue
        if option.is_flag:
            flags = option.opts if text == "True" else option.secondary_opts
            words += flags[:1]
        elif option.count:
            words += option.opts[:1] * int(text)
        elif text[:1] in ("[", "(") and (option.multiple or option.nargs != 1):
            items = [str(item) for item in ast.literal_eval(text)]
            words += (
                [word for item in items for word in (option.opts[0], item)]
                if option.multiple
                else [option.opts[0], *items]
            )
        else:
            words.append(f"{option.opts[0]}={text}" if option.opts[0].startswith("--") else f"{option.opts[0]}{text}")
    return words


def fire_arguments_arrive(binding: ModuleType) -> None:
    """Lets the SDK see what Python Fire calls, and leaves out arguments that are None, which became True."""
    is_remote = binding.running_remotely()
    first_runs_are_as_by_hand(binding)
    if binding.fire is None or not is_remote:
        return
    patch, core = binding.PatchFire, binding.fire.core
    load = patch._load_task_params

    def load_task_params() -> Any:
        command = load()
        arguments = patch._PatchFire__remote_task_params["Args"]
        for name in [name for name, found in arguments.items() if not found.value]:
            del arguments[name]
        return command

    patch._load_task_params = load_task_params
    separate = binding.fire.parser.SeparateFlagArgs

    def separate_flag_args(args: Any) -> Any:
        binding.running_remotely()  # asked before Fire parses its own flags, which are noted in the task, too
        return separate(args)

    binding.fire.parser.SeparateFlagArgs = separate_flag_args
    # On import the SDK prepares for one kind of run only.
    call, note = core._CallAndUpdateTrace, patch._PatchFire__CallAndUpdateTrace
    core._CallAndUpdateTrace = binding._patched_call_no_recursion_guard(call, note)


def number_keys_arrive(proxies: ModuleType) -> None:
    """Sets the values of keys that are no texts in nested dictionaries; the SDK adds the same keys as texts instead."""
    nest = proxies.nested_from_flat_dictionary

    def nest_all(values: Any, *args: Any, **options: Any) -> Any:
        found = nest(values, *args, **options)
        found.update({key: found[str(key)] for key in found if not isinstance(key, str)})
        return found

    proxies.nested_from_flat_dictionary = nest_all  # type: ignore[attr-defined]


_CHANGES: dict[str, Callable[[ModuleType], None]] = {
    _HOOKS: crashes_end_the_process,
    _EVENTS: the_console_names_what_is_not_finite,
    _FORKS: forks_end_by_sigterm,
    "clearml.utilities.process.mp": locks_are_of_one_process,
    "clearml.utilities.locks.utils": file_locks_are_of_one_process,
    "clearml.backend_interface.task.task": edit_locks_are_made_once,
    "clearml.utilities.proxy_object": number_keys_arrive,
    "clearml.binding.args": unknown_arguments_are_left,
    "clearml.binding.click_bind": click_options_arrive,
    "typer.core": typer_parameters_arrive,
    "clearml.binding.fire_bind": fire_arguments_arrive,
    "clearml.binding.jsonargs_bind": first_runs_are_as_by_hand,
}


class _Changing:
    """Finds the modules of ``_CHANGES`` as Python does, and changes them once they are loaded."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        change = _CHANGES.get(name)
        spec = PathFinder.find_spec(name, path, target) if change else None
        if spec is None or spec.loader is None or change is None:
            return None
        load = spec.loader.exec_module

        def load_changed(module: ModuleType) -> None:
            load(module)
            try:
                change(module)
            except Exception as error:  # another version of the SDK: trials run as under any other agent
                print(f"clearml-hpo leaves {name} as it is: {error!r}", file=sys.stderr)  # noqa: T201

        spec.loader.exec_module = load_changed  # type: ignore[method-assign]
        return spec


def _run_the_one_behind() -> None:
    """Runs the ``sitecustomize.py`` that this one hides, if there is one, in a module of its own.

    That may be this file in another installation, which does the same: each looks only behind its own folder.
    """
    import os
    from importlib.util import module_from_spec

    folders = [os.path.abspath(path) for path in sys.path]  # noqa: PTH100
    own = folders.index(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    found = PathFinder.find_spec("sitecustomize", [path for path in folders[own + 1 :] if path != folders[own]])
    if found is not None and found.loader is not None:
        sys.modules["sitecustomize"] = module = module_from_spec(found)
        found.loader.exec_module(module)


if __name__ == "sitecustomize":
    # If several installations are on the path, the first one is that of the worker.
    if not any(type(finder).__name__ == _Changing.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Changing())
    _run_the_one_behind()
