"""Expressions over named values, such as ``min_child < max_depth * 2``, written by a user and evaluated safely.

The syntax is Python's, and only a small part of it: numbers, text, True, False, None, lists; ``+ - * / // % **``;
comparisons and ``in``; ``and``, ``or``, ``not``; and the functions of ``FUNCTIONS``. A name is written as it is if
it is a plain word, else in braces: ``{Args/learning-rate} <= 1``.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from clearml_hpo.core import syntax
from clearml_hpo.core.errors import nearest

_MOST_DIGITS = 400  # beyond the range of a float


def _round(number: float, digits: int | None = None) -> float:
    """As Python's, without the power of ten that it would make for a whole number of any size."""
    return round(number, digits if digits is None else max(-_MOST_DIGITS, min(_MOST_DIGITS, digits)))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "len": len,
    "log": math.log,
    "max": max,
    "min": min,
    "round": _round,
    "sqrt": math.sqrt,
}

_MOST_CHARACTERS = 1_000
_MOST_LEVELS = 50
_MOST_BITS = 1_024  # of a whole power: beyond the range of a float

_BRACED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\{([^{}]*)\}""")

_Evaluate: TypeAlias = Callable[[Any, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Expression:
    """A condition over named values; made by :func:`parse_expression`.

    Attributes:
        text: as it was written.
        names: the full names of the values that it takes.
    """

    text: str
    names: frozenset[str] = field(compare=False)
    _tree: ast.expr = field(compare=False, repr=False)
    _full_names: Mapping[str, str] = field(compare=False, repr=False)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is true of ``values``, by full names; False where it has no value, as in a division by zero.

        Raises:
            TypeError: the values are of a kind that does not fit, or the expression is no condition but a number.
        """
        by_word = {word: values[name] for word, name in self._full_names.items()}
        try:
            found = _evaluate(self._tree, by_word)
        except (ArithmeticError, ValueError):
            return False
        if not isinstance(found, bool):
            raise TypeError(f"it is {found!r}, neither true nor false; compare it with something")
        return found

    def __str__(self) -> str:
        return self.text


def parse_expression(text: str, known: Collection[str], full_name_of: Callable[[str], str | None]) -> Expression:
    """Reads a condition.

    Args:
        text: what was written.
        known: the full names that it may use, for the message about an unknown one.
        full_name_of: the full name that a name in the text stands for, None if there is none.

    Raises:
        ValueError: it is no expression, or uses what is not allowed, or an unknown name.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters; at most {_MOST_CHARACTERS} are allowed")
    words: dict[str, str] = {}  # by the word that stands for it

    def name_of(written: str) -> str:
        name = full_name_of(written)
        if name is None:
            raise ValueError(f"no parameter {written!r} in the search space{_hint(written, known)}")
        return name

    def word_of(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]  # a text
        word = f"_{len(words)}"
        while word in text:
            word = f"_{word}"
        words[word] = name_of(match[1].strip())
        return f" {word} "

    source = _BRACED.sub(word_of, text)
    try:
        tree = syntax.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is no expression: {getattr(error, 'msg', error)}") from None
    for word in sorted(_check(tree, _MOST_LEVELS) - words.keys()):
        words[word] = name_of(word)
    return Expression(text, frozenset(words.values()), tree, words)


def _hint(written: str, known: Collection[str]) -> str:
    if any(name.startswith(f"{written}/") for name in known):
        return f"; a name with its section is written in braces: {{{written}/...}}"
    several = [name for name in known if name.endswith(f"/{written}")]
    if len(several) > 1:
        return f"; there are {', '.join(several)}: write {{{several[0]}}}"
    by_word = {name.rpartition("/")[2]: name for name in known} | {name: name for name in known}
    return nearest(written, by_word)


def _check(node: ast.expr, levels: int) -> set[str]:
    """The words of an expression that uses only what is allowed; raises ValueError."""
    if levels == 0:
        raise ValueError(f"it is nested deeper than {_MOST_LEVELS} levels")
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, (int, float, str, bool, type(None))):
            raise ValueError(f"{node.value!r} is not allowed; use numbers, text, True, False or None")
        return set()
    if isinstance(node, ast.Call):
        _check_function(node)
    if not _is_allowed(node):
        raise ValueError(f"{ast.unparse(node)!r} is not allowed: use arithmetic, comparisons, and, or, not, in")
    parts = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    return set().union(*(_check(part, levels - 1) for part in parts if isinstance(part, ast.expr)))


def _is_allowed(node: ast.expr) -> bool:
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        return type(node.op) in _OPERATORS
    if isinstance(node, ast.Compare):
        return all(type(operation) in _COMPARISONS for operation in node.ops)
    return type(node) in _EVALUATE


def _check_function(node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
        found = ast.unparse(node.func)
        raise ValueError(f"no function {found!r}{nearest(found, FUNCTIONS)}; one of: {', '.join(FUNCTIONS)}")


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    return _EVALUATE[type(node)](node, values)


def _bool_op(node: ast.BoolOp, values: Mapping[str, Any]) -> Any:
    wanted = isinstance(node.op, ast.Or)
    for part in node.values:
        if bool(_evaluate(part, values)) is wanted:
            return wanted
    return not wanted


def _compare(node: ast.Compare, values: Mapping[str, Any]) -> bool:
    left = _evaluate(node.left, values)
    for comparison, part in zip(node.ops, node.comparators, strict=True):
        right = _evaluate(part, values)
        if not _COMPARISONS[type(comparison)](left, right):
            return False
        left = right
    return True


def _binary(node: ast.BinOp, values: Mapping[str, Any]) -> Any:
    return _calculate(node.op, _evaluate(node.left, values), _evaluate(node.right, values))


def _unary(node: ast.UnaryOp, values: Mapping[str, Any]) -> Any:
    operand = _evaluate(node.operand, values)
    return not operand if isinstance(node.op, ast.Not) else _calculate(node.op, operand)


def _calculate(operation: ast.AST, *operands: Any) -> Any:
    for operand in operands:
        if not isinstance(operand, (int, float)):
            raise TypeError(f"{operand!r} is no number")
    return _OPERATORS[type(operation)](*operands)


def _power(base: float, exponent: float) -> float:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > _MOST_BITS:
        raise OverflowError("the power is too large")
    if base < 0 and not float(exponent).is_integer():
        raise ValueError("a root of a negative number")
    return base**exponent  # type: ignore[no-any-return]


_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}

_COMPARISONS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}

_EVALUATE: Mapping[type[ast.AST], _Evaluate] = {
    ast.Constant: lambda node, values: node.value,
    ast.Name: lambda node, values: values[node.id],
    ast.List: lambda node, values: [_evaluate(part, values) for part in node.elts],
    ast.Tuple: lambda node, values: [_evaluate(part, values) for part in node.elts],
    ast.Call: lambda node, values: FUNCTIONS[node.func.id](*(_evaluate(part, values) for part in node.args)),
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _bool_op,
    ast.Compare: _compare,
}
