"""Options of click, and parameters of functions that Fire and Typer call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from clearml_hpo.drafting.arguments import ARGS
from clearml_hpo.drafting.found import Found, kind_of
from clearml_hpo.drafting.signatures import constructor, parameters
from clearml_hpo.drafting.source import Program, Source, keyword

_KINDS = {"int": "int", "INT": "int", "float": "float", "FLOAT": "float", "bool": "bool", "BOOL": "bool", "str": "str"}
_RANGES = {"IntRange": "int", "FloatRange": "float"}
_SUBCOMMANDS = "{}:{}: the script has subcommands: name the one to run in template.arguments"


def click_options(program: Program) -> Iterator[Found | str]:
    """Options and arguments of click's commands; of several commands, each name begins with the command's."""
    commands = [
        (source, function, decorator)
        for source in program.sources
        for function in source.functions.values()
        for decorator in function.decorator_list
        if source.dotted(decorator).removesuffix("()").rpartition(".")[2] in ("command", "group")
        and "click" in program.libraries
    ]
    for source, function, decorator in commands:
        prefix = ARGS if len(commands) == 1 else f"{ARGS}{_command(program, source, function, decorator)}/"
        for option in function.decorator_list[::-1]:
            if isinstance(option, ast.Call):
                yield from _option(program, source, option, prefix)
    if len(commands) > 1:
        source, function, _ = commands[0]
        yield _SUBCOMMANDS.format(source.path.name, function.lineno)


def _command(program: Program, source: Source, function: ast.AST, decorator: ast.expr) -> str:
    given = keyword(decorator, "name", 0) if isinstance(decorator, ast.Call) else None
    name = program.entry(source, given) if given is not None else None
    return str(name or getattr(function, "name", "").replace("_", "-"))


def _option(program: Program, source: Source, call: ast.Call, prefix: str) -> Iterator[Found | str]:
    what = source.dotted(call.func).rpartition(".")[2]
    if what not in ("option", "argument"):
        return
    names = program.texts(source, call.args)
    if not names:
        yield f"{source.path.name}:{call.lineno}: options whose names the script computes"
        return
    given, is_argument = program.given(source, call), what == "argument"
    flag = max((n.partition("/")[0] for n in names if n.startswith("-")), key=lambda n: n[:2] == "--", default="")
    own = next(filter(str.isidentifier, names), flag.lstrip("-").replace("-", "_").lower())
    is_flag = any("/" in name for name in names) or bool(given.get("is_flag"))
    default = given.get("default")
    kind, choices, low, high = _type(program, source, keyword(call, "type"))
    kind = "list" if "multiple" in given or "nargs" in given else kind or kind_of(default) or "str"
    yield Found(
        f"{prefix}{own.lower() if is_argument else own}",
        "bool" if is_flag else kind,
        False if is_flag and default is None else default,
        choices,
        low,
        high,
        flag=flag,
        is_required=bool(given.get("required", is_argument and "default" not in given)),
        is_positional=is_argument,
    )


def _type(
    program: Program, source: Source, node: ast.expr | None
) -> tuple[str, tuple[Any, ...], float | None, float | None]:
    """Kind, choices and bounds of an option's type."""
    if node is None:
        return "", (), None, None
    if isinstance(node, ast.Call):
        name = source.dotted(node.func).rpartition(".")[2]
        if name == "Choice" and node.args:
            choices = program.entry(source, node.args[0])
            return "str", tuple(choices) if isinstance(choices, (list, tuple)) else (), None, None
        if name in _RANGES:
            bounds = [keyword(node, "min", 0), keyword(node, "max", 1)]
            low, high = (program.entry(source, bound) if bound is not None else None for bound in bounds)
            return _RANGES[name], (), low, high
    return _KINDS.get(source.dotted(node).rpartition(".")[2], ""), (), None, None


def fire_parameters(program: Program) -> Iterator[Found | str]:
    """Parameters of what ``fire.Fire`` is given."""
    for source in program.sources:
        for call in source.calls:
            if source.dotted(call.func) in ("fire.Fire", "fire.core.Fire"):
                yield from _called(program, source, call)


def _called(program: Program, source: Source, call: ast.Call) -> Iterator[Found | str]:
    component = keyword(call, "component", 0)
    if component is not None and (function := program.function(source, component)):
        yield from parameters(program, *function, ARGS)
    elif component is not None and (class_ := program.class_(source, component)):
        yield from constructor(program, *class_, ARGS)
        yield _SUBCOMMANDS.format(source.path.name, call.lineno)
    else:
        yield _SUBCOMMANDS.format(source.path.name, call.lineno)


def typer_parameters(program: Program) -> Iterator[Found | str]:
    """Parameters of the functions that Typer calls."""
    for source in program.sources:
        if not any(name.partition(".")[0] == "typer" for name in source.imports.values()):
            continue
        runs = [call.args[0] for call in source.calls if source.dotted(call.func) == "typer.run" and call.args]
        found = [called for node in runs if (called := program.function(source, node))]
        found += [
            (source, function)
            for function in source.functions.values()
            if any(source.dotted(node).endswith(".command()") for node in function.decorator_list)
        ]
        for home, function in found:
            yield from parameters(program, home, function, ARGS)
        if len(found) > 1:
            yield _SUBCOMMANDS.format(source.path.name, found[0][1].lineno)
