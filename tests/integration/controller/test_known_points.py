"""The known-good points of a search space, in studies that are driven."""

from __future__ import annotations

import pytest
import yaml

from clearml_hpo.backend.study_records import read_study
from clearml_hpo.controller.check import check_study
from clearml_hpo.study_file import load_study

from .driving import Listener, run

OWN = {"General/x": 0.9, "General/depth": 4, "General/kind": "a"}
FIRST = {"General/x": 0.25, "General/depth": 4, "General/kind": "a"}
SECOND = {"General/x": 0.5, "General/depth": 7, "General/kind": "b"}
TRIED = "known-good points of the search space, tried first: 2 (known_points: false for none)"


@pytest.fixture
def study_file(study_file):
    """The study, with two known-good points."""
    study = yaml.safe_load(study_file.read_text())
    study["search_space"]["points"] = [{"x": 0.25}, {"x": 0.5, "depth": 7, "kind": "b"}]
    study_file.write_text(yaml.safe_dump(study, sort_keys=False))
    return study_file


def said(notes):
    return [text for text in notes if text.startswith("known-good points")]


def points_of(outcome):
    return [dict(trial.params) for trial in outcome.trials]


def test_they_are_tried_after_the_templates_own_values_and_the_studys_points(study_file, api, agent):
    enqueued = {"General/x": 0.125, "General/depth": 2, "General/kind": "a"}
    overrides = ["enqueue=[{x: 0.125, depth: 2}, {x: 0.25}]"]
    assert said(check_study(load_study(study_file, overrides), api).remarks) == [TRIED]
    view = Listener()
    outcome = run(study_file, api, view=view, overrides=overrides)
    assert points_of(outcome)[:4] == [OWN, enqueued, FIRST, SECOND], "what is there twice is tried once"
    assert said(view.notes) == [TRIED]

    # A study that goes on has the points that it was made with, and says nothing of them.
    study = yaml.safe_load(study_file.read_text())
    study["search_space"]["points"] = [{"x": 0.75}]
    study_file.write_text(yaml.safe_dump(study, sort_keys=False))
    view = Listener()
    again = run(study_file, api, view=view, overrides=[*overrides, "budget.trials=8"])
    assert said(view.notes) == [] and len(again.trials) == 8
    assert all(point["General/x"] != 0.75 for point in points_of(again))
    kept = yaml.safe_load(read_study(api, again.result["study_id"]).study_yaml)
    assert len(kept["search_space"]["points"]) == 2


def test_what_does_not_fit_is_left_out_and_named(study_file, api, agent):
    view = Listener()
    outcome = run(study_file, api, view=view, overrides=["search_space.depth.high=6"])
    assert points_of(outcome)[:2] == [OWN, FIRST] and SECOND not in points_of(outcome)
    (note,) = said(view.notes)
    assert "tried first: 1 (" in note and "x=0.5 depth=7 kind=b: depth: found 7; allowed: int 2 .. 6" in note


def test_with_the_templates_values_a_point_may_break_a_constraint(study_file, api, agent):
    run(study_file, api, overrides=["known_points=false", "budget.trials=1"])
    constraint = "parameter_constraints=['x > 0.3 or depth > 4']"
    (remark,) = said(check_study(load_study(study_file, ["study=held", constraint]), api).remarks)
    assert "tried first: 1 (" in remark and "with the template's own values it is no point" in remark
    outcome = run(study_file, api, overrides=["study=held", constraint])
    assert points_of(outcome)[:2] == [OWN, SECOND] and FIRST not in points_of(outcome)


def test_none_is_tried_where_it_is_switched_off_or_trials_are_known(study_file, api, agent):
    view = Listener()
    off = run(study_file, api, view=view, overrides=["known_points=false"])
    assert said(view.notes) == [] and FIRST not in points_of(off)
    overrides = ["study=knows", f"warm_start={{study: {off.result['study_id']}}}"]
    remark = "known-good points of the search space are not tried: warm_start gives trials with values"
    assert said(check_study(load_study(study_file, overrides), api).remarks) == [remark]
    view = Listener()
    knows = run(study_file, api, view=view, overrides=overrides)
    assert said(view.notes) == [remark] and FIRST not in points_of(knows)
