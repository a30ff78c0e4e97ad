"""Python's syntax trees, for several threads at once."""

from __future__ import annotations

import ast
from threading import Lock
from typing import Literal, overload

_ONE_AT_A_TIME = Lock()
_ATTEMPTS = 5


@overload
def parse(source: str | bytes) -> ast.Module: ...
@overload
def parse(source: str | bytes, mode: Literal["eval"]) -> ast.Expression: ...
def parse(source: str | bytes, mode: Literal["exec", "eval"] = "exec") -> ast.AST:
    """``ast.parse``, one call at a time.

    Up to Python 3.12 all threads share one count of the depth (python/cpython#106905), so two calls at once may end
    with SystemError. A library may call at the same time, too; therefore a call is repeated.

    Raises:
        SyntaxError, ValueError, RecursionError: as ``ast.parse`` does.
    """
    with _ONE_AT_A_TIME:
        for _ in range(_ATTEMPTS - 1):
            try:
                return ast.parse(source, mode=mode)
            except SystemError:
                continue
        return ast.parse(source, mode=mode)
