"""A script whose SDK cannot log in has no part in it: its trial is lost, and runs again."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clearml_hpo.machine.settings import ServerAddress
from clearml_hpo.workers.task_process import reason_of
from tests.conftest import quick_sdk, unconfigured

REFUSED = b'{"meta": {"result_code": 401, "result_subcode": 20, "result_msg": "Unauthorized"}, "data": {}}'
SCRIPT = "from clearml import Task; Task.init(project_name='any', task_name='any')"


@pytest.fixture
def answering():
    """A web server that has the same answer to everything; its address."""
    servers = []

    def answering(status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *arguments):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield answering
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.long
@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>Log in to the network</html>"), (200, b"{}"), (404, b""), (401, REFUSED)]
)
def test_a_script_that_cannot_log_in_is_lost(answering, tmp_path, status, body):
    url = answering(status, body)
    address = ServerAddress(url, url, url, "key", "secret")
    task = {"CLEARML_TASK_ID": "3f" * 16, "CLEARML_LOG_TASK_TO_BACKEND": "1"}
    environ = {**unconfigured(), **address.environ(), **quick_sdk(tmp_path), **task}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, cwd=os.sep)
    assert done.returncode == 1
    assert reason_of(done.stderr, 1).startswith("lost: "), done.stderr
