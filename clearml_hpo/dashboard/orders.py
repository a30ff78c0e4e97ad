"""What a user can have done to a study from its page. Each order says what happened, for the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clearml_hpo.core.errors import InputError
from clearml_hpo.studies.study import Study
from clearml_hpo.study_file.source_lines import SourceLine, parse_yaml

Form = Mapping[str, str]
_MOST_DIGITS = 15  # Python reads no number of thousands of digits, databases none of more than 18
_ASKED = "The controller was asked; it takes some 15 s."


def obey(study: Study, order: str, form: Form) -> str:
    """Does what a form asks for; returns what is to be told.

    Raises:
        InputError: the form is not sound, or the study is not in a state for it.
        KeyError: there is no such order.
    """
    return _ORDERS[order](study, form)


def _stop(study: Study, form: Form) -> str:
    was_asked = study.stop(drain=form.get("drain") == "yes")
    return _ASKED if was_asked else "The study is stopped. `clearml-hpo resume` goes on with it."


def _retry(study: Study, form: Form) -> str:
    retried = study.retry(numbers(form.get("trials", ""))) if form.get("trials") else study.retry()
    if not retried.trials:
        return "No trial ended without a value."
    when = _ASKED if retried.is_driven else "They run when the study is resumed."
    return f"{len(retried.trials)} trials run once more. {when}"


def _prune(study: Study, form: Form) -> str:
    return _told(study.end_trials(numbers(form.get("trials", "")), "prune"), "Pruned.")


def _abort(study: Study, form: Form) -> str:
    return _told(study.end_trials(numbers(form.get("trials", "")), "abort"), "Aborted.")


def _try(study: Study, form: Form) -> str:
    given = {name.removeprefix("param."): text.strip() for name, text in form.items() if name.startswith("param.")}
    params = {name: _value(name, text) for name, text in given.items() if text}
    if not params:
        raise InputError("no parameter has a value: fill in at least one")
    return _told(study.enqueue(params), "The point is tried when the study is resumed.")


def _extend(study: Study, form: Form) -> str:
    given = {name: form[name].strip() for name in ("trials", "time") if form.get(name, "").strip()}
    if not given:
        raise InputError("no budget was given: fill in trials, or time such as 2h")
    trials = given.get("trials")
    if trials is not None and not is_number(trials):
        raise InputError(f"trials: {trials!r} is no number of trials")
    budget = {**given, **({"trials": int(trials)} if trials is not None else {})}
    return _told(study.extend(**budget), "The budget is larger. `clearml-hpo resume` goes on with the study.")


def _narrow(study: Study, form: Form) -> str:
    limits: dict[str, Any] = {key: _value(key, text) for key in ("low", "high") if (text := form.get(key, "").strip())}
    if text := form.get("choices", "").strip():
        limits["choices"] = [_value("choices", each.strip()) for each in text.split(",")]
    was_asked = study.narrow(form.get("name", ""), **limits)
    return _told(was_asked, "The range counts from now on." if limits else "All of the range is open again.")


def _keep(study: Study, form: Form) -> str:
    top = form.get("top", "").strip()
    if not is_number(top) or not int(top):
        raise InputError(f"best trials to keep: {top!r} is no number of trials")
    return str(study.keep_top(study.keep_plan(int(top))))


def _delete(study: Study, form: Form) -> str:
    if form.get("name", "") != study.name:
        raise InputError(f"to delete the study, type its name: {study.name}")
    if study.is_driven():
        raise InputError("a controller drives the study: stop it first")
    notes: list[str] = []
    is_gone = study.remove(study.removal(), notes.append)
    return "The study is deleted." if is_gone else "; ".join(["Not all could be deleted; try again", *notes])


def _told(was_asked: bool, done: str) -> str:
    return _ASKED if was_asked else done


def _value(name: str, text: str) -> Any:
    """A value as in a study file: a number, True, or a text."""
    return parse_yaml(text, lambda _: SourceLine(f"{name}={text}"))[0]


def is_number(text: str) -> bool:
    """True if the text is a whole number, not below zero, of at most 15 digits."""
    return text.isdecimal() and len(text) <= _MOST_DIGITS


def numbers(text: str) -> list[int]:
    """Numbers of trials, with commas or spaces between them.

    Raises:
        InputError: there are none, or something else.
    """
    words = text.replace(",", " ").split()
    if not words:
        raise InputError("no trial is chosen")
    if wrong := [word for word in words if not is_number(word)]:
        raise InputError(f"trials: {wrong[0]!r:.40} is no number of a trial")
    return [int(word) for word in words]


_ORDERS: Mapping[str, Callable[[Study, Form], str]] = {
    "stop": _stop,
    "retry": _retry,
    "prune": _prune,
    "abort": _abort,
    "try": _try,
    "extend": _extend,
    "narrow": _narrow,
    "keep": _keep,
    "delete": _delete,
}
