"""The study file: what it gives, and what it says of a fault."""

from __future__ import annotations

import pytest

from clearml_hpo.core.errors import Fault, InputError
from clearml_hpo.search.space import Categorical, Constant, Float, Int
from clearml_hpo.study_file import load_study, parse_study
from clearml_hpo.study_file.overrides import overrides_of_dask

STUDY = """\
study: demo-study
template:
  script: train.py
search_space: space.yaml
objective:
  metric: validation/loss
  direction: minimize
sampler: {name: tpe, seed: 7}
pruner:
  name: median
  options: {n_startup_trials: 5}
budget:
  trials: 20
execution:
  queue: default
"""
SPACE = """\
General/depth: {type: int, low: 4, high: 10}
learning_rate: {type: float, low: 1e-3, high: 0.3, log: true}
General/bins: {type: int, low: 32, high: 256, step: 32}
General/kind: {type: categorical, choices: [a, b, null, 3]}
General/iterations: 200
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "train.py").write_text("print(1)\n")

    def write(study=STUDY, space=SPACE):
        (tmp_path / "space.yaml").write_text(space)
        path = tmp_path / "study.yaml"
        path.write_text(study)
        return path

    return write


def fault(path, overrides=()):
    with pytest.raises(InputError) as caught:
        load_study(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_a_sound_file(write):
    path = write()
    file = load_study(path)
    assert file.space.parameters == {
        "General/depth": Int(4, 10),
        "General/learning_rate": Float(0.001, 0.3, log=True),
        "General/bins": Int(32, 256, step=32),
        "General/kind": Categorical(("a", "b", None, 3)),
        "General/iterations": Constant(200),
    }
    assert file.goal.objectives[0].metric == "validation/loss"
    assert file.budget.trials == 20
    assert file.spec.template.script == path.parent / "train.py"
    assert file.spec.sampler.seed == 7


def test_what_the_controller_keeps_can_be_read_again(write, tmp_path):
    file = load_study(write(), ["budget.trials=5"])
    (tmp_path / "again.yaml").write_text(file.text({"": "template-id"}))
    again = load_study(tmp_path / "again.yaml")
    assert again.space == file.space and again.budget.trials == 5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("pruner:", "purner:", "study.yaml:9: purner: unknown key; did you mean 'pruner'?; allowed: study, project"),
        ("name: tpe", "nmae: tpe", "study.yaml:8: sampler.nmae: unknown key; did you mean 'name'?"),
        ("name: tpe", "name: tpee", "study.yaml:8: sampler.name: found 'tpee'; did you mean 'tpe'?; one of: auto"),
        (
            "direction: minimize",
            "direction: min",
            "study.yaml:7: objective.direction: found 'min'; did you mean",
        ),
        ("validation/loss", "loss", "study.yaml:6: objective.metric: 'loss' is not of the form title/series"),
        ("trials: 20", "trials: 0", "study.yaml:13: budget.trials: found 0; expected 1 or more"),
        ("  trials: 20", "  time: 10x", "study.yaml:13: budget.time: '10x' is no duration"),
        ("  trials: 20", "  time: 1:30", "study.yaml:13: budget.time: '1:30' is no duration; write seconds, or 90s"),
        ("  trials: 20", "  time: 1:30.5", "study.yaml:13: budget.time: '1:30.5' is no duration"),
        ("  trials: 20", "  time: true", "study.yaml:13: budget.time: True is no duration"),
        ("  trials: 20", "  time: .inf", "study.yaml:13: budget.time: found inf; expected a finite number"),
        ("  trials: 20", "  trials: 9\n  target: .nan", "study.yaml:14: budget.target: found nan; expected a finite"),
        ("  trials: 20", "  trials: 9\n  target: true", "study.yaml:14: budget.target: expected a number, found true"),
        ("trials: 20", "trials: true", "study.yaml:13: budget.trials: found True; expected a whole number"),
        ("trials: 20", "trials: '20'", "study.yaml:13: budget.trials: found '20'; expected a whole number"),
        ("trials: 20", "trials: 1:30", "study.yaml:13: budget.trials: found '1:30'; expected a whole number"),
        ("seed: 7", "seed: true", "study.yaml:8: sampler.seed: found True; expected a whole number"),
        ("  queue: default", "  concurrency: true", "study.yaml:15: execution.concurrency: found True"),
        ("  queue: default", "  prefetch: true", "study.yaml:15: execution.prefetch: found True"),
        ("  queue: default", "  poll_interval: true", "study.yaml:15: execution.poll_interval: True is no duration"),
        ("  trials: 20", "  time: 0", "study.yaml:13: budget.time: found 0; expected more than 0"),
        ("n_startup_trials", "n_startup", "study.yaml:11: pruner.options: no such name: 'n_startup'; did you mean"),
        ("train.py", "trian.py", "study.yaml:3: template.script: no such file: trian.py; did you mean 'train.py'?"),
        ("train.py", "'~nobody-here/train.py'", "study.yaml:3: template.script: no such file"),
        ("script: train.py", "project: p", "study.yaml:2: template: give one of: script; module; task (an id)"),
        (
            "space.yaml",
            "spaces.yaml",
            "study.yaml:4: search_space: no such file: spaces.yaml; did you mean 'space.yaml'?",
        ),
        ("queue: default", "queue: 5", "study.yaml:15: execution.queue: found 5; expected a name, or a list of names"),
        (
            "  trials: 20",
            "\ttrials: 20",
            "study.yaml:13: not YAML: found character '\\t' that cannot start any token; indent with spaces",
        ),
        ("study: demo-study\n", "", "study.yaml:1: study is missing"),
        ("budget:", "study: x\nbudget:", "study.yaml:12: study: given twice"),
        ("study: demo", "study: [demo", "study.yaml:2: not YAML"),
    ],
)
def test_a_fault_names_line_key_and_what_is_allowed(write, old, new, said):
    assert old in STUDY
    assert said in fault(write(STUDY.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "study.yaml: expected keys and values, found nothing"),
        ("# a\n- 1\n", "study.yaml:2: expected keys and values, found a list"),
        ("train.py", "study.yaml:1: expected keys and values, found a text"),
    ],
)
def test_what_is_no_study_at_all(write, text, said):
    assert fault(write(text)) == said


def test_a_script_in_place_of_a_study_file(write):
    script = write().with_name("train.py")
    assert (
        fault(script)
        == "train.py: a script, where a YAML file is expected; to make one of it: clearml-hpo init train.py"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("low: 4", "low: 40", "space.yaml:1: search_space.General/depth: low 40 is above high 10: the range is empty"),
        ("low: 4", "lo: 4", "space.yaml:1: search_space.General/depth.lo: unknown key; did you mean 'low'?"),
        ("low: 4, ", "", "space.yaml:1: search_space.General/depth: low is missing"),
        ("type: int, low: 4", "type: itn, low: 4", "type is 'itn'; did you mean 'int'?"),
        ("low: 4", "low: 4.5", "space.yaml:1: search_space.General/depth.low: expected a whole number, found 4.5"),
        ("low: 4", "low: four", "expected a number, found 'four'"),
        (
            "low: 1e-3",
            "low: 0",
            "space.yaml:2: search_space.General/learning_rate: low is 0.0; with log it must be above 0",
        ),
        ("log: true", "log: maybe", "space.yaml:2: search_space.General/learning_rate.log: expected true or false"),
        ("low: 4", "low:", "space.yaml:1: search_space.General/depth: low is missing"),
        ("choices: [a, b, null, 3]", "choices:", "space.yaml:4: search_space.General/kind: choices is missing"),
        ("type: float", "type: [float]", "space.yaml:2: search_space.General/learning_rate: type is ['float']"),
        (
            "high: 10}",
            "high: .inf}",
            "space.yaml:1: search_space.General/depth.high: expected a finite number, found inf",
        ),
        ("high: 10}", "high: 1e400}", "space.yaml:1: search_space.General/depth.high: expected a finite number"),
        ("high: 10}", f"high: {10**400}}}", "space.yaml:1: search_space.General/depth.high: expected a finite number"),
        ("high: 0.3", f"high: {10**400}", "expected a finite number"),
        ("low: 1e-3", "low: .nan", "expected a finite number, found nan"),
        ("high: 10}", f"high: {10**22}}}", "space.yaml:1: search_space.General/depth: high 10000000000000000000000 is"),
        ("low: 4", f"low: -{2**53 + 1}", "search_space.General/depth: low -9007199254740993 is outside -2^53 .. 2^53"),
        ("[a, b, null, 3]", "[]", "space.yaml:4: search_space.General/kind: choices is empty"),
        ("[a, b, null, 3]", "[[64, 32]]", "found [64, 32]; a list is written as text, which the script or the SDK"),
        (
            "[a, b, null, 3]",
            "[yes, no, on, off]",
            "space.yaml:4: search_space.General/kind.choices: YAML reads yes, no, on",
        ),
        ("type: float, low", "low", "space.yaml:2: search_space.General/learning_rate: type is missing; one of: int"),
        (
            "type: int, low: 4, high: 10",
            "deep: {type: int, low: 1, high: 3}",
            "a nested name is written with slashes: General/depth/deep",
        ),
        ("type: int, low: 4, high: 10", "min: 4, max: 10", "min, max: keys of W&B; here it is {type: float"),
        (
            "type: categorical, choices",
            "values",
            "values: keys of W&B; here it is {type: categorical, choices: [a, b]}",
        ),
        (
            "type: int, low: 4, high: 10",
            'parameterType: int, feasibleSpace: {min: "4", max: "10"}',
            "parameterType, feasibleSpace: keys of Katib; here it is {type: float",
        ),
    ],
)
def test_a_fault_in_the_space_names_its_own_file(write, old, new, said):
    assert old in SPACE
    assert said in fault(write(space=SPACE.replace(old, new)))


def test_all_faults_are_said_at_once(write):
    said = fault(write(space=SPACE.replace("low: 4", "low: 40").replace("log: true", "lgo: true")))
    assert len(said.splitlines()) == 2


def test_a_space_where_nothing_varies(write):
    assert "nothing varies" in fault(write(space="General/a: 1\n"))


def test_overrides(write):
    file = load_study(
        write(), ["sampler=random", "sampler.seed=3", "search_space.General/depth.high=5", "budget.time=2h"]
    )
    assert file.spec.sampler.name == "random" and file.spec.sampler.seed == 3
    assert file.space.parameters["General/depth"] == Int(4, 5)
    assert file.budget.wall_s == 7200


def test_a_block_left_empty_is_a_block_not_given(write):
    empty = STUDY.replace("  queue: default\n", "  # queue: default\n").replace("{name: tpe, seed: 7}", "")
    empty = empty.replace("  name: median\n", "  name:\n").replace("{n_startup_trials: 5}", "")
    file = load_study(write(empty))
    assert (file.spec.execution.queue, file.spec.sampler.name, file.spec.pruner.name) == (["default"], "auto", "auto")
    file = load_study(write(empty), ["execution.queue=gpu", "sampler.seed=3"])
    assert (file.spec.execution.queue, file.spec.sampler.seed) == (["gpu"], 3)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  trials: 20", "  # trials: 20", "study.yaml:12: budget is missing"),
        ("  trials: 20", "  trials:", "study.yaml:12: budget: give at least one of: trials, time, compute_time"),
        ("search_space: space.yaml", "search_space:", "study.yaml:4: search_space is missing"),
        ("  queue: default", "  qeueu:", "study.yaml:15: execution.qeueu: unknown key; did you mean 'queue'?"),
    ],
)
def test_what_cannot_be_left_empty(write, old, new, said):
    assert old in STUDY
    assert said in fault(write(STUDY.replace(old, new)))


DOTS = """\
x: {type: int, low: 1, high: 3}
General/model.lr: {type: float, low: 0, high: 1}
schedule.step: 3
"""


@pytest.mark.parametrize(
    ("override", "name", "parameter"),
    [
        ("General/x.high=5", "General/x", Int(1, 5)),
        ("x.high=5", "General/x", Int(1, 5)),
        ("x=5", "General/x", Constant(5)),
        ("x={type: int, low: 7, high: 9}", "General/x", Int(7, 9)),
        ("model.lr.high=2", "General/model.lr", Float(0.0, 2.0)),
        ("General/model.lr=0.5", "General/model.lr", Constant(0.5)),
        ("schedule.step=4", "General/schedule.step", Constant(4)),
        ("low=4", "General/low", Constant(4)),
        ("Args/a.b={type: categorical, choices: [p, q]}", "Args/a.b", Categorical(("p", "q"))),
    ],
)
def test_an_override_finds_a_parameter_by_any_of_its_names(write, override, name, parameter):
    file = load_study(write(space=DOTS), [f"search_space.{override}"])
    assert file.space.parameters[name] == parameter
    assert set(file.space.parameters) == {"General/x", "General/model.lr", "General/schedule.step", name}


def test_the_whole_space_may_be_an_override(write):
    file = load_study(write(), ["search_space={x: {type: int, low: 1, high: 3}}", "search_space.x.high=2"])
    assert file.space.parameters == {"General/x": Int(1, 2)}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("x.hihg=5", "--set search_space.x.hihg=5: search_space.General/x.hihg: unknown key; did you mean 'high'?"),
        ("schedule.step.low=5", "--set search_space.schedule.step.low=5: General/schedule.step holds a value, not"),
        ("x={type: int, low: 1}", "--set search_space.x={type: int, low: 1}: search_space.General/x: high is missing"),
        ("x={1: 2}", "--set search_space.x={1: 2}: search_space.General/x.1: this name is no text to YAML"),
        ("x..high=5", "expected key=value"),
        ("x=[", "--set search_space.x=[: not YAML"),
    ],
)
def test_a_wrong_override_of_a_parameter_is_named(write, override, said):
    assert said in fault(write(space=DOTS), [f"search_space.{override}"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("General/x: 1", "space.yaml:4: search_space.General/x: given twice: x is short for General/x"),
        ("model.lr: 1", "space.yaml:4: search_space.model.lr: given twice: model.lr is short for General/model.lr"),
        ("x: 1", "space.yaml:4: x: given twice"),
        ("3: 1", "space.yaml:4: 3: this name is no text to YAML; put it in quotes: '3'"),
        ("on: 1", "space.yaml:4: on: this name is no text to YAML; put it in quotes: 'on'"),
        ("~: 1", "space.yaml:4: ~: this name is no text to YAML"),
        ("? [a]\n: 1", "space.yaml:4: a key is text"),
        ("y: 2000-13-01", "space.yaml: not YAML: month must be in 1..12"),
    ],
)
def test_names_that_the_space_cannot_have(write, line, said):
    assert said in fault(write(space=f"{DOTS}{line}\n"))


def test_a_fault_found_later_names_the_line_of_a_short_name(write):
    file = load_study(write(space=DOTS))
    assert "space.yaml:2: search_space.General/model.lr: no" in file.explain(
        [Fault(("search_space", "General/model.lr"), "no")]
    )


def test_an_override_reaches_only_what_it_names(write):
    space = "General/a: &range {type: int, low: 1, high: 3}\nGeneral/b: *range\n"
    file = load_study(write(space=space), ["search_space.General/a.high=5"])
    assert file.space.parameters == {"General/a": Int(1, 5), "General/b": Int(1, 3)}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("budget.trials=five", "--set budget.trials=five: budget.trials: found 'five'"),
        ("budget.trails=5", "--set budget.trails=5: budget.trails: unknown key; did you mean 'trials'?"),
        ("budget", "--set budget: expected key=value"),
        ("budget.time=1:30", "--set budget.time=1:30: budget.time: '1:30' is no duration"),
        ("budget.trials=yes", "--set budget.trials=yes: budget.trials: found True"),
        ("study.name.x=1", "study holds a value"),
    ],
)
def test_a_wrong_override_is_named(write, override, said):
    assert said in fault(write(), [override])


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1d", 86400)])
def test_durations(write, text, seconds):
    assert load_study(write(), [f"budget.time={text}"]).budget.wall_s == seconds


def test_a_file_that_is_not_there(tmp_path):
    assert "cannot be read" in fault(tmp_path / "none.yaml")


def test_a_trial_is_looked_at_before_it_may_be_lost(write):
    assert "failures.lost_after: 5 s is too short: with a poll_interval of 2 s at least 6 s" in fault(
        write(STUDY + "failures: {lost_after: 5s}\n")
    )


def test_pilots(write):
    def pilots(text):
        return load_study(write(STUDY.replace("  queue: default\n", f"  queue: default\n  pilots: {text}\n"))).spec

    short = pilots("4").execution.pilots
    assert (short.count, short.idle_timeout, short.per_gpu) == (4, 300.0, 1)
    long = pilots("{count: 2, idle_timeout: 2m, cpu: 3}")
    assert (long.execution.pilots.idle_timeout, long.execution.pilots.cpu) == (120.0, 3)


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ("pilots: 0", "execution.pilots: found 0; expected 1 or more"),
        ("pilots: many", "execution.pilots: found 'many'"),
        ("pilots: {cuont: 4}", "execution.pilots.cuont: unknown key; did you mean 'count'?"),
        ("pilots: 4\n  executor: local", "pilots: they wait in a queue for agents; executor: local has none"),
        ("pilots: 4\n  concurrency: {default: 2}", "pilots: all trials go to them; give one queue, for the pilots"),
        ("pilots: 4\n  placement: [{when: {kind: a}, queue: slow}]", "pilots: all trials go to them; give one queue"),
    ],
)
def test_pilots_that_cannot_be(write, execution, said):
    assert said in fault(write(STUDY.replace("  queue: default\n", f"  queue: default\n  {execution}\n")))


def dask_of(write, text):
    return write(STUDY.replace("  queue: default\n", f"  executor: dask\n  {text}\n"))


def test_dask(write):
    given = load_study(dask_of(write, "dask: {cluster: local}")).spec.execution.dask
    assert (given.cluster.kind, given.resources) == ("local", {})
    slurm = "dask: {cluster: {class: slurm, options: {cores: 4}}, adapt: {maximum: 3}, resources: {GPU: 1}}"
    given = load_study(dask_of(write, slurm)).spec.execution.dask
    assert (given.cluster.options, given.adapt.minimum, given.adapt.maximum) == ({"cores": 4}, 0, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queue: default", "executor: dask: give dask: {address: tcp://host:8786}, or {cluster: local}"),
        ("dask: {}", "execution.dask: give one of address"),
        ("dask: {scale: 2}", "give one of address (tcp://host:8786), scheduler_file and cluster"),
        ("dask: {address: 'tcp://a:1', cluster: local}", "give one of address"),
        ("dask: {address: a}", "address: 'a' is no address of a Dask scheduler, such as tcp://node-1:8786"),
        ("dask: {address: 'http://a:1'}", "is no address of a Dask scheduler"),
        ("dask: {address: 'tls://a:1'}", "an address that begins with tls:// needs the files of TLS"),
        ("dask: {cluster: {class: local, adapt: {maximum: 3}}}", "adapt stands beside cluster, not in it"),
        ("dask: {cluster: {class: local, options: {bogus: 1}}}", "class local has one, dashboard (127.0.0.1:8787)"),
        ("dask: {cluster: {clas: local}}", "unknown key; did you mean 'class'?; allowed: class, options"),
        (
            "dask: {address: 'tcp://a:1', scale: 2}",
            "scale and adapt are for a cluster that the study starts; give cluster",
        ),
        ("dask: {cluster: slurm}", "scale: how many workers (jobs of a batch system)?"),
        ("dask: {cluster: local, scale: 2, adapt: {maximum: 3}}", "give scale or adapt"),
        ("dask: {cluster: local, adapt: {minimum: 4, maximum: 3}}", "minimum 4 is above maximum 3"),
        (
            "dask: {cluster: slrum, scale: 1}",
            "no class such as pkg.Cluster; did you mean 'slurm'?",
        ),
        ("dask: {address: 'tcp://a:1', resources: {GPU: 0}}", "execution.dask.resources.GPU: found 0"),
        ("dask: {address: 'tcp://a:1', resources: {GPU: one}}", "execution.dask.resources.GPU: found 'one'"),
        ("dask: {address: 'tls://a:1', tls: {ca: x}}", "execution.dask.tls.cert is missing"),
        ("dask: {address: 'tcp://a:1'}\n  concurrency: {gpu: 1}", "concurrency: with executor: dask one number"),
        (
            "dask: {address: 'tcp://a:1'}\n  placement: [{when: {kind: a}, queue: gpu}]",
            "rules have resources, such as {GPU: 1}",
        ),
        (
            "dask: {address: 'tcp://a:1'}\n  placement: [{when: {kind: a}}]",
            "give queue, or with executor: dask resources",
        ),
        (
            "dask: {address: 'tcp://a:1'}\n  pilots: 4",
            "pilots: they wait in a queue for agents; executor: dask has none",
        ),
    ],
)
def test_dask_that_cannot_be(write, text, said):
    assert said in fault(dask_of(write, text))


def test_resources_are_for_dask_alone(write):
    rule = "placement: [{when: {kind: a}, resources: {GPU: 1}}]"
    assert "are for executor: dask" in fault(write(STUDY.replace("queue: default", rule)))


@pytest.mark.parametrize(
    ("given", "address", "kind", "scale"),
    [
        ({"address": "tcp://b:1", "cluster": None}, "tcp://b:1", None, None),
        ({"address": None, "cluster": "local"}, None, "local", 3),
    ],
)
def test_options_take_the_place_of_the_cluster_of_the_file(write, given, address, kind, scale):
    path = dask_of(write, "dask: {cluster: {class: slurm}, scale: 3, resources: {GPU: 1}}")
    dask = load_study(path, overrides_of_dask(**given)).spec.execution.dask
    assert (dask.address, dask.cluster and dask.cluster.kind, dask.scale) == (address, kind, scale)
    assert dask.resources == {"GPU": 1}


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        (
            "placement: [{when: {dpeth: 4}, queue: slow}]",
            "General/dpeth: no such parameter; did you mean 'General/depth'?",
        ),
        ("placement: [{when: {kind: [a, x]}, queue: slow}]", "General/kind: found 'x'; General/kind is categorical"),
        ("concurrency: {defualt: 3}", "concurrency.defualt: no trial goes to this queue; did you mean 'default'?"),
    ],
)
def test_a_rule_that_no_trial_fits_is_a_fault(write, execution, said):
    assert said in fault(write(STUDY.replace("  queue: default\n", f"  queue: default\n  {execution}\n")))


ARGS = """\
Args/lr: {type: float, low: 0.1, high: 1}
Args/kind: {type: categorical, choices: [a, b]}
config:A/momentum: {type: float, low: 0, high: 1, when: {kind: a}}
config:B/momentum: {type: float, low: 0, high: 1}
"""


def test_a_bare_name_stands_for_the_one_parameter_that_ends_so(write):
    placed = "  queue: default\n  placement: [{when: {kind: a}, queue: slow}]\n"
    path = write(STUDY.replace("  queue: default\n", placed) + "enqueue: [{lr: 0.5, kind: b}]\n", ARGS)
    file = load_study(path)
    assert file.first == ({"Args/lr": 0.5, "Args/kind": "b"},)
    assert file.space.conditions["config:A/momentum"] == {"Args/kind": ("a",)}
    assert file.spec.execution.placement[0].when == {"Args/kind": ["a"]}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("momentum", "did you mean 'config:A/momentum' or 'config:B/momentum'?"),
        ("lrr", "did you mean 'Args/lr'?"),
        ("other", "varies; there are: Args/lr, Args/kind"),
    ],
)
def test_a_bare_name_that_is_not_the_only_one_is_a_fault(write, name, said):
    path = write(f"{STUDY}enqueue: [{{{name}: 0.5}}]\n", ARGS)
    assert f"enqueue.0.{name}: no parameter that varies" in fault(path) and said in fault(path)


@pytest.mark.parametrize("given", ["kidn", "kinds"])
def test_a_misspelt_condition_names_the_parameter_that_is_meant(write, given):
    assert "did you mean 'Args/kind'?" in fault(write(space=ARGS.replace("when: {kind", f"when: {{{given}")))


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("loss", "did you mean 'train/loss' or 'validation/loss'?"),
        ("val_loss", "did you mean 'validation/loss'?"),
        ("best", "did you mean 'Summary/best'?"),
        ("auc", "a tag 'auc' of TensorBoard is auc/auc, a single value Summary/auc"),
    ],
)
def test_a_metric_without_its_title_is_answered_with_what_the_script_reports(tmp_path, metric, said):
    (tmp_path / "train.py").write_text(
        "log.report_scalar('train', 'loss', 1, 0)\nlog.report_scalar('validation', 'loss', 1, 0)\n"
        "log.report_single_value('best', 1)\n"
    )
    (tmp_path / "study.yaml").write_text(
        "study: abc\ntemplate: {script: train.py}\nsearch_space: {x: {type: int, low: 1, high: 2}}\n"
        f"objective: {{metric: {metric}, direction: minimize}}\nbudget: {{trials: 3}}\n"
    )
    with pytest.raises(InputError) as caught:
        load_study(tmp_path / "study.yaml")
    (line,) = str(caught.value).splitlines()
    assert line.endswith(said) and "study.yaml:4: objective.metric: " in line


# --- until: flat -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "share"), [("flat", 0.01), ("{flat: 0.02}", 0.02), ("{}", 0.01), ("null", None)])
def test_until_flat(write, given, share):
    assert load_study(write(STUDY.replace("  trials: 20", f"  trials: 20\n  until: {given}"))).budget.flat == share


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  trials: 20",
            "  trials: 20\n  until: even",
            "study.yaml:14: budget.until: found 'even'; allowed: flat, or {flat",
        ),
        ("  trials: 20", "  trials: 20\n  until: {flat: 2}", "study.yaml:14: budget.until.flat: "),
        ("  trials: 20", "  until: flat", "give at least one of: trials"),
        (
            "objective:\n  metric: validation/loss\n  direction: minimize\n",
            "objective: [{metric: a/b, direction: minimize}, {metric: c/d, direction: minimize}]\n",
            "budget.until: only with one objective, found 2",
        ),
    ],
)
def test_until_flat_that_cannot_be(write, old, new, said):
    text = STUDY.replace(old, new).replace("pruner:\n  name: median\n  options: {n_startup_trials: 5}\n", "")
    text = text if "until" in new else text.replace("  trials: 20", "  trials: 20\n  until: flat")
    assert said.replace(":14:", ":11:") in fault(write(text))


def test_min_gain_is_of_no_improvement(write):
    path = write(STUDY.replace("  trials: 20", "  no_improvement: {trials: 9, min_gain: 0.02}"))
    assert (load_study(path).budget.stale_trials, load_study(path).budget.min_gain) == (9, 0.02)
    assert "give trials, time, or both" in fault(
        write(STUDY.replace("  trials: 20", "  no_improvement: {min_gain: 0.1}"))
    )


# --- warm_start ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "autos"),
    [("auto", [3]), ("{auto: 5}", [5]), ("[auto, {study: 3f9c2a}]", [3, None]), ("{study: 3f9c2a}", [None])],
)
def test_sources_of_a_warm_start(write, given, autos):
    file = load_study(write(f"{STUDY}warm_start: {given}\n"))
    assert [source.auto for source in file.spec.warm_start] == autos


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{auto: 5, study: 3f9c2a}", "auto stands alone; give other sources beside it, in a list"),
        ("{auto: 0}", "warm_start.auto: found 0; expected 1 or more"),
        ("{}", "give study (an id), tasks (a list of ids), or storage and study"),
    ],
)
def test_sources_that_make_no_sense(write, given, said):
    assert said in fault(write(f"{STUDY}warm_start: {given}\n"))


def test_found_points_take_the_place_of_auto(write):
    file = load_study(write(f"{STUDY}enqueue: [{{depth: 5}}]\nwarm_start: [auto, {{study: 3f9c2a}}]\n"))
    more = file.with_first([{"General/depth": 7}])
    assert more.first == ({"General/depth": 5}, {"General/depth": 7})
    again = parse_study(more.text({"": "0" * 32}), "study")
    assert again.first == more.first and [source.study for source in again.spec.warm_start] == ["3f9c2a"]
    assert file.first == ({"General/depth": 5},), "the file itself is as it was"


def test_a_study_to_repeat_is_named_once(write):
    file = load_study(write(f"{STUDY}warm_start: [auto, {{study: 3f9c2a, if_repeated: true}}]\n"))
    more = file.with_first([], ["3f9c2a", "0a1b2c"]).with_first([], ["0a1b2c"])
    assert [source.study for source in more.spec.warm_start] == ["3f9c2a", "0a1b2c"]
