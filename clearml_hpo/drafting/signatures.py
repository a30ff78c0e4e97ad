"""Parameters of functions and fields of classes, with their types, defaults and choices."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from clearml_hpo.core import syntax
from clearml_hpo.drafting.found import Found, kind_of
from clearml_hpo.drafting.source import Program, Source, Unreadable, is_enum, keyword

_KINDS = {
    **{name: name for name in ("int", "float", "bool", "str", "list")},
    **dict.fromkeys(("List", "Tuple", "tuple", "Sequence", "typing.List", "typing.Tuple", "set"), "list"),
    **{"PositiveInt": "int", "NonNegativeInt": "int", "PositiveFloat": "float", "NonNegativeFloat": "float"},
}
_OPTIONS = ("Option", "Argument")  # Typer's
_FIELDS = ("dataclasses.field", "field", "pydantic.Field", "Field")
_DEEPEST = 5


def parameters(program: Program, source: Source, function: ast.AST, prefix: str) -> Iterator[Found]:
    """The parameters of a function; those of a class as type are ``<parameter>.<field>``."""
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    for argument, default in [
        *zip(positional, defaults, strict=True),
        *zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ]:
        if argument.arg not in ("self", "cls", "ctx"):
            yield from declared(program, source, prefix, argument.arg, argument.annotation, default)


def fields(program: Program, source: Source, definition: ast.ClassDef, prefix: str, depth: int = 0) -> Iterator[Found]:
    """The fields of a dataclass or pydantic model, those of its bases first; inner ones are ``<field>.<name>``."""
    for base in definition.bases:
        if (found := program.class_(source, base)) and depth < _DEEPEST:
            yield from fields(program, *found, prefix, depth + 1)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not _is_of_class(node):
            yield from declared(program, source, prefix, node.target.id, node.annotation, node.value, depth)


def constructor(program: Program, source: Source, definition: ast.ClassDef, prefix: str) -> Iterator[Found]:
    """What a class is made with: the parameters of its ``__init__``, or its fields."""
    init = next((n for n in definition.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    yield from parameters(program, source, init, prefix) if init else fields(program, source, definition, prefix)


def declared(
    program: Program,
    source: Source,
    prefix: str,
    name: str,
    annotation: ast.expr | None,
    default: ast.expr | None,
    depth: int = 0,
) -> Iterator[Found]:
    """A name with its annotation and its default."""
    inner = program.class_(source, annotation) if annotation is not None else None
    if inner is not None and depth < _DEEPEST and is_record(inner[1]):
        yield from fields(program, *inner, f"{prefix}{name}.", depth + 1)
        return
    kind, choices = annotated(program, source, annotation)
    low, high, options = None, None, ""
    call = _option_of(source, annotation, default)
    if call is not None:
        low, high = (_number(program, source, keyword(call, key)) for key in ("min", "max"))
        texts = (str(a.value) for a in call.args if isinstance(a, ast.Constant))
        options = next((text for text in texts if text.startswith("-")), "")
        own = keyword(call, "default", 0)
        default = own if default is call else default
    value, is_known = _default(program, source, default)
    yield Found(
        f"{prefix}{name}",
        kind or kind_of(value),
        value,
        choices,
        low,
        high,
        flag=options or f"--{name}",
        is_required=default is None or not is_known,
    )


def annotated(program: Program, source: Source, annotation: ast.expr | None) -> tuple[str, tuple[Any, ...]]:
    """The kind that an annotation names, and the choices of ``Literal`` or of an Enum."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):  # "int | None"
        try:
            annotation = syntax.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return "", ()
    if isinstance(annotation, ast.BinOp):  # int | None
        sides = (annotated(program, source, side) for side in (annotation.left, annotation.right))
        return next((found for found in sides if found[0]), ("", ()))
    if isinstance(annotation, ast.Subscript):
        outer = source.dotted(annotation.value).rpartition(".")[2]
        inner = annotation.slice.elts[0] if isinstance(annotation.slice, ast.Tuple) else annotation.slice
        if outer == "Literal":
            return _choices(program, source, annotation.slice)
        return (
            annotated(program, source, inner)
            if outer in ("Optional", "Annotated", "Union")
            else (_KINDS.get(outer, ""), ())
        )
    if annotation is not None and (found := program.class_(source, annotation)) and is_enum(found[1]):
        return "str", tuple(_members(program, *found))
    return _KINDS.get(source.dotted(annotation).rpartition(".")[2], "") if annotation is not None else "", ()


def is_record(definition: ast.ClassDef) -> bool:
    """True if the class is a dataclass or a pydantic model: its fields are what it is made with."""
    names = [ast.unparse(node) for node in (*definition.decorator_list, *definition.bases)]
    return any("dataclass" in name or "BaseModel" in name or name.endswith("define") for name in names)


def _choices(program: Program, source: Source, node: ast.expr) -> tuple[str, tuple[Any, ...]]:
    items = node.elts if isinstance(node, ast.Tuple) else [node]
    try:
        values = tuple(program.value(source, item) for item in items)
    except Unreadable:
        return "", ()
    return kind_of(values[0]), values


def _members(program: Program, source: Source, definition: ast.ClassDef) -> Iterator[Any]:
    for node in definition.body:
        if isinstance(node, ast.Assign):
            value = program.entry(source, node.value)
            if value is not None:
                yield value


def _is_of_class(node: ast.AnnAssign) -> bool:
    return "ClassVar" in ast.unparse(node.annotation)


def _option_of(source: Source, annotation: ast.expr | None, default: ast.expr | None) -> ast.Call | None:
    """``typer.Option(...)``, as default or in ``Annotated``."""
    inner = (
        annotation.slice.elts
        if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple)
        else []
    )
    for node in (default, *inner):
        if isinstance(node, ast.Call) and source.dotted(node.func).rpartition(".")[2] in _OPTIONS:
            return node
    return None


def _default(program: Program, source: Source, node: ast.expr | None) -> tuple[Any, bool]:
    """The value of a default, and True if there is one."""
    if isinstance(node, ast.Call) and source.dotted(node.func) in _FIELDS:
        inner = keyword(node, "default", 0)
        factory = keyword(node, "default_factory")
        if isinstance(factory, ast.Lambda):
            inner = factory.body
        elif factory is not None:
            return None, True
        return _default(program, source, inner)
    if node is None:
        return None, False
    if isinstance(node, ast.Constant) and node.value is ...:
        return None, False
    return program.entry(source, node), True


def _number(program: Program, source: Source, node: ast.expr | None) -> float | None:
    value = program.entry(source, node) if node is not None else None
    return value if isinstance(value, (int, float)) else None
