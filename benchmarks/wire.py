"""Runs a program and writes down every call that it makes to the API, a line each.

python wire.py LOG SCRIPT.py [ARGUMENT ...]
python wire.py LOG -m MODULE [ARGUMENT ...]

It stands where urllib3 sends, below ClearML's session and our own calls, so that logins and pings are seen as well.
Each line is appended in one write: processes that the program forks, such as the SDK's reporter, write to the same
file.
"""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from urllib3 import HTTPConnectionPool

_ENDPOINT = re.compile(r"/(?:v[\d.]+/)?(?P<name>[a-z_]+\.[a-z_0-9]+)(?:\?.*)?$")


def endpoint_of(url: str, api: str) -> str | None:
    """``service.action`` if the URL is one of the API at ``api``."""
    found = _ENDPOINT.fullmatch(url.removeprefix(api.rstrip("/"))) if url.startswith(api) else None
    return found["name"] if found else None


def write_down(log: Path, api: str) -> None:
    """From now on each call of this process, and of those it forks, is a line of ``log``."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    send = HTTPConnectionPool.urlopen

    def noted(self: HTTPConnectionPool, method: str, url: str, *given: Any, **options: Any) -> Any:
        # Requests through no proxy have a path alone.
        whole = url if "://" in url else f"{self.scheme}://{self.host}:{self.port}{url}"
        endpoint = endpoint_of(whole, api)
        if endpoint is not None:
            os.write(descriptor, f"{endpoint}\n".encode())
        return send(self, method, url, *given, **options)

    HTTPConnectionPool.urlopen = noted  # type: ignore[method-assign]


def read(log: Path) -> Counter[str]:
    """How often each endpoint was called."""
    return Counter(log.read_text().split()) if log.exists() else Counter()


def main(log: str, *program: str) -> None:
    """Runs the program in this process."""
    write_down(Path(log), os.environ["CLEARML_API_HOST"])
    if program[0] == "-m":
        sys.argv = list(program[1:])
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(program)
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
