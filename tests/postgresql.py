"""A PostgreSQL of its own for tests, from the system's binaries, on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UP_S = 60


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL of this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


@contextmanager
def running() -> Iterator[str]:
    """Yields the URL of its database; the server has ended and its files are gone afterwards."""
    folder = binaries()
    assert folder is not None
    place = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # short: the path of a socket has at most 107 bytes
    # PostgreSQL refuses to run as root.
    other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(place, "nobody", "nogroup")
    password, port = secrets.token_hex(8), _free_port()
    (place / "password").write_text(password)
    if other:
        shutil.chown(place / "password", "nobody", "nogroup")
    options = ["-U", "gateway", f"--pwfile={place}/password", "-A", "scram-sha-256", "--locale=C.UTF-8"]
    subprocess.run(
        [folder / "initdb", "-D", place / "data", *options, "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=place,
        **other,
    )
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": place, "fsync": "off"}
    log = (place / "log").open("wb")
    server = subprocess.Popen(
        [folder / "postgres", "-D", place / "data", *(f"--{name}={value}" for name, value in settings.items())],
        stdout=log,
        stderr=log,
        cwd=place,
        **other,
    )
    try:
        end = time.monotonic() + _UP_S
        while subprocess.run([folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode:
            assert server.poll() is None and time.monotonic() < end, (place / "log").read_text()
            time.sleep(0.1)
        yield f"postgresql://gateway:{password}@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        log.close()
        shutil.rmtree(place)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
