"""What stands before the applications: names, pace of bodies, access log."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import anyio
import pytest

from clearml_hpo.server.access_log import AccessLog
from clearml_hpo.server.guard import SLOWEST, Guard


class Time:
    """Seconds that go by only when a client waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def ask(guard: Guard, parts: list[tuple[float, bytes]], host: str = "127.0.0.1", path: str = "/x") -> tuple[int, bytes]:
    """A request whose body comes in parts, each after so many seconds; status and body of the answer."""
    answer: list[Any] = []
    left = list(parts)

    async def receive() -> dict[str, Any]:
        if not left:
            await anyio.sleep_forever()
        seconds, body = left.pop(0)
        guard.clock.now += seconds  # type: ignore[attr-defined]
        return {"type": "http.request", "body": body, "more_body": bool(left) or body == b"and so on"}

    async def send(message: Any) -> None:
        answer.append(message)

    scope = {
        **{"type": "http", "method": "POST", "path": path, "query_string": b"token=secret", "scheme": "http"},
        **{"server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9), "headers": [(b"host", host.encode())]},
    }
    anyio.run(guard, scope, receive, send)
    return answer[0]["status"], b"".join(message.get("body", b"") for message in answer[1:])


def guard(**options: Any) -> Guard:
    return Guard(echo, "api", clock=Time(), **options)


def test_a_body_that_keeps_the_pace_may_take_long() -> None:
    parts = [(20.0, b"x" * SLOWEST * 30)] * 100
    assert ask(guard(), parts) == (200, str(SLOWEST * 3000).encode())


@pytest.mark.parametrize("parts", [[(60.0, b"x")] * 5, [(1.0, b"x")] * 60, [(31.0, b"x"), (0.0, b"x")]])
def test_a_body_that_drips_is_refused(parts: list[tuple[float, bytes]]) -> None:
    assert ask(guard(), parts)[0] == 408


def test_a_body_that_never_goes_on_is_refused() -> None:
    assert ask(guard(grace_s=0.05), [(0.0, b"and so on")])[0] == 408


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8008", "localhost", "LOCALHOST:1", "[::1]:8008", "x.localhost", "127.1.2.3"]
)
def test_names_of_this_machine(host: str) -> None:
    assert ask(guard(), [(0.0, b"")], host=host.lower())[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "10.0.0.1", ""]
)
def test_other_names_are_refused_unless_they_are_allowed(host: str) -> None:
    assert ask(guard(), [(0.0, b"")], host=host)[0] == 403
    assert ask(guard(any_host=True), [(0.0, b"")], host=host)[0] == 200


def test_the_access_log_has_a_line_each_and_no_secret(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log")
    watched = guard(log=log)
    ask(watched, [(0.0, b"secret body")], path="/tasks.get_all")
    ask(watched, [(0.0, b"")], path='/a b\n"c"/\ud800')
    ask(watched, [(0.0, b"")], host="evil.example")
    ask(watched, [(60.0, b"x")] * 2)
    log.close()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert [line.split(" ", 1)[1].rsplit(" ", 2)[0] for line in lines] == [
        '127.0.0.1 api "POST /tasks.get_all" 200',
        '127.0.0.1 api "POST /a%20b%0A%22c%22/%3F" 200',
        '127.0.0.1 api "POST /x" 403',
        '127.0.0.1 api "POST /x" 408',
    ]
    assert "secret" not in "".join(lines)
    assert stat.S_IMODE((tmp_path / "access.log").stat().st_mode) == 0o600


def test_the_access_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log", largest=1000)
    for number in range(200):
        ask(guard(log=log), [(0.0, b"")], path=f"/{number}")
    log.close()
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["access.log", "access.log.1", "access.log.2", "access.log.3"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert '"POST /199"' in (tmp_path / "access.log").read_text()
