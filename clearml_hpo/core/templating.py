"""Jinja environments. All are strict: a name that a template was not given is an error, not an empty text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def html_environment(
    *packages: str, filters: Mapping[str, Callable[..., Any]], names: Mapping[str, Any]
) -> Environment:
    """Renders HTML; values are escaped unless they are markup already.

    Args:
        packages: dotted names of the packages in whose folders ``templates`` a template is looked for, in this order.
        filters: functions that templates use as filters, by name.
        names: further functions and values that every template sees.
    """
    environment = _environment(packages, autoescape=True)
    environment.filters.update(filters)
    environment.globals.update(names)
    return environment


def text_environment(package: str) -> Environment:
    """Renders plain text, such as configuration files: values as they are, and a line end at the end of the file."""
    return _environment([package], autoescape=False, keep_trailing_newline=True)


def _environment(packages: Sequence[str], *, autoescape: bool, keep_trailing_newline: bool = False) -> Environment:
    return Environment(
        loader=ChoiceLoader([PackageLoader(each) for each in packages]),
        autoescape=autoescape,
        keep_trailing_newline=keep_trailing_newline,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
