from __future__ import annotations

import subprocess
import sys

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
