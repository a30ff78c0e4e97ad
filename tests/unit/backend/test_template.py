"""What can be said of a template without a server."""

from __future__ import annotations

from clearml_hpo.backend.template import Template, faults_of_objectives, faults_of_space
from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.search.space import Categorical, Constant, Float, Int, SearchSpace


def template():
    types = {"depth": "int", "lr": "float", "kind": "str", "flag": "bool"}
    entries = {n: {"section": "General", "name": n, "value": "1", "type": kind} for n, kind in types.items()}
    return Template("id", "train", "project", {"General": entries})


def faults(**parameters):
    space = SearchSpace({f"General/{name}": p for name, p in parameters.items()})
    return [fault.text for fault in faults_of_space(template(), space)]


def test_a_space_that_fits():
    assert faults(depth=Int(1, 3), lr=Float(0, 1), kind=Categorical(("a", "b")), flag=Constant(True)) == []
    assert faults(lr=Int(1, 3)) == [], "whole numbers are floats too"


def test_what_does_not_fit_is_said_with_the_nearest_name():
    assert "did you mean 'General/depth'" in faults(deph=Int(1, 3))[0]
    assert "it has: General/depth, General/flag" in faults(momentum=Int(1, 3))[0]
    assert "value is an int; found float 0 .. 1" in faults(depth=Float(0, 1))[0]
    assert "value is a str" in faults(kind=Int(0, 1))[0]


def test_what_hydra_has_composed_are_the_templates_own_values():
    composed = {"OmegaConf": {"name": "OmegaConf", "type": "OmegaConf YAML", "value": "opt: {lr: 0.01, name: null}"}}
    overrides = {"opt.lr": {"section": "Hydra", "name": "opt.lr", "value": "0.02"}}
    plain, overridden = (Template("id", "t", "p", {"Hydra": given}, composed) for given in ({}, overrides))
    assert plain.is_registered
    assert plain.params["Hydra/opt.lr"] == "0.01" and overridden.params["Hydra/opt.lr"] == "0.02"
    space = SearchSpace(
        {"Hydra/opt.lr": Float(0, 1), "Hydra/opt.name": Categorical((None, "adam")), "Hydra/x": Int(1, 2)}
    )
    assert faults_of_space(plain, space) == []
    assert space.parse(space.named(plain.params, "")) == {"Hydra/opt.lr": 0.01, "Hydra/opt.name": None}


def test_configuration_objects_alone_are_enough_to_vary():
    model = {"Model": {"name": "Model", "type": "dictionary", "value": "depth = 3"}}
    assert Template("id", "t", "p", {}, model).is_registered
    assert not Template("id", "t", "p", {"properties": {"a": {"name": "a", "value": "b"}}}).is_registered


def test_an_objective_that_was_never_reported():
    def faults_of(reported, *metrics, constraints=()):
        return faults_of_objectives(reported, Goal(tuple(Objective(*metric) for metric in metrics), constraints))

    reported = {"validation/loss", "train/loss"}
    assert faults_of(reported, ("validation", "loss")) == []
    (fault,) = faults_of(reported, ("validation", "los"))
    assert str(fault) == "objective.metric: 'validation/los' was never reported; did you mean 'validation/loss'?"
    assert "reported: nothing" in str(faults_of([], ("a", "b"))[0])
    bounds = (MetricConstraint("perf", "latency", high=20.0),)
    second, third = faults_of(reported, ("validation", "loss"), ("a", "b"), constraints=bounds)[::-1]
    assert (second.key, third.key) == (("objective",), ("metric_constraints",))
