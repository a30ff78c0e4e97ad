from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LOADED = """\
import sys
import clearml
from clearml_hpo.workers.warm import sdk
sdk.preload(sys.argv[1])
print("matplotlib.pyplot" in sys.modules)
"""


@pytest.mark.parametrize(
    ("source", "loads_plots"),
    [
        ("N_SAMPLES = 100  # of TEMPLATE, an EXAMPLE\n", True),
        ("os.environ['MPLBACKEND'] = 'agg'\n", False),
    ],
)
def test_plots_are_loaded_ahead_unless_the_script_sets_them(source: str, loads_plots: bool) -> None:
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-c", LOADED, source]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split()[-1] == str(loads_plots)


CHECKED = """\
import importlib, jsonschema
import clearml
from clearml_hpo.workers.warm import sdk
sdk.preload("")
tasks = importlib.import_module(next(name for name in sdk._newest_services() if name.endswith("tasks")))
request = tasks.EditRequest(task="a", name="b")
checks = []
kind = jsonschema.validators.validator_for(request._schema)
iter_errors = kind.iter_errors
kind.iter_errors = lambda self, *given: checks.append(self.schema) or iter_errors(self, *given)
request.validate()
print("schema checked again:", any(each is not request._schema for each in checks[:1]))
request._property_name = 5
try:
    request.validate()
except jsonschema.ValidationError as error:
    print("refused:", error.message)
try:
    jsonschema.validate({}, {"type": "nonsense"})
except jsonschema.SchemaError as error:
    print("bad schema:", error.instance)
"""


def _printed(*command: str) -> list[str]:
    command = (sys.executable, *command)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_is_sent_is_checked_but_not_the_schemas_of_the_sdk_once_more() -> None:
    printed = _printed("-c", CHECKED)
    assert "schema checked again: False" in printed
    assert "refused: 5 is not of type 'string'" in printed
    assert "bad schema: nonsense" in printed


FRAMES = """\
import inspect, sys, types
from pathlib import Path
import clearml
from clearml_hpo.workers.warm import sdk
path = Path(sys.argv[1])
code = compile(path.read_text(), str(path), "exec")
def frames():
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)
    return [(each.filename, each.lineno, each.function, each.code_context) for each in module.stack][:-2]
main = sys.modules["__main__"]
before = frames()
sys.modules["__main__"] = main
inspect.modulesbyfile.clear(); inspect._filesbymodname.clear()
sdk.preload("")
sdk.know_script(path)
looked = []
class Modules(dict):
    def copy(self):
        looked.append(1)
        return super().copy()
real, sys.modules = sys.modules, Modules(sys.modules)
after = frames()
print(before == after, len(before), len(looked))
"""


def test_the_frames_of_a_script_are_the_same_and_no_module_is_looked_at(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import inspect\ndef deep():\n    return inspect.stack()\nstack = deep()\n")
    harness = tmp_path / "harness.py"
    harness.write_text(FRAMES)
    same, frames, looked = _printed(str(harness), str(script))[-1].split()
    assert (same, frames, looked) == ("True", "2", "0")
