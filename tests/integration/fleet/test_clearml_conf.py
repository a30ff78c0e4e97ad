"""The template of agents/ is a clearml.conf, and agents find their server by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearml_hpo.core.errors import AgentError
from clearml_hpo.fleet.configured import configured_server
from clearml_hpo.machine.settings import ServerAddress

TEMPLATE = Path(__file__).parents[3] / "agents" / "clearml.conf"


@pytest.fixture(autouse=True)
def _no_other_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_HOST", "WEB_HOST", "FILES_HOST", "API_ACCESS_KEY", "API_SECRET_KEY"):
        monkeypatch.delenv(f"CLEARML_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_template_filled_in_names_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEMPLATE.read_text()
    for blank, value in {"<your-server>": "lab", "<access key>": "key", "<secret key>": "secret"}.items():
        text = text.replace(blank, value)
    (tmp_path / "my.conf").write_text(text)
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(tmp_path / "my.conf"))
    assert configured_server() == ServerAddress(
        "https://api.lab", "https://app.lab", "https://files.lab", "key", "secret"
    )


def test_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEARML_CONFIG_FILE", raising=False)
    with pytest.raises(AgentError, match="no ClearML server is configured"):
        configured_server()
