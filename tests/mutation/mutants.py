"""Small changes to a module, each of which a test should notice."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from types import CodeType
from typing import Any, Final, NamedTuple

_COMPARED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_CALCULATED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
}
_CALLED: Final = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "lower": "upper",
    "strip": "lstrip",
    "rstrip": "lstrip",
    "startswith": "endswith",
    "endswith": "startswith",
    "partition": "rpartition",
    "rpartition": "partition",
}
# Read by type checkers, or fixed by the grammar.
_FIELDS_LEFT_ALONE: Final = frozenset({"annotation", "returns", "ctx", "op", "ops", "targets", "target", "bases"})
_CALLS_LEFT_ALONE: Final = frozenset({"TypeVar", "cast", "import_module"})
_SWAPPED_IN_VAIN: Final = frozenset({"min", "max", "isinstance", "issubclass", "getattr"})
_NAMES_LEFT_ALONE: Final = frozenset({"__repr__", "__all__", "__slots__"})
_LONGEST_NAME: Final = 90


class Mutant(NamedTuple):
    """
    A module with one change.

    Attributes:
        name: Where it is and what it is, without line numbers: it stays the same while other lines change.
        lines: The lines that run only if what is changed runs; none if that is when the module is imported.
        code: The changed module.

    """

    name: str
    lines: range
    code: CodeType


def mutants(source: str, path: str) -> Iterator[Mutant]:
    """Yield every mutant of the module *source*, which was read from *path*."""
    tree = ast.parse(source)
    seen = Counter[str]()
    for parent, field, index, above in _places(tree, ()):
        child = getattr(parent, field) if index is None else getattr(parent, field)[index]
        shown = _shown(child, above)
        before = _text(shown)
        for new in _statements(child) if isinstance(child, ast.stmt) else _expressions(child, parent, field):
            _put(parent, field, index, new)
            after = _text(new if shown is child else shown)
            name = f"{_qualified_name(above)}: {before} -> {after}"
            seen[name] += 1
            try:
                code = compile(ast.fix_missing_locations(tree), path, "exec")
            except SyntaxError:
                # Such as a nonlocal name that no assignment makes any more.
                continue
            finally:
                _put(parent, field, index, child)
            yield Mutant(name if seen[name] == 1 else f"{name} #{seen[name]}", _lines((*above, child)), code)


def _places(
    node: ast.AST, above: tuple[ast.AST, ...]
) -> Iterator[tuple[ast.AST, str, int | None, tuple[ast.AST, ...]]]:
    """Yield what can be replaced in *node*, which stands within *above*: parent, field, index in it, what is above."""
    above = (*above, node)
    for field, value in ast.iter_fields(node):
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and field not in _FIELDS_LEFT_ALONE and not _is_idle(child):
                if isinstance(child, ast.expr | ast.stmt):
                    yield node, field, index, above
                yield from _places(child, above)


def _is_idle(node: ast.AST) -> bool:
    """Return whether *node* is documentation, wording or typing."""
    match node:
        case ast.Subscript(slice=ast.Tuple()):  # types have several parameters
            return True
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Pass():
            return True
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS_LEFT_ALONE:
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assign(targets=[ast.Name(id="__slots__")]):
            return True
        case ast.FunctionDef(name=name, decorator_list=decorators) if name in _NAMES_LEFT_ALONE or any(
            isinstance(each, ast.Name) and each.id == "overload" for each in decorators
        ):
            return True
    return False


def _expressions(  # noqa: PLR0912 - one kind of node after another
    node: ast.AST, parent: ast.AST, field: str
) -> Iterator[ast.expr]:
    if field == "test" and not isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in ((False,) if isinstance(parent, ast.While) else (True, False)))
    if field == "ifs":
        yield ast.Constant(value=True)
    if field == "iter" and isinstance(parent, ast.For):
        yield ast.Tuple([], ast.Load())
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                yield from (_with(node, ops=[*ops[:at], other(), *ops[at + 1 :]]) for other in _COMPARED[type(op)])
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=ast.And() if isinstance(op, ast.Or) else ast.Or())
            for at in range(len(values)):
                left = [*values[:at], *values[at + 1 :]]
                yield _with(node, values=left) if len(left) > 1 else left[0]
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            yield from (left, right)
        case ast.BinOp(op=op) if type(op) in _CALCULATED:
            yield _with(node, op=_CALCULATED[type(op)]())
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.Constant(value=value):
            yield from (ast.Constant(other) for other in _other_values(value))
        case ast.Slice(lower=lower, upper=upper):
            yield from ([_with(node, lower=None)] if lower else [])
            yield from ([_with(node, upper=None)] if upper else [])
        case ast.Tuple(elts=members) | ast.List(elts=members) | ast.Set(elts=members) if len(members) > 1:
            yield from (_with(node, elts=[*members[:at], *members[at + 1 :]]) for at in range(len(members)))
        case ast.Dict(keys=keys, values=values):
            for at in range(len(keys)):
                yield _with(node, keys=[*keys[:at], *keys[at + 1 :]], values=[*values[:at], *values[at + 1 :]])
        case ast.Call(func=func, args=args, keywords=keywords):
            if len(args) > 1 and not (isinstance(func, ast.Name) and func.id in _SWAPPED_IN_VAIN):
                yield _with(node, args=[args[1], args[0], *args[2:]])
            yield from (_with(node, keywords=[*keywords[:at], *keywords[at + 1 :]]) for at in range(len(keywords)))
            if isinstance(func, ast.Name) and func.id in _CALLED:
                yield _with(node, func=_with(func, id=_CALLED[func.id]))
            if isinstance(func, ast.Attribute) and func.attr in _CALLED:
                yield _with(node, func=_with(func, attr=_CALLED[func.attr]))
                yield func.value


def _other_values(value: object) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (other for other in (value + 1, value - 1) if other != value)
    elif isinstance(value, str) and " " not in value:  # several words are for people
        yield value + "XX"
    elif isinstance(value, bytes):
        yield value + b"X"


def _statements(node: ast.stmt) -> Iterator[ast.stmt]:
    match node:
        case ast.Expr() | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete() | ast.Return(value=None):
            yield ast.Pass()
        case ast.Return(value=value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(value=None)
        case ast.Assign(targets=[target]) if not isinstance(target, ast.Name):
            yield ast.Pass()
        case ast.AnnAssign(annotation=ast.Subscript() | ast.Name(id="bool" | "float" | "int" | "str")) if node.value:
            yield from [ast.Pass()] if isinstance(node.target, ast.Attribute) else []
        case ast.AugAssign(op=op):
            yield ast.Pass()
            yield from ([_with(node, op=_CALCULATED[type(op)]())] if type(op) in _CALCULATED else [])
        case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
            for at, item in enumerate(items):
                if item.optional_vars is None:
                    left = [*items[:at], *items[at + 1 :]]
                    yield _with(node, items=left) if left else ast.If(ast.Constant(value=True), body, [])
        case ast.Try(handlers=handlers, finalbody=final):
            for at in range(len(handlers)):
                rest = [*handlers[:at], *handlers[at + 1 :]]
                yield _with(node, handlers=rest, orelse=node.orelse if rest else [], finalbody=final or [ast.Pass()])
        case ast.FunctionDef(decorator_list=decorators) | ast.ClassDef(decorator_list=decorators):
            for at in range(len(decorators)):
                yield _with(node, decorator_list=[*decorators[:at], *decorators[at + 1 :]])


def _with(node: Any, **changes: object) -> Any:
    """Return *node* with other values in some of its fields."""
    changed = copy.copy(node)
    for field, value in changes.items():
        setattr(changed, field, value)
    return changed


def _put(parent: ast.AST, field: str, index: int | None, new: ast.AST) -> None:
    if index is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[index] = new


def _shown(node: ast.AST, above: tuple[ast.AST, ...]) -> ast.AST:
    """Return *node* or the expression around it that tells best, in few words, where it is."""
    if isinstance(node, ast.stmt):
        return node
    for each in takewhile(_is_short, reversed(above)):
        node = each
    return node


def _is_short(node: ast.AST) -> bool:
    is_part = isinstance(node, ast.expr | ast.comprehension | ast.keyword)
    return is_part and len(ast.unparse(node)) <= _LONGEST_NAME


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Try):
        types = (ast.unparse(each.type) if each.type else "everything" for each in node.handlers)
        return " ".join(["try", *(f"except {each}" for each in types)])
    return ast.unparse(node).strip().partition("\n")[0][:_LONGEST_NAME]


def _qualified_name(above: tuple[ast.AST, ...]) -> str:
    return ".".join(
        each.name for each in above if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    )


def _lines(above: tuple[ast.AST, ...]) -> range:
    """Return the lines of the innermost statement of *above*, without those of statements in it."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    inside = [at for at, each in enumerate(above) if isinstance(each, functions)]
    within = above[inside[-1] + 1 :] if inside else ()
    if not any(isinstance(each, ast.stmt) for each in within):
        # Decorators and defaults run at import; the lines that show their effect are those of the function.
        function: Any = above[inside[-1]] if inside else None
        return range(function.body[0].lineno, function.end_lineno + 1) if function else range(0)
    statement: Any = [each for each in within if isinstance(each, ast.stmt)][-1]
    body = getattr(statement, "body", None)
    return range(statement.lineno, max(statement.lineno + 1, body[0].lineno if body else statement.end_lineno + 1))
