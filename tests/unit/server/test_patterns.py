"""Regular expressions of clients."""

from __future__ import annotations

import re
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
        ("^a pipeline( #[0-9]+)*$", "a pipeline #12"),  # as the SDK looks for the runs of one
        ("^Aufgabe \u00fc: (a+)+$", "Aufgabe \u00fc: aaa"),
    ],
)
def test_usual_patterns_are_taken(pattern: str, text: str) -> None:
    assert compiled(pattern).is_in(text)


def test_names_that_were_escaped_fit_themselves() -> None:
    for name in ("a b\tc\nd", "".join(map(chr, range(1, 128))), "\u00fc \u4efb\u52a1 \U0001f642", "x\0y"):
        assert compiled(f"^{re.escape(name)}$").is_in(name)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", "[", "(?P<", "a{5,1}", "(?L)x", "(" * 5000, "x" * 10_001),
        *("(?=a)b", r"(a)\1", "((a{1,99}){1,99}){1,99}", "(a{900}b{900}){900}"),
    ],
)
def test_what_is_malformed_or_too_large_is_refused(pattern: str) -> None:
    with pytest.raises(ApiRefusal, match="Malformed regular expression"):
        compiled(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+$c", "(a*)*b", "(a|a)*b", "(a|aa)+$c", "(.*a){20}b", "(x+x+)+y", "(a?){30}a{30}b"),
        *("a*a*a*a*a*b", ".*.*.*.*.*.*x", "^(.*)(.*)x$", "a?a?a?a?a?a?a?a?a?a?a?a?b", "(ab|[ab]b)" * 30),
    ],
)
def test_no_pattern_takes_long(pattern: str) -> None:
    begun = time.process_time()
    assert not compiled(pattern).is_in("a" * 1_000_000)
    assert time.process_time() - begun < 2


def test_a_bad_pattern_is_the_clients_fault(api: Api) -> None:
    for request in ({"name": "(a+"}, {"_any_": {"pattern": "(a+", "fields": ["name"]}}):
        with pytest.raises(Refused) as error:
            api.names(**request)
        assert error.value.code == (400, 21)
    api.task(name="One line\nand another")
    assert len(api.names(_any_={"pattern": "(?s)one.*OTHER", "fields": ["name"]})) == 1
