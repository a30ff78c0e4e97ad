"""``points`` of a search space: which of them fit a study."""

from __future__ import annotations

import pytest

from clearml_hpo.controller.opening import differences
from clearml_hpo.core.errors import InputError
from clearml_hpo.study_file import known_points, load_campaign, load_study, parse_study

SPACE = """\
learning_rate: {type: float, low: 1e-3, high: 0.3, log: true}
depth: {type: int, low: 4, high: 8}
rounds: 200
points:
  - {learning_rate: 5e-2, depth: 7}
  - {General/learning_rate: 0.1}
"""
STUDY = """\
study: points
template: {script: train.py}
search_space: space.yaml
objective: {metric: validation/loss, direction: minimize}
budget: {trials: 9}
"""
SEVERAL = """\
study: several
template: {models: {a: {script: train.py}, b: {script: train.py}}}
search_space:
  model:
    type: categorical
    choices:
      a: space.yaml
      b:
        kind:
          type: categorical
          choices:
            x: {}
            y: {rate: {type: float, low: 0, high: 1}, points: [{rate: 0.5}]}
objective: {metric: validation/loss, direction: minimize}
budget: {trials: 9}
"""


@pytest.fixture
def load(tmp_path):
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / "space.yaml").write_text(SPACE)

    def load(*overrides, study=STUDY):
        (tmp_path / "study.yaml").write_text(study)
        return load_study(tmp_path / "study.yaml", overrides)

    return load


def test_a_space_file_has_points(load):
    file = load()
    assert file.space.parameters.keys() == {"General/learning_rate", "General/depth", "General/rounds"}
    found = known_points(file)
    assert found.fitting == (
        {"General/learning_rate": 0.05, "General/depth": 7},
        {"General/learning_rate": 0.1},
    )
    assert found.others == () and file.first == (), "they are not the study's own points"


def test_points_that_do_not_fit_are_named(load):
    found = known_points(load("search_space.depth.high=6"))
    assert found.fitting == ({"General/learning_rate": 0.1},)
    assert found.others == ("learning_rate=5e-2 depth=7: depth: found 7; allowed: int 4 .. 6",)


def test_a_value_that_all_trials_have_is_no_part_of_a_point(load):
    assert known_points(load("search_space.depth=7")).fitting[0] == {"General/learning_rate": 0.05}
    (other,) = known_points(load("search_space.depth=5")).others
    assert "depth: no parameter that varies" in other


def test_a_parameter_may_be_added_beside_them(load):
    file = load("search_space.more=5", "search_space.rounds=100")
    assert file.space.constants == {"General/more": 5, "General/rounds": 100}
    assert len(known_points(file).fitting) == 2


def test_a_study_may_want_none(load):
    assert known_points(load("known_points=false")).fitting == ()


def test_another_space_has_its_own(load, tmp_path):
    (tmp_path / "other.yaml").write_text("depth: {type: int, low: 1, high: 3}\n")
    assert known_points(load("search_space=other.yaml")).fitting == ()


def test_what_the_controller_keeps_has_them(load):
    file = load()
    again = parse_study(file.text({"": "0" * 32}), "study")
    assert known_points(again) == known_points(file)


def test_a_study_that_exists_keeps_those_that_it_was_made_with(load, tmp_path):
    stored = parse_study(load().text({"": "0" * 32}), "study")
    (tmp_path / "space.yaml").write_text(SPACE.replace("depth: 7}", "depth: 8}"))
    file = load()
    assert differences(stored, file, {"": "0" * 32}) == [], "another list of points is no other space"
    kept = file.with_known_points_of(stored)
    assert known_points(kept) == known_points(stored)
    assert known_points(parse_study(kept.text({"": "0" * 32}), "study")) == known_points(stored)


def test_those_of_a_choice_name_it_and_models_take_turns(load):
    file = load(study=SEVERAL)
    assert known_points(file).fitting == (
        {"General/model": "a", "a/learning_rate": 0.05, "a/depth": 7},
        {"General/model": "b", "b/kind": "y", "b/rate": 0.5},
        {"General/model": "a", "a/learning_rate": 0.1},
    )
    again = parse_study(file.text({"a": "0" * 32, "b": "1" * 32}), "study")
    assert known_points(again) == known_points(file)
    of_b = known_points(load("search_space.model=b", study=SEVERAL))
    assert of_b.fitting == ({"b/kind": "y", "b/rate": 0.5},) and len(of_b.others) == 2


def test_a_campaign_has_them(load, tmp_path):
    load()
    (tmp_path / "campaign.yaml").write_text(
        "campaign: points\n"
        "resources: {cpu: {}}\n"
        "datasets: {one: {data: one.csv}}\n"
        "models:\n"
        "  a: {template: {script: train.py}, search_space: space.yaml, resources: [cpu]}\n"
        "  b: {template: {script: train.py}, search_space: space.yaml, resources: [cpu], known_points: false}\n"
        "objective: {metric: validation/loss, direction: minimize}\n"
        "budget: {trials: 9}\n"
    )
    members = load_campaign(tmp_path / "campaign.yaml").members
    assert [len(known_points(member.file).fitting) for member in members] == [2, 0]


def test_a_point_is_a_mapping_and_its_line_is_named(load, tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE + "  - 0.1\n")
    with pytest.raises(InputError, match=r"space.yaml:7: search_space.points.2: expected names and values, found 0.1"):
        load()


def test_a_parameter_may_be_called_points(load, tmp_path):
    (tmp_path / "space.yaml").write_text("points: {type: int, low: 1, high: 3}\n")
    assert "General/points" in load().space.parameters
