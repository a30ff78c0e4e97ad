"""Regular expressions of clients."""

from __future__ import annotations

import time

import pytest

from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.store.patterns import compiled

from .server_without_sockets import Api, Refused


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", "anything"),
        ("^a name$", "a name"),
        ("^smoke(/.*)?$", "smoke/sub"),
        (".*trial.*lr=0.1.*", "study: trial 7 lr=0.1"),
        ("^(one|two)$|^three$", "two"),
        (r"^[\w.-]+@v\d+\.\d+$", "model-a.b@v12.3"),
        ("(?i)^NAME", "name"),
        (f"^({'|'.join(f'model-{i}' for i in range(500))})$", "model-499"),
        ("|".join(f"^name {i}$" for i in range(500)), "name 499"),
        ("(ab)+c{2,3}", "ababcc"),
        (r"(\d{2}-){2}\d+", "2026-11-21"),
    ],
)
def test_usual_patterns_are_taken(pattern: str, text: str) -> None:
    assert compiled(pattern).is_in(text)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", "[", "(?P<", "a{5,1}", "(?L)x", "(?a)(?u)x", "(" * 5000, "x" * 10_001),
        *("(a+)+$", "(a*)*b", "(a|a)*b", "(a|aa)+$", "(.*a){20}", "(a?){30}a{30}", "((a{1,9}){1,9}){1,9}", "(x+x+)+y"),
        *("a?" * 30 + "a" * 30, "(ab|[ab]b)" * 30, ".*.*.*.*.*.*x"),
    ],
)
def test_what_is_malformed_or_could_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(ApiRefusal, match="bad regular expression"):
        compiled(pattern)


@pytest.mark.parametrize("pattern", ["a*a*a*a*a*b", ".*.*.*x", "^(.*)(.*)x$", "a?a?a?a?a?a?a?a?a?a?a?a?b", "a*b"])
def test_what_is_taken_takes_not_long(pattern: str) -> None:
    begun = time.process_time()
    assert not compiled(pattern).is_in("a" * 1_000_000)
    assert time.process_time() - begun < 2


def test_a_bad_pattern_is_the_clients_fault(api: Api) -> None:
    for request in ({"name": "(a+)+$"}, {"_any_": {"pattern": "(a+)+$", "fields": ["name"]}}):
        with pytest.raises(Refused) as error:
            api.names(**request)
        assert error.value.code == (400, 12)
    api.task(name="One line\nand another")
    assert len(api.names(_any_={"pattern": "(?s)one.*OTHER", "fields": ["name"]})) == 1
