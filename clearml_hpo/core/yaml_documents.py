"""YAML of any origin, read within bounds: a small text can stand for more values than a machine has memory for."""

from __future__ import annotations

from typing import Any

import yaml

MOST_VALUES = 100_000
"""Keys and values in all; one that an alias repeats counts each time."""
MOST_CHARACTERS = 2**20
DEEPEST = 100
"""Levels of keys and lists."""
LONGEST_NUMBER = 1_000
"""Characters of a number: Python takes long for very long ones."""
MOST_PLACES = 10
"""Colons in a number to the base of 60: with many of them it is beyond a float."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class Unfit(yaml.MarkedYAMLError):
    """A text that is YAML, and beyond the bounds; ``problem`` says which."""


def compose(text: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> yaml.Node | None:
    """The nodes of a text; None for an empty one.

    Raises:
        yaml.YAMLError: it is not YAML, or :class:`Unfit`: too large, too deep, or it holds itself.
    """
    if len(text) > MOST_CHARACTERS:
        raise Unfit(problem=f"it has more than {MOST_CHARACTERS} characters")
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=loader)
    except RecursionError:
        raise Unfit(problem=f"it has more than {DEEPEST} levels") from None
    if node is not None and _values(node, {}, 1) > MOST_VALUES:
        raise Unfit(problem=f"it has more than {MOST_VALUES} values, with those that aliases repeat")
    return node


def load(text: str) -> Any:
    """What a text holds; raises as :func:`compose`, and ValueError for a value that cannot be, such as a 13th month."""
    compose(text)
    return yaml.safe_load(text)


def _values(node: yaml.Node, known: dict[int, int], level: int) -> int:
    """How many values a node holds; of one that is held by itself, or is unfit in another way, it raises."""
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node)
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise _unfit(node, "it holds itself, by an alias")
        return known[id(node)]
    if level > DEEPEST:
        raise _unfit(node, f"it has more than {DEEPEST} levels")
    known[id(node)] = 0  # for as long as it is looked into
    held = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
    known[id(node)] = 1 + sum(_values(one, known, level + 1) for one in held)
    return known[id(node)]


def _check_scalar(node: yaml.ScalarNode) -> None:
    if "\0" in node.value or node.value != node.value.encode(errors="replace").decode():
        raise _unfit(node, "a text has a character that no text may have (NUL, half of a pair)")
    if node.tag in _NUMBERS and (len(node.value) > LONGEST_NUMBER or node.value.count(":") > MOST_PLACES):
        raise _unfit(
            node, f"a number has more than {LONGEST_NUMBER} characters, or {MOST_PLACES} colons; put a text in quotes"
        )


def _unfit(node: yaml.Node, problem: str) -> Unfit:
    return Unfit(problem=problem, problem_mark=node.start_mark)
