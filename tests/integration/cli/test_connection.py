"""Which server a command talks to, and that ClearML's public one is asked by none unless it is configured."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import unconfigured

STUDY = """
study: abc
template: {script: train.py}
search_space: {x: {type: float, low: 0, high: 1}}
objective: {metric: validation/loss, direction: minimize}
budget: {trials: 2}
"""
NO_SERVER = "no ClearML server is configured"


class Proxy(ThreadingHTTPServer):
    """What leaves this machine has to pass it: it lets nothing through, and notes whom it was asked for."""

    def __init__(self):
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def refuse(self):
                asked.append(self.path)
                self.send_error(502)

            do_CONNECT = do_GET = do_POST = refuse

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def proxy():
    with Proxy() as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


@pytest.fixture
def run(proxy, tmp_path):
    """Runs a command on a machine where nothing is configured, and from which nothing leaves but by the proxy."""
    (tmp_path / "train.py").write_text('report("validation", "loss", x)\n')
    (tmp_path / "study.yaml").write_text(STUDY)
    address = f"http://127.0.0.1:{proxy.server_port}"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), address)
    home = {"HOME": str(tmp_path), "CLEARML_HPO_HOME": str(tmp_path / "state")}

    def run(*arguments, **environ):
        return subprocess.run(
            [sys.executable, "-m", "clearml_hpo", *arguments],
            env={**unconfigured(), **proxies, **home, **environ},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


COMMANDS = [
    (("study", "list"), 2, NO_SERVER),
    (("study", "best", "abc"), 2, NO_SERVER),
    (("watch", "abc"), 2, NO_SERVER),
    (("campaign", "status", "abc"), 2, NO_SERVER),
    (("launch", "study.yaml"), 2, NO_SERVER),
    (("worker", "--queue", "abc"), 2, NO_SERVER),
    (("agents", "up", "--queue", "abc", "--cpu", "1"), 2, NO_SERVER),
    (("check", "study.yaml"), 0, "study.yaml: sound"),
]


@pytest.mark.parametrize("conf", [None, "sdk {}", "api { credentials { access_key: k, secret_key: s } }"])
@pytest.mark.parametrize(("command", "code", "said"), COMMANDS, ids=lambda part: str(part)[:30])
def test_without_a_configured_server_nothing_leaves_this_machine(run, proxy, tmp_path, command, code, said, conf):
    if conf is not None:
        (tmp_path / "clearml.conf").write_text(conf)
    done = run(*command)
    assert (done.returncode, proxy.asked) == (code, []), done.stderr
    assert said in done.stdout + done.stderr


def test_the_public_server_is_asked_if_it_is_configured(run, proxy):
    """So the proxy sees what the others must not do."""
    keys = {"CLEARML_API_ACCESS_KEY": "k", "CLEARML_API_SECRET_KEY": "s"}
    done = run("study", "list", CLEARML_API_HOST="https://api.clear.ml", **keys)
    assert done.returncode == 1 and "no ClearML server answers at https://api.clear.ml" in done.stderr
    assert done.stderr.startswith("server: https://app.clear.ml\n") and done.stdout == ""
    assert proxy.asked == ["api.clear.ml:443"]


@pytest.mark.long
def test_the_embedded_server_is_used_if_it_is_there(run, proxy):
    """`resume` starts one; so does each later command, for as long as it takes."""
    assert run("resume", "none").returncode == 2
    done = run("study", "list", "--format", "json")
    assert (done.returncode, done.stdout, proxy.asked) == (0, "[]\n", []), done.stderr
    assert done.stderr.startswith("embedded server: http://127.0.0.1:")
