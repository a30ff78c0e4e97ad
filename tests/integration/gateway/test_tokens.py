"""Tokens made, checked, rotated, revoked, on both databases."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.auth import Kind, RefusedTokenError, Right, Rights, Tokens
from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.auth.tokens import DAY_S, DEFAULT_S, GRACE_S, YEAR_S
from clearml_hpo.gateway.db import accounts, audit
from clearml_hpo.gateway.db import tokens as rows
from clearml_hpo.gateway.db.accounts import Role
from clearml_hpo.gateway.db.columns import Now
from clearml_hpo.gateway.db.tables import metadata, tokens

WORKER = Rights.parse(["worker"])


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A gateway's tokens, an owner and a project."""

    def __init__(self, database) -> None:
        self.database = database
        self.clock = Clock()
        self.tokens = self.another()
        with database.write() as connection:
            self.owner = accounts.ensure_user(connection, "i", "ann")
            self.project = accounts.ensure_project(connection, "vision")
            accounts.set_role(connection, self.project.id, self.owner.id, Role.MEMBER)

    def another(self) -> Tokens:
        """As another process of the gateway has them."""
        return Tokens(self.database, Pepper("p" * 40), clock=self.clock)

    def new(self, kind=Kind.API, rights=WORKER, **options):
        return self.tokens.create(self.owner.id, self.project.id, kind=kind, name="a", rights=rights, **options)

    def set(self, token: str, **values) -> None:
        with self.database.write() as connection:
            connection.execute(sa.update(tokens).where(tokens.c.id == token).values(**values))

    def audit(self):
        with self.database.read() as connection:
            return [(line.what, line.target, line.ok) for line in reversed(audit.last(connection))]


@pytest.fixture
def world(database) -> World:
    return World(database)


def test_a_token_says_whom_a_request_is_from(world):
    made = world.new()
    found = world.tokens.check(made.text.reveal(), Kind.API, "10.0.0.1")
    assert (found.token, found.owner, found.project) == (made.text.id, world.owner.id, world.project.id)
    assert found.rights == WORKER and not found.is_expired
    with world.database.read() as connection:
        row = rows.find(connection, made.text.id)
    assert row.last_from == "10.0.0.1" and row.last_used >= row.created
    assert row.expires - row.created == pytest.approx(DEFAULT_S)


def test_the_database_has_no_secret(world):
    made = world.new()
    with world.database.read() as connection:
        everything = repr([connection.execute(sa.select(table)).all() for table in metadata.sorted_tables])
    assert made.text.id in everything
    assert made.text.secret not in everything and made.text.reveal() not in everything


@pytest.mark.parametrize(("kind", "place"), [(Kind.API, Kind.HOPAAS), (Kind.HOPAAS, Kind.API)])
def test_a_token_of_the_other_class_is_refused(world, kind, place):
    text = world.new(kind).text.reveal()
    world.tokens.check(text, kind)
    with pytest.raises(RefusedTokenError, match="is not taken here"):
        world.tokens.check(text, place)


def test_other_texts_are_refused(world):
    made = world.new()
    other = Tokens(world.database, Pepper("q" * 40))
    for text in ("", "gwt_", made.text.reveal()[:-1], made.text.secret):
        with pytest.raises(RefusedTokenError):
            world.tokens.check(text, Kind.API)
    with pytest.raises(RefusedTokenError, match="its secret is wrong"):
        other.check(made.text.reveal(), Kind.API)


def test_rights_are_those_that_the_owner_has_now(world):
    text = world.new(rights=Rights.parse(["owner"])).text.reveal()
    assert not world.tokens.check(text, Kind.API).rights.allow(Right.ADMIN_PROJECT)
    with world.database.write() as connection:
        accounts.set_role(connection, world.project.id, world.owner.id, Role.VIEWER)
    world.clock.now += 5
    assert not world.tokens.check(text, Kind.API).rights.allow(Right.ASK)
    with world.database.write() as connection:
        accounts.disable(connection, world.owner.id)
    world.clock.now += 5
    assert not world.tokens.check(text, Kind.API).rights.allow(Right.READ)


@pytest.mark.parametrize(
    ("kind", "lives_s"),
    [(Kind.API, DAY_S - 1), (Kind.API, YEAR_S + 1), (Kind.HOPAAS, 91 * DAY_S), (Kind.API, 0), (Kind.API, -DAY_S)],
)
def test_lives_out_of_bounds_are_refused(world, kind, lives_s):
    with pytest.raises(InputError, match="is valid for 1 to"):
        world.new(kind, lives_s=lives_s)


def test_the_operator_may_allow_hopaas_tokens_more(world):
    raised = Tokens(world.database, Pepper("p" * 40), most_hopaas_s=YEAR_S)
    raised.create(world.owner.id, world.project.id, kind=Kind.HOPAAS, name="a", rights=WORKER, lives_s=200 * DAY_S)


def test_a_revocation_counts_here_at_once_and_elsewhere_within_5_s(world):
    made = world.new()
    text, elsewhere = made.text.reveal(), world.another()
    for each in (world.tokens, elsewhere):
        each.check(text, Kind.API)
    assert world.tokens.revoke(made.text.id, by="ann", why="lost")
    assert not world.tokens.revoke(made.text.id, by="ann")
    with pytest.raises(RefusedTokenError, match="it is revoked"):
        world.tokens.check(text, Kind.API)
    world.clock.now += 5
    with pytest.raises(RefusedTokenError, match="it is revoked"):
        elsewhere.check(text, Kind.API, may_be_expired=True)


def test_an_expired_token_may_finish_what_it_has(world):
    made = world.new()
    text = made.text.reveal()
    world.set(made.text.id, expires=Now() - 1)
    with pytest.raises(RefusedTokenError, match="it has expired"):
        world.tokens.check(text, Kind.API)
    assert world.tokens.check(text, Kind.API, may_be_expired=True).is_expired
    world.set(made.text.id, expires=Now() - GRACE_S - 1)
    world.clock.now += 5
    with pytest.raises(RefusedTokenError, match="it has expired"):
        world.tokens.check(text, Kind.API, may_be_expired=True)


def test_what_was_not_used_for_90_days_is_refused(world):
    one, other = world.new(lives_s=YEAR_S), world.new(lives_s=YEAR_S)
    for made in (one, other):
        world.set(made.text.id, created=Now() - 91 * DAY_S)
    world.set(other.text.id, last_used=Now() - 89 * DAY_S)
    with pytest.raises(RefusedTokenError, match="not used for 90 days"):
        world.tokens.check(one.text.reveal(), Kind.API)
    world.tokens.check(other.text.reveal(), Kind.API)


def test_rotation_leaves_an_overlap(world):
    old = world.new(Kind.HOPAAS, lives_s=20 * DAY_S)
    made = world.tokens.rotate(old.text.id, overlap_s=3600)
    assert made.row.rotated_from == old.text.id
    assert (made.row.kind, made.row.scopes, made.row.name) == (old.row.kind, old.row.scopes, old.row.name)
    assert made.row.expires - made.row.created == pytest.approx(20 * DAY_S)
    for each in (old, made):
        world.tokens.check(each.text.reveal(), Kind.HOPAAS)
    with world.database.read() as connection:
        shortened = rows.find(connection, old.text.id)
    assert shortened.expires - old.row.created == pytest.approx(3600, abs=60)
    with pytest.raises(InputError, match="unknown, revoked or expired"):
        world.tokens.rotate("nothing")


def test_no_token_makes_a_stronger_or_longer_one(world):
    parent = world.tokens.check(world.new(lives_s=10 * DAY_S).text.reveal(), Kind.API)
    world.new(lives_s=9 * DAY_S, made_by=parent)
    world.new(rights=Rights.parse(["worker!study=a1"]), lives_s=DAY_S, made_by=parent)
    with pytest.raises(InputError, match=r"lives longer than itself.* this one expires in 10\.0 days"):
        world.new(lives_s=11 * DAY_S, made_by=parent)
    with pytest.raises(InputError, match="this one lacks project:admin studies:admin tokens:self trials:admin"):
        world.new(rights=Rights.parse(["owner"]), lives_s=DAY_S, made_by=parent)
    assert world.new(made_by=parent).row.expires <= parent.expires


def test_a_token_rotates_itself_and_none_that_may_do_more_and_gains_no_time(world):
    weak = world.new(rights=Rights.parse(["trials:ask", "tokens:self"]), lives_s=10 * DAY_S)
    strong = world.new(lives_s=YEAR_S)
    asks = world.tokens.check(weak.text.reveal(), Kind.API)
    with pytest.raises(InputError, match="this one lacks studies:create studies:read trials:report"):
        world.tokens.rotate(strong.text.id, made_by=asks)
    world.set(weak.text.id, expires=Now() + 3600)
    world.clock.now += 5
    asks = world.tokens.check(weak.text.reveal(), Kind.API)
    assert world.tokens.rotate(weak.text.id, made_by=asks, overlap_s=DAY_S).row.expires <= asks.expires
    with pytest.raises(InputError, match=r"this one expires in 0\.0 days"):
        world.new(rights=Rights.parse(["trials:ask"]), made_by=asks)


def test_a_name_is_a_short_line(world):
    for name in ("", "  ", "a" * 101, "a\nb", "\x00"):
        with pytest.raises(InputError, match="name: say in 1 to 100 characters"):
            world.tokens.create(world.owner.id, world.project.id, kind=Kind.API, name=name, rights=WORKER)


def test_audit_has_what_became_of_tokens(world):
    made = world.new()
    rotated = world.tokens.rotate(made.text.id)
    world.tokens.revoke(rotated.text.id, by="ann", why="lost")
    for _ in range(3):
        with pytest.raises(RefusedTokenError):
            world.tokens.check(rotated.text.reveal(), Kind.API, "10.0.0.1")
    assert world.audit() == [
        ("token made", str(WORKER), True),
        ("token rotated", made.text.id, True),
        ("token revoked", "lost", True),
        ("token refused", "it is revoked", False),
    ]


def test_a_token_is_known_for_4_s_after_its_check(world):
    made = world.new(Kind.HOPAAS)
    text = made.text.reveal()
    assert world.tokens.known(text, Kind.HOPAAS) is None
    who = world.tokens.check(text, Kind.HOPAAS)
    assert world.tokens.known(text, Kind.HOPAAS) == who
    assert world.tokens.known(text, Kind.API) is None and world.tokens.known(text[:-1], Kind.HOPAAS) is None
    world.clock.now += 5
    assert world.tokens.known(text, Kind.HOPAAS) is None
    world.tokens.check(text, Kind.HOPAAS)
    world.tokens.revoke(made.text.id, by="ann")
    assert world.tokens.known(text, Kind.HOPAAS) is None


def test_an_expired_token_is_always_checked(world):
    made = world.new()
    world.set(made.text.id, expires=Now() - 1)
    assert world.tokens.check(made.text.reveal(), Kind.API, may_be_expired=True).is_expired
    assert world.tokens.known(made.text.reveal(), Kind.API) is None


def test_a_check_asks_the_database_once_in_4_s(world):
    text = world.new().text.reveal()
    queries = []
    engine = world.database._engine
    world.tokens.check(text, Kind.API)
    sa.event.listen(engine, "before_cursor_execute", lambda *given: queries.append(given[2]))
    for _ in range(100):
        world.tokens.check(text, Kind.API)
    assert queries == []
    world.clock.now += 5
    world.tokens.check(text, Kind.API)
    assert len(queries) == 3 + (world.database.name.startswith("sqlite"))  # token, clock, role; and SQLite's BEGIN
    assert re.search("SELECT", queries[-1])
