"""The fixtures of the controller's tests, and the command line in this process."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from clearml_hpo.cli import main
from tests.integration.controller.conftest import agent, api, queue, study_file

__all__ = ["agent", "api", "queue", "study_file"]


@pytest.fixture
def command(api, tmp_path):
    """Runs ``clearml-hpo`` with the server of ``api`` configured; returns exit code and output (stderr if it fails)."""

    def run(*arguments, columns=80):
        environ = {"CLEARML_HPO_HOME": str(tmp_path / "state"), "COLUMNS": str(columns)}
        result = CliRunner().invoke(main, list(arguments), env=environ)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout if not result.exit_code else result.output

    return run
