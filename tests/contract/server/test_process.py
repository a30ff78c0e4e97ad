"""The server as a process, and its commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from clearml_hpo import server as embedded
from clearml_hpo.cli.server import server as command
from clearml_hpo.core.errors import ServerError
from clearml_hpo.machine.background import is_running
from clearml_hpo.server import serving
from clearml_hpo.server.state import DataDir, Listening

pytestmark = pytest.mark.embedded

DEADLINE_S = 60


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A directory whose server takes free ports and is stopped in the end."""
    path = tmp_path / "data"
    path.mkdir()
    DataDir(path).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    yield path
    embedded.stop(path)


def eventually_gone(pid: int) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_start_status_stop(data_dir: Path) -> None:
    assert embedded.status(data_dir) is None
    assert embedded.stop(data_dir) is False
    running = embedded.start(data_dir)
    assert embedded.status(data_dir) == running == embedded.start(data_dir)
    assert embedded.stop(data_dir) is True
    assert not is_running(running.pid) and embedded.status(data_dir) is None
    again = embedded.start(data_dir)
    # Links and keys stay valid.
    assert again.address == running.address


def test_a_killed_server_is_not_taken_for_running(data_dir: Path) -> None:
    running = embedded.start(data_dir)
    os.kill(running.pid, signal.SIGKILL)
    assert eventually_gone(running.pid)
    assert embedded.status(data_dir) is None
    assert embedded.start(data_dir).pid != running.pid


def test_a_second_server_on_the_same_data_is_refused(data_dir: Path) -> None:
    embedded.start(data_dir)
    with pytest.raises(ServerError, match="already runs"):
        serving.run(data_dir)


def test_a_process_that_came_to_the_same_number_is_not_the_server(data_dir: Path) -> None:
    DataDir(data_dir).note(Listening(os.getpid(), "127.0.0.1", 9, 9, 9))
    assert embedded.status(data_dir) is None
    assert embedded.stop(data_dir) is False


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir()
    (path / "credentials.json").write_text("{}")
    with pytest.raises(ServerError, match=r"credentials\.json does not hold"):
        embedded.start(path)


class Holder:
    """A process that starts a server which is to end with it, and releases it when told to."""

    _SCRIPT = """
import sys; from pathlib import Path; from clearml_hpo import server
print(server.start(Path(sys.argv[1]), with_parent=True).pid, flush=True)
sys.stdin.readline()
print(server.release(Path(sys.argv[1])), flush=True)
sys.stdin.readline()
"""

    def __init__(self, data_dir: Path) -> None:
        command = [sys.executable, "-c", self._SCRIPT, str(data_dir)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def server(self) -> int:
        return int(self._read())

    def release(self) -> bool:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._read() == "True"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def holders(data_dir: Path) -> Iterator[tuple[Holder, Holder]]:
    """Two processes that asked for the server at the same time."""
    both = Holder(data_dir), Holder(data_dir)
    yield both
    for each in both:
        each.kill()


def test_a_held_server_ends_when_its_last_holder_is_killed(holders: tuple[Holder, Holder], data_dir: Path) -> None:
    first, second = holders
    pid = first.server()
    assert second.server() == pid
    first.kill()
    assert not DataDir(data_dir).end_unless_held()  # what the server asks itself from time to time
    second.kill()
    assert eventually_gone(pid)
    assert embedded.status(data_dir) is None
    assert not list((data_dir / "holds").glob("*.hold"))


def test_a_held_server_is_stopped_by_the_last_release(holders: tuple[Holder, Holder], data_dir: Path) -> None:
    first, second = holders
    pid = first.server()
    second.server()
    assert first.release() is False
    assert embedded.status(data_dir) is not None
    assert second.release() is True
    assert not is_running(pid)


def test_a_holder_that_comes_later_keeps_the_server(data_dir: Path) -> None:
    first = Holder(data_dir)
    pid = first.server()
    assert embedded.start(data_dir, with_parent=True).pid == pid
    first.kill()
    assert not DataDir(data_dir).end_unless_held()
    assert embedded.release(data_dir) is True
    assert embedded.release(data_dir) is False
    assert not is_running(pid)


def test_a_server_that_was_started_to_stay_stays(holders: tuple[Holder, Holder], data_dir: Path) -> None:
    first, second = holders
    pid = first.server()
    second.server()
    assert embedded.start(data_dir).pid == pid
    assert (first.release(), second.release()) == (False, False)
    assert not DataDir(data_dir).end_unless_held()
    assert embedded.start(data_dir, with_parent=True).pid == pid
    assert embedded.release(data_dir) is False
    assert embedded.status(data_dir) is not None


def test_who_comes_while_the_server_ends_gets_a_new_one(data_dir: Path) -> None:
    first = Holder(data_dir)
    pid = first.server()
    first.kill()
    running = embedded.start(data_dir, with_parent=True)
    # Either this process was in time, or the server had decided to end, and another one took its place.
    assert embedded.status(data_dir) == running
    assert not DataDir(data_dir).end_unless_held()
    assert running.pid == pid or eventually_gone(pid)


def test_a_hold_does_not_pass_to_children(data_dir: Path) -> None:
    holds = DataDir(data_dir).holds
    with holds.agreed():
        holds.take()
    child = os.fork()
    if child == 0:
        holds.drop()  # not its own, so nothing happens
        os._exit(0 if holds.any() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    holds.drop()
    assert not holds.any()


def test_an_interrupt_ends_it_in_good_order(data_dir: Path) -> None:
    running = embedded.start(data_dir)
    os.kill(running.pid, signal.SIGINT)
    assert eventually_gone(running.pid)
    assert DataDir(data_dir).log.read_text() == ""


def test_a_start_takes_as_long_as_it_makes_progress(data_dir: Path) -> None:
    assert embedded.start(data_dir, timeout_s=0.5).pid, "the imports alone take longer than that"


def test_a_start_without_progress_is_given_up(data_dir: Path) -> None:
    with DataDir(data_dir).locked(), pytest.raises(ServerError, match=r"is stuck for 0\.5 s"):
        embedded.start(data_dir, timeout_s=0.5)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0\0\0", None])
def test_a_server_is_found_whose_note_is_damaged_or_gone(data_dir: Path, damage: bytes | None) -> None:
    running = embedded.start(data_dir)
    note = data_dir / "server.json"
    if damage is None:
        note.unlink()
    else:
        note.write_bytes(damage)
    assert embedded.start(data_dir) == embedded.status(data_dir) == running
    assert "it is written anew" in DataDir(data_dir).log.read_text()
    assert embedded.stop(data_dir) and eventually_gone(running.pid)


@pytest.mark.long
def test_a_held_server_whose_note_is_damaged_ends_with_its_holder(data_dir: Path) -> None:
    holder = Holder(data_dir)
    pid = holder.server()
    (data_dir / "server.json").write_bytes(b"damaged")
    holder.kill()
    assert eventually_gone(pid)


def test_a_damaged_database_is_one_line(data_dir: Path) -> None:
    DataDir(data_dir).database.write_bytes(b"damaged " * 1024)
    with pytest.raises(ServerError, match=r"is damaged .*clearml-hpo server restore FILE") as raised:
        embedded.start(data_dir)
    assert "\n" not in str(raised.value)


def test_the_commands(data_dir: Path) -> None:
    def call(*arguments: str) -> str:
        result = CliRunner().invoke(command, [*arguments, "--data", str(data_dir)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "server start" in call("status")
    assert json.loads(call("status", "--json")) == {"running": False}
    with pytest.raises(ServerError, match="server start"):
        call("env")
    assert "running (process" in call("start")
    assert call("start") == call("start")
    facts = json.loads(call("status", "--json"))
    exports = dict(line.removeprefix("export ").split("=", 1) for line in call("env").splitlines())
    assert exports["CLEARML_API_HOST"] == facts["api"]
    assert set(exports) == {
        *("CLEARML_API_HOST", "CLEARML_WEB_HOST", "CLEARML_FILES_HOST"),
        *("CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY"),
    }
    conf = call("env", "--conf")
    assert all(value in conf for value in exports.values())
    with urllib.request.urlopen(facts["web"], timeout=30) as page:
        assert b"ClearML-compatible server" in page.read()
    assert call("stop") == "stopped\n"
    assert "no server was running" in call("stop")
