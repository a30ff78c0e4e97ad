"""What is kept: accounts, studies, hand-outs with their states, answers, outbox, idempotency, audit."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from clearml_hpo.core.errors import GatewayError
from clearml_hpo.gateway.db import Database, accounts, answers, audit, handouts, idempotency, outbox, studies
from clearml_hpo.gateway.db.accounts import Role
from clearml_hpo.gateway.db.columns import Now
from clearml_hpo.gateway.db.handouts import NEXT, STOPS, Event, State
from clearml_hpo.gateway.db.housekeeping import keep_tidy, tidy
from clearml_hpo.gateway.db.idempotency import Kept, KeptMeanwhileError, OtherBodyError


def new_study(connection, suid="suid") -> str:
    project = accounts.ensure_project(connection, "vision")
    study, _ = studies.get_or_create(connection, project.id, suid, name="a", set_up="{}", file="", lease_s=60)
    return study.id


def give(connection, study, number=0, attempt=1, lease_s=60.0, token="t"):
    return handouts.give(connection, study, number, attempt, task=f"task{number}", token=token, lease_s=lease_s)


# --- Accounts ------------------------------------------------------------------------------------------------------


def test_users_are_known_by_issuer_and_subject(database):
    with database.write() as connection:
        one = accounts.ensure_user(connection, "https://a", "7", name="Ann", email="ann@a")
        again = accounts.ensure_user(connection, "https://a", "7", name="Ann B", email="new@a")
        other = accounts.ensure_user(connection, "https://b", "7", email="ann@a")
    assert one.id == again.id != other.id
    assert again.name == "Ann B"


def test_roles(database):
    with database.write() as connection:
        ann, bob, root = (accounts.ensure_user(connection, "i", name) for name in ("ann", "bob", "root"))
        chief = accounts.ensure_user(connection, "i", "chief", is_admin=True)
        project = accounts.ensure_project(connection, "vision", "vision/outside")
        assert accounts.ensure_project(connection, "vision").clearml_project == "vision/outside"
        accounts.set_role(connection, project.id, ann.id, Role.VIEWER)
        accounts.set_role(connection, project.id, ann.id, Role.MEMBER)
        accounts.set_role(connection, project.id, root.id, Role.OWNER)
        accounts.set_role(connection, project.id, root.id, None)
        assert accounts.role(connection, project.id, ann.id) == Role.MEMBER
        assert accounts.role(connection, project.id, bob.id) is None
        assert accounts.role(connection, project.id, root.id) is None
        assert accounts.role(connection, project.id, chief.id) == Role.OWNER
        assert accounts.projects_of(connection, ann.id) == {project.id: Role.MEMBER}
        accounts.disable(connection, ann.id)
        assert accounts.role(connection, project.id, ann.id) is None


# --- Studies -------------------------------------------------------------------------------------------------------


def test_of_many_that_ask_first_one_makes_the_study(database):
    with database.write() as connection:
        project = accounts.ensure_project(connection, "vision")
    made = []

    def ask() -> None:
        with database.write() as connection:
            made.append(studies.get_or_create(connection, project.id, "s", name="a", set_up="{}", file="", lease_s=60))

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({study.id for study, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1


def test_studies_are_found_by_project_and_suid(database):
    with database.write() as connection:
        one, other = (accounts.ensure_project(connection, name) for name in ("one", "other"))
        study, _ = studies.get_or_create(connection, one.id, "s", name="a", set_up="{}", file="", lease_s=60)
        assert studies.find(connection, one.id, "s") == study
        assert studies.find(connection, other.id, "s") is None
        studies.set_controller(connection, study.id, "c0ffee")
        studies.set_state(connection, study.id, studies.PAUSED)
        found = studies.by_id(connection, study.id)
        assert (found.controller, found.state) == ("c0ffee", "paused")
        assert studies.made_today(connection, one.id) == 1
        assert [each.id for each in studies.of_project(connection, one.id)] == [study.id]


# --- Hand-outs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "attempt", "wire"), [(0, 1, 0), (7, 1, 7), (7, 2, 1_000_007), (7, 3, 2_000_007)])
def test_numbers_on_the_wire(number, attempt, wire):
    assert handouts.wire_number(number, attempt) == wire
    assert handouts.from_wire(wire) == (number, attempt)


def test_an_attempt_is_given_once(database):
    with database.write() as connection:
        study = new_study(connection)
        given = give(connection, study)
        assert given == handouts.find(connection, study, 0)
        assert given.leased_until - given.given == pytest.approx(60)
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        give(connection, study)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("before", State)
def test_states_follow_the_table(database, before, event):
    reached = {State.LATE: (Event.EXPIRE, Event.TELL), State.OUT: ()}
    first = {after: (event,) for (state, event), after in NEXT.items() if state == State.OUT}
    with database.write() as connection:
        study = new_study(connection)
        give(connection, study)
        for step in {**first, **reached}[before]:
            handouts.end(connection, study, 0, step, reason="first", outcome=[1.0])
        done = handouts.end(connection, study, 0, event, reason="second", outcome=[2.0])
        found = handouts.find(connection, study, 0)
    assert done.before == before and done.after == NEXT.get((before, event), before)
    assert done.has_changed == ((before, event) in NEXT)
    assert found.state == done.after
    assert found.reason == ("second" if done.has_changed else "first" if before != State.OUT else "")
    assert (found.ended is None) == (found.state == State.OUT)


def test_every_end_says_whether_the_worker_is_to_stop():
    assert set(STOPS) == set(State) - {State.OUT}


def test_outcomes_need_not_be_finite(database):
    with database.write() as connection:
        study = new_study(connection)
        give(connection, study)
        handouts.end(connection, study, 0, Event.TELL, outcome=[math.nan, math.inf])
        found = handouts.find(connection, study, 0).outcome
    assert math.isnan(found[0]) and found[1] == math.inf


def test_leases_end_and_are_renewed(database):
    with database.write() as connection:
        study = new_study(connection)
        for number, lease_s in enumerate((-1, -1, 60)):
            give(connection, study, number, lease_s=lease_s)
        assert handouts.renew(connection, study, 0, 60)
        assert [each.wire for each in handouts.expire(connection, study)] == [1]
        assert not handouts.renew(connection, study, 1, 60)
        assert [each.wire for each in handouts.of_study(connection, study, only_live=True)] == [0, 2]
        assert handouts.count_live(connection, "t") == 2
        assert handouts.find(connection, study, 1).state == State.LOST


def test_a_late_result_counts_unless_a_newer_attempt_was_given(database):
    with database.write() as connection:
        study = new_study(connection)
        for number in (0, 1, 2):
            give(connection, study, number)
            handouts.end(connection, study, number, Event.EXPIRE)
        give(connection, study, 1, attempt=2)
        assert handouts.end(connection, study, 0, Event.TELL).after == State.LATE
        assert handouts.end(connection, study, 1, Event.TELL).after == State.LOST
        assert handouts.end(connection, study, 2, Event.TELL, is_superseded=True).after == State.LOST


def test_an_unknown_hand_out_has_no_end(database):
    with pytest.raises(KeyError), database.write() as connection:
        handouts.end(connection, new_study(connection), 5, Event.TELL)


def test_of_two_ends_at_once_the_second_waits_and_changes_nothing(database):
    with database.write() as connection:
        study = new_study(connection)
        give(connection, study)
    late = []

    def fail() -> None:
        with database.write() as connection:
            late.append(handouts.end(connection, study, 0, Event.FAIL))

    second = threading.Thread(target=fail)
    with database.write() as connection:
        first = handouts.end(connection, study, 0, Event.TELL)
        second.start()
        second.join(0.5)
        assert late == []  # it waits for this transaction
    second.join()
    assert (first.before, first.after) == (State.OUT, State.DONE)
    assert (late[0].before, late[0].after) == (State.DONE, State.DONE)
    with database.read() as connection:
        assert handouts.find(connection, study, 0).state == State.DONE


def test_what_workers_said_of_themselves_is_forgotten(database):
    with database.write() as connection:
        study = new_study(connection)
        for number in (0, 1):
            handouts.give(connection, study, number, 1, task="a", token="t", lease_s=60, worker={"address": "10.0.0.1"})
        handouts.end(connection, study, 0, Event.TELL)
        assert handouts.forget_workers(connection, 3600) == 0
        assert handouts.forget_workers(connection, -1) == 1
        assert handouts.forget_workers(connection, -1) == 0
        assert handouts.find(connection, study, 0).worker == {}
        assert handouts.find(connection, study, 1).worker == {"address": "10.0.0.1"}


class HandoutMachine(RuleBasedStateMachine):
    """Any order of asks, reports, ends and expiries, beside a model of one line for each rule."""

    @initialize()
    def start(self) -> None:
        self.folder = TemporaryDirectory()
        self.database = Database(f"sqlite:///{Path(self.folder.name)}/gateway.sqlite3")
        self.database.open()
        self.model: dict[int, State] = {}
        with self.database.write() as connection:
            self.study = new_study(connection)

    @rule(number=st.integers(0, 3))
    def ask(self, number: int) -> None:
        attempts = [handouts.from_wire(wire)[1] for wire in self.model if handouts.from_wire(wire)[0] == number]
        with self.database.write() as connection:
            given = give(connection, self.study, number, max(attempts, default=0) + 1)
        assert given.wire not in self.model
        self.model[given.wire] = State.OUT

    @precondition(lambda self: self.model)
    @rule(data=st.data(), event=st.sampled_from(Event))
    def end(self, data: st.DataObject, event: Event) -> None:
        wire = data.draw(st.sampled_from(sorted(self.model)))
        number = handouts.from_wire(wire)[0]
        before = self.model[wire]
        expected = NEXT.get((before, event), before)
        is_newer = any(handouts.from_wire(other)[0] == number and other > wire for other in self.model)
        if expected == State.LATE and is_newer:
            expected = before
        with self.database.write() as connection:
            assert handouts.end(connection, self.study, wire, event).after == expected
        self.model[wire] = expected

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        wire = data.draw(st.sampled_from(sorted(self.model)))
        with self.database.write() as connection:
            is_renewed = handouts.renew(connection, self.study, wire, 60) is not None
            assert is_renewed == (self.model[wire] == State.OUT)

    @invariant()
    def the_table_is_the_model(self) -> None:
        with self.database.read() as connection:
            assert {each.wire: each.state for each in handouts.of_study(connection, self.study)} == self.model

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            self.folder.cleanup()


TestHandoutMachine = HandoutMachine.TestCase


# --- Answers -------------------------------------------------------------------------------------------------------


def test_the_first_answer_of_a_step_counts(database):
    with database.write() as connection:
        study = new_study(connection)
        assert answers.find(connection, study, 0, 3) is None
        assert answers.keep(connection, study, 0, 3, 0.5, prune=True)
        assert answers.keep(connection, study, 0, 3, 0.7, prune=False)
        answers.keep(connection, study, 0, 1, math.nan, prune=False)
        found = answers.of_trial(connection, study, 0)
        assert [each.step for each in found] == [1, 3] and found[1].outcome == 0.5
        assert math.isnan(found[0].outcome)
        assert answers.count(connection, study, 0) == 2 and answers.count(connection, study, 1) == 0


def test_answers_of_ended_trials_are_forgotten(database):
    with database.write() as connection:
        study = new_study(connection)
        for number in (0, 1):
            give(connection, study, number)
            answers.keep(connection, study, number, 0, 1.0, prune=False)
        handouts.end(connection, study, 0, Event.TELL)
        assert answers.forget(connection, 3600) == 0
        assert answers.forget(connection, -1) == 1
        assert answers.count(connection, study, 0) == 0 and answers.count(connection, study, 1) == 1


# --- Outbox --------------------------------------------------------------------------------------------------------


def test_the_outbox_keeps_the_order_of_each_task(database):
    with database.write() as connection:
        for task, kind in (("a", "started"), ("b", "started"), ("a", "scalars"), ("b", "scalars"), ("a", "end")):
            outbox.put(connection, "study", task, kind, {"x": math.inf})
        assert outbox.backlog(connection).count == 5
        first = outbox.due(connection, 1)[0]
        assert (first.task, first.kind, first.body) == ("a", "started", {"x": math.inf})
        outbox.put_off(connection, first.seq, 60)
        assert [(each.task, each.kind) for each in outbox.due(connection)] == [("b", "started"), ("b", "scalars")]
        outbox.done(connection, [each.seq for each in outbox.due(connection)])
        assert outbox.due(connection) == [] and outbox.backlog(connection).count == 3
        outbox.put_off(connection, first.seq, -1)
        assert [each.kind for each in outbox.due(connection, study="study")] == ["started", "scalars", "end"]
        assert outbox.due(connection, study="other") == []
        assert outbox.due(connection)[0].tries == 2


def test_the_backlog_has_an_age(database):
    with database.write() as connection:
        assert outbox.backlog(connection).oldest_s == 0
        outbox.put(connection, "study", "a", "started")
        assert 0 <= outbox.backlog(connection).oldest_s < 60


# --- Idempotency ---------------------------------------------------------------------------------------------------


def test_a_request_that_comes_again_gets_its_answer(database):
    with database.write() as connection:
        assert idempotency.find(connection, "t", "key", b"body") is None
        idempotency.keep(connection, "t", "key", b"body", Kept(200, "[1]"))
        assert idempotency.find(connection, "t", "key", b"body") == Kept(200, "[1]")
        assert idempotency.find(connection, "other", "key", b"body") is None
        with pytest.raises(OtherBodyError):
            idempotency.find(connection, "t", "key", b"other")
        assert idempotency.forget(connection) == 0
    with pytest.raises(KeptMeanwhileError), database.write() as connection:
        audit.note(connection, "not committed")
        idempotency.keep(connection, "t", "key", b"body", Kept(200, "[2]"))
    with database.read() as connection:
        assert audit.last(connection) == []


# --- Audit ---------------------------------------------------------------------------------------------------------


def test_audit(database):
    with database.write() as connection:
        for what in ("one", "two", "three"):
            audit.note(connection, what, user="u", token="t", target="x", address="10.0.0.1", ok=what != "two")
        lines = audit.last(connection, 2)
        assert [(line.what, line.ok) for line in lines] == [("three", True), ("two", False)]
        assert [line.what for line in audit.last(connection, before=lines[-1].seq)] == ["one"]
        assert audit.forget_addresses(connection, 3600) == 0
        assert audit.forget_addresses(connection, -1) == 3
        assert audit.last(connection)[0].address == ""


# --- Housekeeping --------------------------------------------------------------------------------------------------

_DAY_S = 86_400


@pytest.mark.parametrize(("age_days", "removed"), [(1, 1), (8, 2), (91, 4)])
def test_what_is_too_old_is_removed(database, age_days, removed):
    """After a day: an answer to a request; after a week: reports; after 90 days: addresses, and what workers said."""
    with database.write() as connection:
        study = new_study(connection)
        handouts.give(connection, study, 0, 1, task="a", token="t", lease_s=60, worker={"host": "n1"})
        answers.keep(connection, study, 0, 0, 1.0, prune=False)
        handouts.end(connection, study, 0, Event.TELL)
        audit.note(connection, "token made", address="10.0.0.1")
        idempotency.keep(connection, "t", "key", b"", Kept(200, ""))
    assert tidy(database) == 0
    with database.write() as connection:
        then = Now() - age_days * _DAY_S - 60
        connection.execute(sa.update(handouts.handouts).values(ended=then))
        connection.execute(sa.update(audit.audit).values(at=then))
        connection.execute(sa.update(idempotency.idempotency).values(expires=then + _DAY_S))
    assert tidy(database) == removed
    assert tidy(database) == 0
    with database.read() as connection:
        assert handouts.find(connection, study, 0).state == State.DONE
        assert audit.last(connection)[0].what == "token made"


def test_it_is_tidied_up_at_the_start_also_while_the_database_is_away(database, monkeypatch):
    notes, stopped = [], threading.Event()
    found = [GatewayError("away"), 0]

    def tidies(_):
        if len(found) == 1:
            stopped.set()
        each = found.pop(0)
        if isinstance(each, Exception):
            raise each
        return each

    monkeypatch.setattr("clearml_hpo.gateway.db.housekeeping.tidy", tidies)
    monkeypatch.setattr("clearml_hpo.gateway.db.housekeeping._PERIOD_S", 0.01)
    keep_tidy(database, stopped, notes.append)
    assert notes == ["old rows are removed later: away"] and found == []


# --- What the pages ask ----------------------------------------------------------------------------------------------


def test_projects_that_a_user_has_a_role_in(database):
    with database.write() as connection:
        ann = accounts.ensure_user(connection, "i", "ann")
        chief = accounts.ensure_user(connection, "i", "chief", is_admin=True)
        vision, _ = [accounts.ensure_project(connection, name) for name in ("vision", "audio")]
        accounts.set_role(connection, vision.id, ann.id, Role.VIEWER)
        assert accounts.seen_projects(connection, ann.id) == {vision.id: (vision, Role.VIEWER)}
        of_chief = accounts.seen_projects(connection, chief.id)
        assert [(each.name, role) for each, role in of_chief.values()] == [
            ("audio", Role.OWNER),
            ("vision", Role.OWNER),
        ]
        accounts.disable(connection, chief.id)
        assert accounts.seen_projects(connection, chief.id) == accounts.seen_projects(connection, "nobody") == {}


def test_studies_by_their_tasks(database):
    with database.write() as connection:
        one, two = new_study(connection, "one"), new_study(connection, "two")
        studies.set_controller(connection, one, "task1")
        found = studies.by_controllers(connection, ["task1", *(f"other{number}" for number in range(1200))])
        assert {task: row.id for task, row in found.items()} == {"task1": one}
        assert studies.by_controllers(connection, []) == {} and two


def test_the_last_report_of_what_runs(database):
    with database.write() as connection:
        study = new_study(connection)
        for number in range(3):
            give(connection, study, number)
        for wire, step, value in ((0, 0, 3.0), (0, 7, 1.0), (0, 3, 2.0), (1, 0, math.nan)):
            answers.keep(connection, study, wire, step, {"a/b": value}, prune=False)
        found = answers.last_of_live(connection, study)
        assert set(found) == {0, 1}
        assert (found[0].steps, found[0].last) == (3, {"a/b": 1.0}) and found[0].at > 0
        assert math.isnan(found[1].last["a/b"])
        handouts.end(connection, study, 0, Event.STOP)
        assert set(answers.last_of_live(connection, study)) == {1}
        assert answers.last_of_live(connection, "other") == {}
