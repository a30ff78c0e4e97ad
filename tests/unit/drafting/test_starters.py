"""Where the templates are, in a checkout and in an installed wheel."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from clearml_hpo.cli.init import _TEMPLATES
from clearml_hpo.core.errors import InputError
from clearml_hpo.drafting import starters

ROOT = Path(__file__).resolve().parents[3]


def test_the_wheel_carries_every_template_and_search_space():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    packed = {
        str(path.relative_to(ROOT)): f"share/clearml-hpo/{path.relative_to(ROOT)}" == f"{folder}/{path.name}"
        for folder, patterns in config["options.data_files"].items()
        for pattern in patterns.split()
        for path in ROOT.glob(pattern)
    }
    wanted = [f"templates/{name}_train.py" for name in starters.NAMES]
    wanted += [str(path.relative_to(ROOT)) for path in (ROOT / "search_spaces").glob("*/*.yaml")]
    assert sorted(packed) == sorted(wanted) and all(packed.values())
    assert starters.NAMES == _TEMPLATES


def test_an_installed_wheel_is_looked_into(tmp_path, monkeypatch):
    tmp_path = tmp_path / "site-packages"
    tmp_path.mkdir()
    record = tmp_path / "clearml_hpo-9.9.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: clearml-hpo\nVersion: 9.9\n")
    (record / "RECORD").write_text("../share/clearml-hpo/search_spaces/xgboost/small.yaml,,\n")
    wheel = tmp_path / "../share/clearml-hpo/search_spaces/xgboost/small.yaml"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(starters, "_CHECKOUT", tmp_path)
    found = starters.search_space("xgboost", "small")
    assert found.resolve() == wheel.resolve()
    with pytest.raises(InputError, match=r"has no search_spaces/xgboost/wide\.yaml"):
        starters.search_space("xgboost", "wide")
