"""What the environment says."""

from __future__ import annotations

from pathlib import Path

from clearml_hpo import settings


def test_home_and_whether_a_server_is_configured(tmp_path):
    conf = tmp_path / "clearml.conf"
    base = {"CLEARML_HPO_HOME": "/x/y", "CLEARML_CONFIG_FILE": str(conf)}
    assert settings.load(base) == settings.Settings(Path("/x/y"), clearml_configured=False)
    assert settings.load({**base, "CLEARML_API_HOST": "http://a"}).clearml_configured
    conf.write_text("api {}")
    assert settings.load(base).clearml_configured


def test_the_default_home_is_the_users_state_directory(tmp_path):
    assert settings.load({"CLEARML_CONFIG_FILE": str(tmp_path / "none")}).home.name == "clearml-hpo"


def test_a_server_is_five_variables():
    server = settings.ServerAddress("http://a", "http://w", "http://f", "key", "secret")
    assert server.environ() == {
        "CLEARML_API_HOST": "http://a",
        "CLEARML_WEB_HOST": "http://w",
        "CLEARML_FILES_HOST": "http://f",
        "CLEARML_API_ACCESS_KEY": "key",
        "CLEARML_API_SECRET_KEY": "secret",
    }
