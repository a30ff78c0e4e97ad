"""The campaign file: each data set with each model is a study, and a mistake names file, line and key."""

from __future__ import annotations

import pytest

from clearml_hpo.controller.rehearsal import rehearse_all
from clearml_hpo.core.errors import InputError
from clearml_hpo.search.space import Constant
from clearml_hpo.study_file import load_campaign, parse_campaign

CAMPAIGN = """\
campaign: tabular
project: tests
resources:
  gpu0: {gpu: 0}
  gpu1: {gpu: 1}
  cpu: {threads: 4, takes: 2}
  farm: {queue: farm}
models:
  xgb:
    template: {script: xgb.py}
    search_space: {depth: {type: int, low: 2, high: 8}}
    resources: [gpu0, gpu1]
    weight: 2
  cat:
    template: {script: cat.py}
    search_space: space.yaml
    resources: [cpu, farm]
    sampler: random
datasets:
  titanic: {General/data: data/titanic.csv, target: survived}
  houses:
    data: data/houses.csv
    objective: {metric: validation/rmse, direction: minimize}
objective: {metric: validation/auc, direction: maximize}
sampler: {name: tpe, seed: 1}
budget: {time: 1h}
execution: {prefetch: 2, poll_interval: 1s}
"""
LIST = """\
campaign: listed
project: tests
resources: {one: {}}
studies:
  - {file: a.yaml, resources: [one], weight: 3}
  - {file: b.yaml, resources: [one], dataset: pears, model: b}
"""
STUDY = """\
study: study-{name}
template: {{script: xgb.py}}
search_space: {{depth: {{type: int, low: 2, high: 8}}}}
objective: {{metric: validation/auc, direction: maximize}}
budget: {{trials: 3}}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/titanic.csv").write_text("a,survived\n")
    (tmp_path / "space.yaml").write_text("depth: {type: int, low: 2, high: 10}\nl2: {type: float, low: 0, high: 1}\n")
    for name in ("xgb.py", "cat.py"):
        (tmp_path / name).write_text("print()\n")
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(STUDY.format(name=name))
    return tmp_path


def load(folder, text=CAMPAIGN, *overrides):
    path = folder / "campaign.yaml"
    path.write_text(text)
    return load_campaign(path, overrides)


def fault(folder, old, new, text=CAMPAIGN):
    assert old in text
    with pytest.raises(InputError) as error:
        load(folder, text.replace(old, new))
    return str(error.value).replace(str(folder), "")


def test_every_data_set_with_every_model_in_order(folder):
    file = load(folder)
    assert [member.name for member in file.members] == ["titanic-xgb", "titanic-cat", "houses-xgb", "houses-cat"]
    assert [member.rank for member in file.members] == [0, 0, 1, 1]
    assert file.members[0].resources == ("gpu0", "gpu1") and file.members[0].weight == 2.0
    assert file.datasets == ("titanic", "houses") and file.models == ("xgb", "cat")


def test_constants_of_a_data_set_are_laid_over_the_models_space_and_files_have_whole_paths(folder):
    first, *_, last = load(folder).members
    assert first.file.space.parameters["General/data"] == Constant(str(folder / "data/titanic.csv"))
    assert first.file.space.parameters["General/target"] == Constant("survived")
    assert last.file.space.parameters["General/data"] == Constant("data/houses.csv"), "there is no such file here"
    assert set(last.file.space.distributions) == {"General/depth", "General/l2"}


def test_what_is_nearer_counts(folder):
    titanic_xgb, titanic_cat, houses_xgb, _ = load(folder).members
    assert titanic_xgb.file.goal.objectives[0].metric == "validation/auc"
    assert houses_xgb.file.goal.objectives[0].metric == "validation/rmse"
    assert (titanic_xgb.file.spec.sampler.name, titanic_cat.file.spec.sampler.name) == ("tpe", "random")
    assert titanic_xgb.file.budget.wall_s == 3600
    assert titanic_xgb.file.spec.execution.prefetch == 2
    assert load(folder, CAMPAIGN, "budget.time=20s").members[0].file.budget.wall_s == 20


def test_each_study_sends_the_notifications_of_the_campaign_or_its_models(folder, monkeypatch):
    monkeypatch.setenv("SLACK_URL", "http://127.0.0.1:9/x")
    monkeypatch.delenv("MISSING_URL", raising=False)
    text = CAMPAIGN.replace("    sampler: random\n", "    notify: {slack: {url_env: MISSING_URL}}\n")
    members = load(folder, f"{text}notify: {{slack: {{url_env: SLACK_URL}}, events: failed}}\n").members
    assert [member.file.spec.notify.slack[0].url_env for member in members] == ["SLACK_URL", "MISSING_URL"] * 2
    assert members[0].file.spec.notify.events == {"failed": 0}
    with pytest.raises(InputError, match=r"campaign.yaml:18: notify.slack.url_env: .* no variable MISSING_URL"):
        rehearse_all(member.file for member in members)


def test_the_text_needs_no_other_file(folder):
    file = load(folder)
    templates = {member.name: {"": f"{'0' * 31}{i}"} for i, member in enumerate(file.members)}
    again = parse_campaign(file.text(templates), "again")
    assert [member.name for member in again.members] == [member.name for member in file.members]
    for before, after in zip(file.members, again.members, strict=True):
        assert after.file.spec.template.task
        same = ("search_space", "objective", "budget", "sampler")
        assert {key: before.file.data[key] for key in same} == {key: after.file.data[key] for key in same}


def test_a_kept_campaign_looks_for_no_files_and_a_long_text_is_none(folder, monkeypatch):
    long = ",".join(f"column_{i}" for i in range(60))
    file = load(folder, CAMPAIGN.replace("target: survived", f"target: survived, ignored_columns: '{long}'"))
    assert file.members[0].file.space.parameters["General/ignored_columns"] == Constant(long)
    text = file.text({member.name: {"": "0" * 32} for member in file.members})
    (folder / "survived").touch()
    monkeypatch.chdir(folder)
    again = parse_campaign(text, "again")
    assert again.members[0].file.space.parameters["General/target"] == Constant("survived")


def test_a_study_of_a_list_may_have_any_name(folder):
    (folder / "a.yaml").write_text(STUDY.format(name="a").replace("study-a", "titanic-v1.5"))
    file = load(folder, LIST)
    again = parse_campaign(file.text({"titanic-v1.5": {"": "0" * 32}, "study-b": {"": "1" * 32}}), "again")
    assert [(m.name, m.model) for m in again.members] == [("titanic-v1.5", "titanic-v1.5"), ("study-b", "b")]


def test_a_list_of_studies(folder):
    file = load(folder, LIST)
    assert [(m.name, m.dataset, m.model, m.rank, m.weight) for m in file.members] == [
        ("study-a", "all", "study-a", 0, 3.0),
        ("study-b", "pears", "b", 1, 1.0),
    ]
    again = parse_campaign(file.text({"study-a": {"": "0" * 32}, "study-b": {"": "1" * 32}}), "again")
    assert [(m.name, m.dataset, m.model, m.weight) for m in again.members] == [
        (m.name, m.dataset, m.model, m.weight) for m in file.members
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight: 2", "wieght: 2", "campaign.yaml:13: models.xgb.wieght: unknown key; did you mean 'weight'?"),
        ("weight: 2", "weight: 0", "campaign.yaml:13: models.xgb.weight: found 0; expected more than 0"),
        (
            "[cpu, farm]",
            "[cup, farm]",
            "campaign.yaml:17: models.cat.resources: no resource 'cup'; did you mean 'cpu'?",
        ),
        ("[cpu, farm]", "[cpu, cpu]", "campaign.yaml:17: models.cat.resources: cpu is named twice"),
        ("{gpu: 1}", "{gpu: 0}", "campaign.yaml:5: resources.gpu1.gpu: 0 is the resource gpu0 already"),
        ("{queue: farm}", "{queue: farm, takes: 2}", "campaign.yaml:7: resources.farm: queue stands alone"),
        ("low: 2, high: 8", "low: 2, hihg: 8", "campaign.yaml:11: search_space.General/depth.hihg: unknown key"),
        ("script: cat.py", "script: dog.py", "campaign.yaml:15: template.script: no such file"),
        ("validation/rmse", "rmse", "campaign.yaml:23: objective.metric: 'rmse' is not of the form title/series"),
        ("{time: 1h}", "{tmie: 1h}", "campaign.yaml:26: budget.tmie: unknown key; did you mean 'time'?"),
        ("space.yaml", "spaces.yaml", "campaign.yaml:16: search_space: no such file"),
        ("sampler: random", "sampler: radnom", "campaign.yaml:18: sampler: found 'radnom'; did you mean 'random'?"),
        ("prefetch: 2", "prefetch: -1", "campaign.yaml:27: execution.prefetch: found -1; expected 0 or more"),
        ("objective: {metric: validation/auc, direction: maximize}\n", "", "objective is missing"),
        ("datasets:", "data_sets:", "unknown key; did you mean 'datasets'?"),
        ("  titanic:", "  tita/nic:", "a name has one character or more, and none of / : ."),
    ],
)
def test_mistakes(folder, old, new, said):
    assert said in fault(folder, old, new)


def test_a_fault_of_a_model_is_said_once(folder):
    assert len(fault(folder, "low: 2, high: 8", "low: 9, high: 8").splitlines()) == 1


def test_a_fault_in_another_file_names_that_file(folder):
    (folder / "space.yaml").write_text("depth: {type: int, low: 2, hihg: 10}\n")
    with pytest.raises(InputError, match=r"space\.yaml:1: search_space\.General/depth\.hihg: unknown key"):
        load(folder)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("file: a.yaml", "file: c.yaml", "c.yaml: cannot be read"),
        ("file: b.yaml", "file: a.yaml", "two studies would be called 'study-a'"),
        ("file: a.yaml, ", "", "campaign.yaml:5: studies.0: give one of: file (a study file); study"),
        ("studies:", "datasets: {x: {}}\nstudies:", "give models and datasets, or studies"),
        (
            "dataset: pears, model: b",
            "model: study-a",
            "'study-a' and 'study-b' are both 'study-a' of the data set 'all': give one of them another model",
        ),
    ],
)
def test_mistakes_in_a_list(folder, old, new, said):
    assert said in fault(folder, old, new, LIST)


def test_a_model_may_have_lengths_of_training(folder):
    campaign = load(
        folder,
        CAMPAIGN.replace("    weight: 2\n", "    fidelity: {parameter: iterations, min: 2, max: 18, factor: 3}\n"),
    )
    lengths = {member.file.spec.study: member.file.fidelity for member in campaign.members}
    assert sorted(bool(each) for each in lengths.values()) == [False, False, True, True]
    assert next(filter(None, lengths.values())).lengths == (2, 6, 18)
