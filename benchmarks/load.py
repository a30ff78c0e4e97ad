"""Clients that call a server as fast as it answers, each on a connection of its own, and how long they waited."""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import psutil


class Connection:
    """One connection to an HTTP server. Does as little as possible, so that the time measured is the server's."""

    def __init__(self, url: str, authorization: str = "") -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = address.netloc
        self._rest = b""
        self.authorization(authorization)

    def authorization(self, text: str) -> None:
        """The header from now on."""
        self._common = f"Host: {self._host}\r\nAuthorization: {text}\r\n"

    def post(self, path: str, body: bytes, kind: str = "application/json") -> bytes:
        """The body of the answer, which must be 200."""
        head = f"POST {path} HTTP/1.1\r\n{self._common}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        while b"\r\n\r\n" not in self._rest:
            self._receive()
        headers, _, self._rest = self._rest.partition(b"\r\n\r\n")
        length = int(headers.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(self._rest) < length:
            self._receive()
        answer, self._rest = self._rest[:length], self._rest[length:]
        if b" 200 " not in headers[:15]:
            raise RuntimeError(f"{path}: {answer[:300]!r}")
        return answer

    def _receive(self) -> None:
        part = self._socket.recv(1 << 20)
        if not part:
            raise RuntimeError("the server has closed the connection")
        self._rest += part

    def close(self) -> None:
        """Closes it."""
        self._socket.close()


Act = Callable[[Connection], object]


def measured(connect: Callable[[], Connection], act: Act, clients: int, seconds: float, pid: int) -> Mapping[str, Any]:
    """``clients`` do ``act`` again and again: how many a second, the milliseconds that one took, and the processor's.

    The last, of the server's process ``pid``, hardly depends on what else the machine does.
    """
    server = psutil.Process(pid)
    ends, trouble = threading.Barrier(clients + 1), []
    waits: list[list[float]] = [[] for _ in range(clients)]

    def run(mine: list[float]) -> None:
        connection = connect()
        try:
            act(connection)
            ends.wait()
            until = time.perf_counter() + seconds
            while (began := time.perf_counter()) < until:
                act(connection)
                mine.append(time.perf_counter() - began)
        except (OSError, RuntimeError, threading.BrokenBarrierError) as error:
            trouble.append(error)
            ends.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(mine,)) for mine in waits]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):  # the trouble is raised below
        ends.wait()
    began, busy_s = time.perf_counter(), _busy_s(server)
    for thread in threads:
        thread.join()
    if trouble:
        raise trouble[0]
    took = time.perf_counter() - began
    found = sorted(wait for mine in waits for wait in mine)
    cpu_ms = (_busy_s(server) - busy_s) / max(1, len(found)) * 1000
    return {"per_s": round(len(found) / took, 1), **percentiles_ms(found), "cpu_ms": round(cpu_ms, 2)}


def _busy_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def percentiles_ms(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49] * 1000, 2), "p99_ms": round(cuts[98] * 1000, 2)}
