"""Receivers of messages on loopback: HTTP and SMTP, real ones."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

DEADLINE_S = 30.0


def eventually(found, what="it came"):
    """What ``found`` returns once that is something."""
    until = time.monotonic() + DEADLINE_S
    while not (result := found()):
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.02)
    return result


class HttpReceiver:
    """Takes what is posted, and answers with ``statuses`` one after the other, the last one for ever; 0 hangs."""

    def __init__(self, *statuses):
        receiver = self
        self.received, self.headers, self.paths = [], [], []
        self._statuses, self._ends = [*(statuses or (200,))], threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver.headers.append(self.headers)
                receiver.paths.append(self.path)
                statuses = receiver._statuses
                status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
                if not status:
                    receiver._ends.wait(60)
                    return
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._server.shutdown()
        self._server.server_close()

    def of(self, event):
        return [message for message in self.received if message.get("event") == event]

    @property
    def events(self):
        return [message["event"] for message in self.received]


class Mailbox:
    """Keeps what an SMTP server was given."""

    def __init__(self):
        self.mails, self.logins, self.is_encrypted = [], [], []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(message_from_bytes(envelope.content.replace(b"\r\n", b"\n"), policy=policy.default))
        self.is_encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 taken"


@contextmanager
def smtp_receiver(*, certificate=None, login=None, security="starttls"):
    """A server, and its mailbox: ``login`` is (user, password); the ``certificate`` is for ``security``."""
    mailbox, context = Mailbox(), None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)

    def authenticated(server, session, envelope, mechanism, data):
        mailbox.logins.append(mechanism)
        is_known = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == login
        return AuthResult(success=is_known, handled=is_known)

    options = {
        "authenticator": authenticated,
        "auth_required": login is not None,
        "auth_require_tls": security == "starttls",
    }

    class Server(Controller):
        def factory(self):
            of_starttls = {"tls_context": context, "require_starttls": True} if security == "starttls" else {}
            return SMTP(self.handler, **options, **of_starttls)

    outer = context if security == "tls" else None
    server = Server(mailbox, hostname="127.0.0.1", port=_free_port(), ssl_context=outer)
    server.start()
    try:
        yield server.port, mailbox
    finally:
        server.stop()


def _free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(folder):
    """A certificate of its own for 127.0.0.1, and its key."""
    paths = folder / "cert.pem", folder / "key.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    return paths
