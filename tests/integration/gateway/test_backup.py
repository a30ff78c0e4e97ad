"""The documented backup of the gateway's database, taken while workers work, and restored to that older state."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.gateway import state
from clearml_hpo.gateway.db import Database, accounts, handouts, outbox, studies
from clearml_hpo.gateway.db.handouts import State
from clearml_hpo.gateway.db.tables import metadata
from clearml_hpo.gateway.handing import UnknownTrial, is_to_stop
from clearml_hpo.gateway.host import Host
from clearml_hpo.studies.study import Study
from clearml_hpo.study_file import parse_study
from tests.integration.gateway.test_host import ASK, LEASE, STUDY, eventually, train

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/gateway.md").read_text().split("## Backup and restore")[1].split("\n## ")[0]
COMMANDS = {
    "sqlite": ("clearml-hpo gateway backup", "clearml-hpo gateway restore"),
    "postgresql": ("pg_dump", "pg_restore"),
}
_OLD_S = 3.0


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path, monkeypatch, server):
    """How the database is opened, and how the page's commands are typed for it."""
    monkeypatch.setenv("CLEARML_HPO_HOME", str(tmp_path))
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
    if url is not None:
        monkeypatch.setenv("CLEARML_HPO_GATEWAY_DATABASE", url)
        state.database().migrate()

    def type_in(number):
        """The first or the second command of the page, as it stands there."""
        line = re.search(rf"^{COMMANDS[request.param][number]} .*$", PAGE, re.MULTILINE)[0]
        words = [url if word == "hpo" and url else word for word in shlex.split(line)]
        words[:1] = [sys.executable, "-m", "clearml_hpo"] if words[0] == "clearml-hpo" else words[:1]
        words = [str(tmp_path / word) if word.startswith(("monday", "gateway.dump")) else word for word in words]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)

    yield type_in
    if url is not None:
        with state.database().write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))


def opened():
    database = state.database()
    database.open()
    return database


@pytest.fixture
def new_host(place):
    """Makes a host of the same study on a database; those that a test leaves are stopped."""
    name, hosts, notes = f"kept {uuid.uuid4().hex[:8]}", [], []
    text = STUDY.format(name=name, project=f"tests/{uuid.uuid4().hex[:8]}")
    file = yaml.safe_load(text) | {"budget": {"trials": 500}, "failures": {"lost": 0}, "sampler": "random"}

    def make(database):
        with database.write() as connection:
            project = accounts.ensure_project(connection, "p").id
            row, _ = studies.get_or_create(connection, project, "suid", name=name, set_up="", file="", lease_s=600.0)
        host = Host(row, parse_study(yaml.safe_dump(file), "study"), database, notes.append)
        hosts.append(host)
        host.start()
        return host

    make.notes = notes
    yield make
    for host in hosts:
        host.stop()
        host.join()


def end(host, database):
    host.stop()
    host.join()
    database.close()


def test_a_backup_of_a_gateway_that_works_is_restored(place, new_host):
    database = opened()
    host = new_host(database)
    ended = []
    for _ in range(2):
        given = host.ask(**ASK)
        train(host, given)
        ended.append(given.wire)
    old = host.ask(**{**ASK, "lease_s": _OLD_S})
    stopped, faults = threading.Event(), []

    def work():
        try:
            while not stopped.is_set():
                train(host, host.ask(**ASK))
        except Exception as error:
            faults.append(error)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    began = time.monotonic()
    done = place(0)
    assert done.returncode == 0, done.stderr
    assert not is_to_stop(host.handing.report(old.wire, 1, {"valid/loss": 0.5}, **LEASE)), "it is still out"
    host_wires = len(host.handing.handed_out())
    eventually(lambda: len(host.handing.handed_out()) > host_wires + 5, "five more are handed out", lambda: faults)
    stopped.set()
    for worker in workers:
        worker.join(60)
    assert not faults
    unknown = host.ask(**ASK)  # out when the gateway is restored, and not in the backup
    after = {handout.wire: handout for handout in host.handing.handed_out()}
    eventually(lambda: not unwritten(database), "ClearML knows all that was said")
    end(host, database)

    done = place(1)
    assert done.returncode == 0, done.stderr
    database = opened()
    with database.read() as connection:
        (row,) = studies.of_project(connection, accounts.find_project(connection, "p").id)
        before = {handout.wire: handout for handout in handouts.of_study(connection, row.id)}
    assert {*ended, old.wire} <= {*before} < {*after}
    assert all(before[wire].state is State.DONE for wire in ended) and before[old.wire].state is State.OUT

    time.sleep(max(0.0, began + _OLD_S - time.monotonic()))
    host = new_host(database)
    given = host.ask(**ASK)
    assert given is not None, "\n".join([*new_host.notes, f"{host.error}, {host.outcome}"])
    live = {handout.wire for handout in host.handing.handed_out(only_live=True)}
    assert live <= {old.wire, given.wire}, "what has ended since is out no more"
    assert given.wire == max(after) + 1, "numbers go on after the highest of the tasks"
    with pytest.raises(UnknownTrial):
        host.handing.report(unknown.wire, 1, {"valid/loss": 0.5}, **LEASE)
    eventually(lambda: host.handing.handed_out()[old.wire].state is State.LOST, "the old lease is over")
    assert host.handing.tell(old.wire, {"valid/loss": 0.125}).state is State.LATE
    train(host, given)
    trials: dict[int, Trial] = {}

    def seen():
        trials.update({trial.number: trial for trial in Study.load(host.study.controller).trials})
        return not trials[old.wire].state.is_live and trials[old.wire].state is TrialState.COMPLETED

    eventually(seen, "the late result counts", lambda: (trials.get(old.wire), new_host.notes))
    assert trials[old.wire].value == 0.125
    assert trials[unknown.wire].state is TrialState.LOST, "nobody can report of it"
    told = {wire: handout.outcome["valid/loss"] for wire, handout in after.items() if handout.state is State.DONE}
    assert len(told) > 5
    assert {wire: trials[wire].value for wire in told} == pytest.approx(told), "what ended stays as it ended"
    assert sorted(trials)[: given.wire + 1] == list(range(given.wire + 1)), "no number twice, no gap"
    database.close()


def unwritten(database):
    with database.read() as connection:
        return outbox.backlog(connection).count


def test_what_cannot_be_backed_up_or_restored_is_said(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from clearml_hpo.cli.gateway import gateway
    from clearml_hpo.gateway import running

    monkeypatch.setenv("CLEARML_HPO_HOME", str(tmp_path))
    monkeypatch.delenv("CLEARML_HPO_GATEWAY_DATABASE", raising=False)

    def run(*words):
        done = CliRunner().invoke(gateway, [str(word) for word in words])
        return str(done.exception) if done.exception else done.output

    file = tmp_path / "monday.sqlite3"
    assert "there is no database of the gateway" in run("backup", file)
    opened().close()
    assert "0." in run("backup", file) and "monday.sqlite3 exists already; --force replaces it" in run("backup", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "0." in run("backup", file, "--force")
    assert "gateway.sqlite3 exists already; --force replaces it" in run("restore", file)
    (tmp_path / "text").write_text("no database")
    assert "text cannot be used: file is not a database" in run("restore", tmp_path / "text", "--force")
    Database(f"sqlite:///{tmp_path}/empty").close()
    assert "empty is no database of a gateway" in run("restore", tmp_path / "empty", "--force")
    with running.only_one():
        assert "another gateway already runs on" in run("restore", file, "--force")
    assert "restored to" in run("restore", file, "--force")
    assert [path.name for path in (tmp_path / "gateway").iterdir() if path.name.endswith(".new")] == []
    monkeypatch.setenv("CLEARML_HPO_GATEWAY_DATABASE", "postgresql://nobody@127.0.0.1:1/none")
    assert "is PostgreSQL: use pg_dump and pg_restore" in run("backup", tmp_path / "tuesday")
