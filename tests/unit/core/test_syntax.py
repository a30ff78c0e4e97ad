"""Syntax trees for several threads at once."""

from __future__ import annotations

import ast
import gc
import inspect
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clearml_hpo.core import syntax

SOURCE = inspect.getsource(ast)


class _Collected:
    """Its end runs Python in the middle of whatever allocates, so that threads take turns there."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        for _ in range(5):
            pass


@pytest.fixture
def restless():
    """The interpreter changes threads, and collects garbage, as often as it can."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("restless")
def test_threads_parse_at_the_same_time():
    def many(_):
        for _ in range(20):
            _Collected()
            assert isinstance(syntax.parse(SOURCE), ast.Module)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(many, range(8)))


def test_errors_are_those_of_ast():
    with pytest.raises(SyntaxError):
        syntax.parse("a b")
    assert isinstance(syntax.parse("a + b", mode="eval").body, ast.BinOp)
