"""ClearML's nested hyperparameters, flat and back."""

from __future__ import annotations

from clearml_hpo.tasks.hyperparameters import flatten, user_properties, with_user_properties, with_values

NESTED = {
    "General": {
        "lr": {"section": "General", "name": "lr", "value": "0.1", "type": "float"},
        "a.b$c/d": {"section": "General", "name": "a.b$c/d", "value": None},
    },
    "Args": {"seed": {"section": "Args", "name": "seed", "value": "1", "type": "int"}},
    "properties": {"who": {"section": "properties", "name": "who", "value": "me"}},
}


def test_flat_values_and_types_without_user_properties():
    assert flatten(NESTED) == {"General/lr": "0.1", "General/a.b$c/d": "", "Args/seed": "1"}
    assert flatten(NESTED, "type") == {"General/lr": "float", "General/a.b$c/d": "", "Args/seed": "int"}
    assert user_properties(NESTED) == {"who": "me"}


def test_new_values_keep_types_and_leave_the_original_alone():
    changed = with_values(
        NESTED, {"General/lr": 0.25, "General/a.b$c/d": None, "Hydra/model/depth": 3, "Args/on": True}
    )
    assert changed["General"]["lr"] == {"section": "General", "name": "lr", "value": "0.25", "type": "float"}
    assert changed["General"]["a.b$c/d"]["value"] == ""
    assert changed["Hydra"]["model/depth"] == {"section": "Hydra", "name": "model/depth", "value": "3"}
    assert changed["Args"]["on"]["value"] == "True"
    assert NESTED["General"]["lr"]["value"] == "0.1"


def test_user_properties_are_replaced_as_a_whole():
    changed = with_user_properties(NESTED, {"trial": 3})
    assert user_properties(changed) == {"trial": "3"}
    assert flatten(changed) == flatten(NESTED)
