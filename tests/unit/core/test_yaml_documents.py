"""YAML that a small machine survives, whoever has written it."""

from __future__ import annotations

import json

import pytest

from clearml_hpo.backend.configurations import configuration_entries
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.yaml_documents import DEEPEST, MOST_CHARACTERS, MOST_VALUES, Unfit, load
from clearml_hpo.fleet.install import compose
from clearml_hpo.study_file import load_study

BOMB = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD = {
    "bomb": (BOMB, "100000 values"),
    "merged": (MERGED, "100000 values"),
    "of itself": ("a: &a [*a]\n", "it holds itself"),
    "of itself, deeper": ("a: &a {b: [{c: *a}]}\n", "it holds itself"),
    "deep": ("a: " + "[" * 200 + "]" * 200, "100 levels"),
    "very deep": ("a: " + "[" * 1_000, "100 levels"),
    "deep blocks": ("".join(f"{' ' * i}a:\n" for i in range(300)), "100 levels"),
    "long": (f"a: &a [{'1, ' * 400}]\nb: [{'*a, ' * (MOST_VALUES // 400)}]\n", "100000 values"),
    "large": (f"a: {'x' * MOST_CHARACTERS}", "1048576 characters"),
    "number": (f"a: {'9' * 5_000}", "a number has more than 1000 characters"),
    "hexadecimal": (f"a: 0x{'f' * 5_000}", "a number has more than 1000 characters"),
    "base 60": (f"a: {':'.join('1' * 180)}", "a number has more than 1000 characters"),
    "base 60, float": (f"a: {':'.join('1' * 180)}.5", "a number has more than 1000 characters"),
    "NUL": ('a: "x\\0y"\n', "NUL"),
    "half a pair": ('a: "x\\ud800y"\n', "half of a pair"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_what_is_too_much(text, said, tmp_path):
    with pytest.raises(Unfit, match=said):
        load(text)
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(InputError, match=said):
        load_study(tmp_path / "study.yaml")
    assert configuration_entries({"Model": {"value": text, "type": "yaml"}}) == {}, "what cannot be read holds nothing"
    assert compose.dropped(text, None) == []


def test_what_is_allowed():
    assert load("a: &a [1]\nb: *a\nc: {<<: {d: *a}}\n") == {"a": [1], "b": [1], "c": {"d": [1]}}
    assert load("") is None
    deep = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert load(deep) == json.loads(deep)


def test_an_override_has_the_bounds_of_a_file(tmp_path):
    (tmp_path / "study.yaml").write_text("study: abc\n")
    with pytest.raises(InputError, match=r"--set template.script=.*NUL"):
        load_study(tmp_path / "study.yaml", ['template.script="a\\0b"'])


@pytest.mark.parametrize(
    "text",
    [
        'include "/etc/hostname"',
        "include file('/etc/hostname')",
        'a { include required(file("/etc/hostname")) }',
        'include url("http://127.0.0.1:9/")',
        "[" * 100_000,
        '{"a":' * 500 + "1" + "}" * 500,
    ],
)
def test_a_configuration_object_reads_nothing_else_and_is_not_deep(text):
    assert configuration_entries({"Model": {"value": text, "type": "dictionary"}}) == {}
    included = 'includes = "a text"\ninclude_all = 1'
    assert configuration_entries({"Model": {"value": included, "type": "dictionary"}})["config:Model"].keys() == {
        "includes",
        "include_all",
    }
