"""Options of argparse and jsonargparse: sections ``Args``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from clearml_hpo.drafting.found import Found, kind_of
from clearml_hpo.drafting.signatures import constructor, fields, parameters
from clearml_hpo.drafting.source import Program, Source, keyword

ARGS = "Args/"
_FLAGS = {"store_true": False, "store_false": True}
_NO_VALUE = ("help", "version")
_OF_CLASSES = ("add_class_arguments", "add_dataclass_arguments", "add_function_arguments")
_CLI = ("jsonargparse.CLI", "jsonargparse.auto_cli")
_PARSERS_OF_RECORDS = ("transformers.HfArgumentParser", "transformers.hf_argparser.HfArgumentParser")


def options(program: Program) -> Iterator[Found | str]:
    """Its options, and a line for each that cannot be read."""
    changed = dict(_changed_defaults(program))
    for source in program.sources:
        for call in source.calls:
            for found in _added(program, source, call):
                yield found if isinstance(found, str) else _with_default(found, changed)


def _with_default(found: Found, changed: Mapping[str, Any]) -> Found:
    own = changed.get(found.name.removeprefix(ARGS))
    return found if own is None else replace(found, default=own, is_required=False)


def _added(program: Program, source: Source, call: ast.Call) -> Iterator[Found | str]:
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = source.dotted(call.func)
    if method == "add_argument":
        yield from _option(program, source, call)
    elif method in _OF_CLASSES and call.args:
        yield from _of_class(program, source, call)
    elif name in _CLI:
        yield from _called_by_cli(program, source, call)
    elif name in _PARSERS_OF_RECORDS and call.args:
        records = call.args[0].elts if isinstance(call.args[0], (ast.Tuple, ast.List)) else [call.args[0]]
        for record in records:
            if found := program.class_(source, record):
                yield from fields(program, *found, ARGS)
            else:
                yield f"the fields of {ast.unparse(record)} (line {call.lineno}): its class is not in this folder"
    elif method == "add_subparsers":
        yield f"{source.path.name}:{call.lineno}: the script has subcommands: name the one to run in template.arguments"


def _option(program: Program, source: Source, call: ast.Call) -> Iterator[Found | str]:
    names = program.texts(source, call.args)
    if not names:
        yield f"{source.path.name}:{call.lineno}: options whose names the script computes"
        return
    given = program.given(source, call)
    node = keyword(call, "action")
    action = (source.dotted(node) if node is not None else "") or str(given.get("action") or "")
    if action in _NO_VALUE:
        return
    default, nargs = given.get("default", _FLAGS.get(action)), given.get("nargs")
    is_positional = not names[0].startswith("-")
    flag = "" if is_positional else next((name for name in names if name.startswith("--")), names[0])
    is_list = nargs not in (None, "?") or action == "append"
    choices = given.get("choices")
    yield Found(
        f"{ARGS}{given.get('dest') or (names[0] if is_positional else flag.lstrip('-').replace('-', '_'))}",
        "list" if is_list else _kind(source, keyword(call, "type"), action, default),
        default,
        tuple(choices) if isinstance(choices, (list, tuple)) else (),
        flag=flag,
        is_required=bool(given.get("required", is_positional)) and nargs not in ("?", "*"),
        is_positional=is_positional,
    )


def _kind(source: Source, type_: ast.expr | None, action: str, default: Any) -> str:
    if action in _FLAGS or action.endswith("BooleanOptionalAction"):
        return "bool"
    if action == "count":
        return "int"
    if type_ is None:
        return kind_of(default) or "str"
    named = re.search(r"bool|int|float|str", source.dotted(type_).lower())
    return named[0] if named else kind_of(default)


def _of_class(program: Program, source: Source, call: ast.Call) -> Iterator[Found | str]:
    """``parser.add_class_arguments(Model, "model")``."""
    nested = keyword(call, "nested_key", 1)
    prefix = program.entry(source, nested) if nested is not None else None
    yield from _parameters_of(program, source, call.args[0], f"{ARGS}{prefix}." if prefix else ARGS)


def _called_by_cli(program: Program, source: Source, call: ast.Call) -> Iterator[Found | str]:
    """``jsonargparse.CLI(main)``; without a component, the one function of the script."""
    component = keyword(call, "components", 0)
    if component is not None:
        yield from _parameters_of(program, source, component, ARGS)
    elif len(own := [node for node in source.tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]) == 1:
        yield from _parameters_of(program, source, ast.Name(own[0].name), ARGS)
    else:
        yield f"{source.path.name}:{call.lineno}: the script has subcommands: name the one to run in template.arguments"


def _parameters_of(program: Program, source: Source, node: ast.expr, prefix: str) -> Iterator[Found | str]:
    if function := program.function(source, node):
        yield from parameters(program, *function, prefix)
    elif class_ := program.class_(source, node):
        yield from constructor(program, *class_, prefix)
    else:
        yield f"the parameters of {ast.unparse(node)}: it is not defined in this folder"


def _changed_defaults(program: Program) -> Iterator[tuple[str, Any]]:
    """What ``parser.set_defaults`` says."""
    for source in program.sources:
        for call in source.calls:
            if isinstance(call.func, ast.Attribute) and call.func.attr == "set_defaults":
                for given in call.keywords:
                    if given.arg and (value := program.entry(source, given.value)) is not None:
                        yield given.arg, value
