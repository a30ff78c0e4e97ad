"""Values inside of configuration objects, whatever their text is written in."""

from __future__ import annotations

import json

import pytest
import yaml
from clearml.utilities.config import config_dict_to_text, text_to_config_dict

from clearml_hpo.backend.configurations import configuration_entries, with_configuration
from clearml_hpo.backend.hyperparameters import flatten
from clearml_hpo.core.errors import InputError

DATA = {"model": {"depth": 3, "layers": [{"units": 8}, {"units": 16}], "a.b": 0.5}, "name": "x", "nothing": None}
CONFIGURATION = {
    "Dict": {"name": "Dict", "type": "dictionary", "value": config_dict_to_text(DATA)},
    "Yaml": {"name": "Yaml", "value": "# a comment\n" + yaml.safe_dump(DATA)},
    "Json": {"name": "Json", "value": json.dumps(DATA)},
    "Text": {"name": "Text", "value": "lorem ipsum"},
    "Broken": {"name": "Broken", "type": "dictionary", "value": "a {{"},
}
READ = {"Dict": text_to_config_dict, "Yaml": yaml.safe_load, "Json": json.loads}


@pytest.mark.parametrize("name", READ)
def test_a_key_is_set_and_all_else_stays(name):
    params = {
        f"config:{name}/model.depth": 9,
        f"config:{name}/model.layers.1.units": 1e-05,
        f"config:{name}/model.a.b": False,
        f"config:{name}/name": "10",
        "General/model.depth": 5,
    }
    changed = with_configuration(CONFIGURATION, params)
    assert READ[name](changed[name]["value"]) == {
        "model": {"depth": 9, "layers": [{"units": 8}, {"units": 1e-05}], "a.b": False},
        "name": "10",
        "nothing": None,
    }
    assert {other: entry for other, entry in changed.items() if other != name} == {
        other: entry for other, entry in CONFIGURATION.items() if other != name
    }
    assert changed[name].get("type") == CONFIGURATION[name].get("type")


def test_without_such_parameters_nothing_changes():
    assert with_configuration(CONFIGURATION, {"General/x": 1}) == CONFIGURATION


@pytest.mark.parametrize("name", READ)
def test_what_an_object_holds_reads_like_hyperparameters(name):
    entries = configuration_entries(CONFIGURATION)
    section = f"config:{name}"
    assert {key: value for key, value in flatten(entries).items() if key.startswith(f"{section}/")} == {
        f"{section}/model.depth": "3",
        f"{section}/model.layers.0.units": "8",
        f"{section}/model.layers.1.units": "16",
        f"{section}/model.a.b": "0.5",
        f"{section}/name": "x",
        f"{section}/nothing": "",
    }
    assert flatten(entries, "type")[f"{section}/model.a.b"] == "float"
    assert "config:Text" not in entries and "config:Broken" not in entries


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Dct/name", "no configuration object 'Dct'; did you mean 'Dict'"),
        ("Other/name", "it has: Dict, Yaml, Json"),
        ("Dict/model.dept", "'Dict' has no 'model.dept'; did you mean 'model.depth'"),
        ("Dict/model.layers.2.units", "has no"),
        ("Dict/name.more", "has no"),
        ("Dict/model", "has no 'model'"),
        ("Text/name", "'Text' holds no keys and values"),
        ("Broken/name", "'Broken' cannot be read"),
    ],
)
def test_what_is_not_there_is_named(name, said):
    with pytest.raises(InputError, match=said):
        with_configuration(CONFIGURATION, {f"config:{name}": 1})
