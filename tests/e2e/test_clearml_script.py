"""ClearML's usual optimizer script, with one name changed, on the embedded server with real agents."""

from __future__ import annotations

import re
import sys

import pytest

pytestmark = [pytest.mark.agent, pytest.mark.embedded, pytest.mark.long]


@pytest.fixture(scope="module")
def server_environ(machine, sdk_environ):
    """A server and two agents, started as a person does; environment variables as `server env` prints them."""
    assert machine.run("server", "start")[0] == 0
    code, exports = machine.run("server", "env")
    assert code == 0, exports
    environ = {**sdk_environ, **dict(re.findall(r"export (\w+)=['\"]?([^'\"\n]+)", exports))}
    code, output = machine.run("agents", "up", "--queue", "default", "--cpu", "2", **environ)
    assert code == 0, output
    yield environ
    assert machine.run("agents", "down", "--now")[0] == 0
    assert machine.run("server", "stop")[0] == 0


def test_the_example_script(machine, server_environ):
    python = [sys.executable]
    code, output = machine.run("templates/catboost_train.py", command=python, **server_environ)
    assert code == 0, output
    template_id = re.search(r"task id=([0-9a-f]{32})", output)[1]
    code, output = machine.run("examples/02_clearml_script/optimize.py", template_id, command=python, **server_environ)
    assert code == 0, output
    assert len(re.findall(r"^completed [0-9a-f]{32}", output, re.MULTILINE)) == 6, output
    assert re.search(r"^best: [0-9a-f]{32} catboost: ", output, re.MULTILINE), output
