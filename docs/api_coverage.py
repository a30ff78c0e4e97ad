"""Writes ``docs/api_coverage.md``: which endpoints of ClearML's API the embedded server answers.

    make docs

The list is that of the newest service definitions in the installed SDK; what is answered is read from the server's own
table. A test fails where the page is not what this writes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType

import clearml.backend_api.services as services
from clearml.backend_api.session import Request

from clearml_hpo.server.registry import endpoints

PAGE = Path(__file__).with_name("api_coverage.md")

_HEAD = """\
# API coverage of the embedded server

Written by `make docs`; a test keeps it true.

{answered} of the {known} endpoints in the SDK's newest service definitions ({version}) are answered, and {others} more
that the agent, the web app or older clients call. A call to anything else gets ClearML's own 404 (`Unable to find
endpoint for name ... and version ...`, result code 404, subcode 0) and is counted; the server's first page lists such
calls. `datasets`, `dataviews` and `frames` are ClearML's Hyper-Datasets, a paid feature; the datasets of `clearml-data`
are tasks.
"""


def newest_version() -> str:
    """The newest service definitions of the installed SDK, such as ``v2_23``."""
    names = [name for _, name, is_package in pkgutil.iter_modules(services.__path__) if is_package]
    return max(names, key=lambda name: [int(part) for part in name[1:].split("_")])


def known_endpoints() -> list[str]:
    """All endpoints of the newest service definitions."""
    package = importlib.import_module(f"{services.__name__}.{newest_version()}")
    modules = [
        importlib.import_module(f"{package.__name__}.{name}") for _, name, _ in pkgutil.iter_modules(package.__path__)
    ]
    return sorted(name for module in modules for name in _endpoints_of(module))


def _endpoints_of(module: ModuleType) -> Iterator[str]:
    for item in vars(module).values():
        if isinstance(item, type) and issubclass(item, Request) and item.__module__ == module.__name__:
            yield f"{item._service}.{item._action}"


def page() -> str:
    """The whole page."""
    known, answered = known_endpoints(), set(endpoints())
    others = sorted(answered - set(known))
    head = _HEAD.format(
        answered=len(answered & set(known)),
        known=len(known),
        version=newest_version().replace("_", "."),
        others=len(others),
    )
    tables = [_table(f"## {service}", list(names), answered) for service, names in groupby(known, _service)]
    return "\n".join([head, *tables, _table("## Not in these definitions", others, answered)])


def _service(endpoint: str) -> str:
    return endpoint.partition(".")[0]


def _table(title: str, names: list[str], answered: set[str]) -> str:
    rows = [f"| `{name}` | {'yes' if name in answered else 'no'} |" for name in names]
    return "\n".join([title, "", "| endpoint | answered |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
