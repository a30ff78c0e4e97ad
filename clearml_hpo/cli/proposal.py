"""A proposed study on a terminal: what was found, and questions about it."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import replace
from typing import Any

import click

from clearml_hpo.drafting.draft import Draft, flow


def print_parameters(draft: Draft) -> None:
    """What was found, in a short table; what a study can vary is numbered."""
    defaults = {found.name: flow(found.default) for found in draft.findings.parameters}
    able = [name for name, one in draft.ranges.items() if one.is_varied]
    rows = [
        (str(at), "*" if name in draft.varied else "", name, defaults[name], _short(draft.ranges[name].definition))
        for at, name in enumerate(able, 1)
    ]
    widths = [max(map(len, column)) for column in zip(("", "", "parameter", "own value", "range"), *rows, strict=True)]
    columns = shutil.get_terminal_size().columns
    fits = sum(widths) + 10 + max((len(draft.ranges[name].why) for name in able), default=0) <= columns
    for row, why in [(("", "", "parameter", "own value", "range"), ""), *zip(rows, able, strict=True)]:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        line = f"{line}  {draft.ranges[why].why}" if why and fits else line
        click.echo(line[:columns].rstrip())
    left = [name.rpartition("/")[2] for name, one in draft.ranges.items() if not one.is_varied]
    if left:
        text = f"* varies by default; not varied: {', '.join(left)}"
        click.echo(textwrap.shorten(text, max(columns, 40), placeholder=" ..."))


def ask_parameters(draft: Draft) -> Draft:
    """Lets the user choose which parameters vary."""
    able = [name for name, one in draft.ranges.items() if one.is_varied]
    marked = ",".join(str(at) for at, name in enumerate(able, 1) if name in draft.varied)
    while able:
        answer = click.prompt("vary (numbers)", default=marked)
        try:
            chosen = [able[int(part) - 1] for part in answer.replace(",", " ").split() if int(part) > 0]
        except (ValueError, IndexError):
            click.echo(f"numbers from 1 to {len(able)}, such as 1,2")
            continue
        return replace(draft, varied=tuple(name for name in draft.ranges if name in chosen))
    return draft


def ask_objective(draft: Draft) -> Draft:
    """Lets the user choose the scalar that counts, and whether less of it is better."""
    metrics = draft.findings.metrics
    if not metrics:
        return draft
    chosen = metrics[0]
    if len(metrics) > 1:
        for at, metric in enumerate(metrics, 1):
            click.echo(f"{at:4}  {metric.name}")
        chosen = metrics[click.prompt("objective", default=1, type=click.IntRange(1, len(metrics))) - 1]
    directions = click.Choice(["minimize", "maximize"])
    direction = click.prompt(f"{chosen.name}:", default=chosen.direction or None, type=directions, prompt_suffix=" ")
    return replace(draft, objective=replace(chosen, direction=direction))


def _short(definition: dict[str, Any]) -> str:
    """A range as a reader wants it: ``0.001 .. 0.1 log``."""
    if definition["type"] == "categorical":
        return " | ".join(str(choice) for choice in definition["choices"])
    return f"{definition['low']:g} .. {definition['high']:g}{' log' if definition.get('log') else ''}"
