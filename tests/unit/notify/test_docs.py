"""docs/notifications.md: its examples are sound, and messages have the keys that it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.notify.events import About, Events
from clearml_hpo.study_file.notify import NotifySpec

DOCS = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
(MESSAGE,) = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_sound(example):
    NotifySpec.model_validate(yaml.safe_load(example)["notify"])


def test_a_message_has_the_keys_that_the_page_shows():
    events = Events({"best": 0.0}, About("s"), Goal((Objective("a", "b"),)), (), clock=lambda: 1e6)
    events.trial(Trial(12, {"General/depth": 8}, "0b65", 1, TrialState.COMPLETED, (0.5,)))
    (message,) = events.due()
    shown, said = json.loads(MESSAGE), json.loads(message.json)
    assert [*shown] == [*said] and [*shown["best"]] == [*said["best"]]


def test_the_page_names_each_variable_of_a_command():
    code = (Path(__file__).parents[3] / "clearml_hpo/notify/channels.py").read_text()
    names = re.findall(r'"([A-Z_]+)": (?:message|about)\.', code)
    assert len(names) == 7 and all(f"`CLEARML_HPO_{name}`" in DOCS for name in names)
