"""A proxy before the server that tells lies when it is told to: pages in place of answers."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_LIES = (b"<html>Log in to the network</html>", b"{}", b'{"meta": {}, "data": {}}', b"")


class LyingProxy:
    """Passes calls on to a server on this machine; the next ``lies`` answers are of nobody.

    Of those calls every other one has been made all the same: its answer is lost.
    """

    def __init__(self, port: int, seed: int) -> None:
        """``port`` is the server's."""
        self.lies = self.told = 0
        self._port = port
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer(*outer._answer(self.command, self.path, body, dict(self.headers)))

            do_GET = do_POST

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # a controller that was killed reads no answer
                    super().handle()

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        """Takes no more calls."""
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        with self._lock:
            is_lie = self.lies > 0
            self.lies, self.told = self.lies - is_lie, self.told + is_lie
            lie, is_passed_on = self._rng.choice(_LIES), not is_lie or self._rng.random() < 0.5
        answer = self._real(method, path, body, headers) if is_passed_on else (200, b"")
        return (200, lie) if is_lie else answer

    def _real(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 502, b"<html>Bad gateway</html>"
        finally:
            connection.close()
