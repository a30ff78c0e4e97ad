"""Fixtures shared by all tests: a server, and the environment of a process that uses it.

The server is an embedded one of their own, or the one that ``make test-server`` was given.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from clearml_hpo import server as embedded
from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.server import RunningServer
from clearml_hpo.server.state import DataDir, Listening
from tests import place

CALL_LOG = "CLEARML_HPO_CALL_LOG"
_NOTED = pytest.StashKey[Path]()
_FAULTS = pytest.StashKey[Counter[str]]()
_NAMED = pytest.StashKey["place.NamedServer | None"]()
_RUNNING = pytest.StashKey[RunningServer]()
_BEGAN = pytest.StashKey[float]()
_LONG_S = "CLEARML_HPO_LONG_TESTS_S"
_LEFT = pytest.StashKey[list[str]]()

# How much is fuzzed: the same few requests every time, or many new ones (`make fuzz`).
_COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("few", derandomize=True, max_examples=20, **_COMMON)
settings.register_profile("many", max_examples=300, print_blob=True, **_COMMON)
settings.load_profile("few")


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer | place.NamedServer]:
    """The server that this run was given; without one, a server on a directory of its own, on free ports."""
    named = pytestconfig.stash[_NAMED]
    if named is not None:
        yield named
        return
    data_dir = tmp_path_factory.mktemp("server")
    # A server first tries the ports it had the last time: 0 makes it take free ones and leave ClearML's own alone.
    DataDir(data_dir).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    running = embedded.start(data_dir, with_parent=True)
    request.session.stash[_RUNNING] = running
    yield running
    del request.session.stash[_RUNNING]
    embedded.stop(data_dir)


@pytest.fixture(scope="module", autouse=True)
def few_queues(request: pytest.FixtureRequest) -> Iterator[None]:
    """Deletes the empty queues of a module's tests: with more than 500, a list of queues no longer has all of them.

    ClearML's auto-scaler reads such a list, as pages do.
    """
    yield
    running = request.session.stash.get(_RUNNING, None)
    if running is not None:
        place.delete_empty_queues(running.address)


@pytest.fixture(scope="session")
def server_environ(
    server: RunningServer | place.NamedServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a child process that uses the server, with an empty home directory."""
    home = tmp_path_factory.mktemp("home")
    return {
        **unconfigured(),
        **server.address.environ(),
        **quick_sdk(home),
    }


@pytest.fixture(autouse=True)
def forgetful_sdk() -> None:
    """Has the SDK in this process forget the server of an earlier test, which may have ended.

    It keeps its session, the address of the file server, and the connections to that. Files of tests run in any order.
    """
    base = sys.modules.get("clearml.backend_interface.base")
    if base is not None:
        base.InterfaceBase._set_default_session(None)
    storage = sys.modules.get("clearml.storage.helper")
    if storage is not None:
        storage._HttpDriver._file_server_hosts = None
        storage.StorageHelper._helpers.clear()


def unconfigured() -> dict[str, str]:
    """This process's environment without a ClearML server in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEARML", "TRAINS"))}
    return {**kept, CALL_LOG: os.environ[CALL_LOG]}


def pytest_configure(config: pytest.Config) -> None:
    """Finds the server; has all embedded ones note the calls that they answer, see ``tests.calls``."""
    try:
        config.stash[_NAMED] = place.named_server(os.environ)
    except ClearmlHpoError as error:
        raise pytest.UsageError(str(error)) from None
    if CALL_LOG not in os.environ:  # workers of pytest-xdist have that of the process which started them
        os.environ[CALL_LOG] = tempfile.mkdtemp(prefix="calls-")
        config.stash[_NOTED] = Path(os.environ[CALL_LOG])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Notes the time."""
    session.stash[_BEGAN] = time.monotonic()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """On a slow machine not all that takes long is run: what is left out is skipped, and so counted."""
    most_s = os.environ.get(_LONG_S)
    is_long = item.get_closest_marker("long") or item.get_closest_marker("exhaustive")
    if most_s and is_long and time.monotonic() - item.session.stash[_BEGAN] > float(most_s):
        pytest.skip(f"the {most_s} s for long tests are over ({_LONG_S})")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says which server is used, if it is not a run's own."""
    named = config.stash[_NAMED]
    return named and f"ClearML server: {named.address.api}, project {place.ROOT} (deleted at the end)"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leaves nothing on a server that is not ours; looks at the calls that the product made."""
    named = session.config.stash[_NAMED]
    if named is not None and not hasattr(session.config, "workerinput"):  # a process of pytest-xdist is not the last
        session.config.stash[_LEFT] = left = place.clean(named.address)
        if left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    _look_at_calls(session)


def _look_at_calls(session: pytest.Session) -> None:
    """Fails the run if the product made calls that ClearML's server would not have."""
    folder = session.config.stash.get(_NOTED, None)
    if folder is None:
        return
    from tests import calls

    found = Counter[str]()
    for call, number in calls.recorded(folder).items():
        found.update(dict.fromkeys(calls.faults([call]), number))
    shutil.rmtree(folder, ignore_errors=True)
    if found:
        session.config.stash[_FAULTS] = found
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says which calls these were, and what is left on a server that is not ours."""
    left = config.stash.get(_LEFT, [])
    if left:
        terminalreporter.section("left on the server", red=True)
        for line in left:
            terminalreporter.line(line)
    found = config.stash.get(_FAULTS, Counter())
    if found:
        terminalreporter.section("calls of the product that ClearML's server would not have", red=True)
        for fault, number in found.most_common():
            terminalreporter.line(f"{number:5} x {fault}")


def quick_sdk(home: Path) -> dict[str, str]:
    """Variables with which the SDK leaves the user's files alone and ends soon after its script."""
    # The SDK otherwise reports from a process of its own, whose start and end cost a short script some 12 s.
    conf = home / "clearml.conf"
    conf.write_text("sdk { development { report_use_subprocess: false } }\n")
    return {
        "HOME": str(home),
        "CLEARML_CONFIG_FILE": str(conf),
        "CLEARML_CACHE_DIR": str(home / "cache"),
        "PYTHONUNBUFFERED": "1",
    }
