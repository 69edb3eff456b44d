"""Rules across the columns of a row, such as `start <= end` or `income >= 0 or status is null`.

A rule holds columns, numbers, texts in quotes, `true` and `false`, comparisons, `+ - * /`, `and`, `or`, `not`, and
`is null`, `is not null`. A column whose name is no such word is written `column("home town")`. Nothing else is read,
and nothing is run as Python.

As in SQL, what is compared with a missing value is neither true nor false, and a row breaks a rule only where the rule
is false. Arithmetic is that of doubles, as is a comparison with what is no whole number; a number divided by 0 is
missing. Times are compared by the microsecond, unless both sides have more.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    import pyarrow

MAX_LENGTH = 1000
"""How long a rule may be, in characters."""
MAX_DEPTH = 50
"""How deeply its parts may be nested."""

HINT = (
    "A rule holds columns, numbers, 'texts', true and false, comparisons, + - * /, and, or, not, is null; "
    'a column of another name is written column("home town").'
)

_COMPARISONS: dict[type, str] = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}
_ARITHMETIC: dict[type, str] = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide"}
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Rule:
    """A rule that can be read.

    Attributes:
        text: The rule as it is written.
        columns: The columns that it names, sorted.
        tree: Its parts.
    """

    text: str
    columns: tuple[str, ...]
    tree: ast.expr = field(repr=False, compare=False)

    @property
    def normal(self) -> str:
        """The rule without what does not matter: spaces, needless brackets, the kind of quotes."""
        return ast.unparse(self.tree)

    def holds(self, table: pyarrow.RecordBatch) -> pyarrow.Array:
        """Return where rows keep the rule: true, false, or null where it cannot be told.

        Raises:
            InputError: If a column is absent, or the types of two sides do not go together.
        """
        import pyarrow

        from kfp_hallmark.contracts.dataset import require_column

        for column in self.columns:
            require_column(column, table.schema.names, f"A column of the rule {self.text!r}")
        try:
            return _boolean(_value(self.tree, table))
        except (pyarrow.ArrowNotImplementedError, TypeError, ValueError):
            raise InputError(
                f"The rule {self.text!r} must compare what can be compared; its columns are "
                f"{', '.join(f'{name} ({table.schema.field(name).type})' for name in self.columns)}."
            ) from None

    def check_types(self, schema: pyarrow.Schema) -> None:
        """Raise `InputError` if the rule cannot be applied to data of a schema, whatever its values are."""
        import pyarrow

        empty = [pyarrow.array([], kind.type) for kind in schema]
        self.holds(pyarrow.RecordBatch.from_arrays(empty, names=schema.names))


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Raises:
        InputError: If it is too long, too deeply nested, or holds what a rule may not hold.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"A rule must have at most {MAX_LENGTH:,} characters; got {len(text):,}.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"A rule must be an expression; {text!r} is none.", HINT) from None
    columns: set[str] = set()
    _check(tree, text, columns, 0)
    if not columns:
        raise InputError(f"A rule must name a column; {text!r} names none.")
    if not _is_condition(tree):
        raise InputError(f"A rule must be true or false; {text!r} is a value.", HINT)
    return Rule(text.strip(), tuple(sorted(columns)), tree)


def _check(node: ast.expr, text: str, columns: set[str], depth: int) -> None:
    """Raise `InputError` if a rule holds what it may not; gather the columns that it names."""
    if depth > MAX_DEPTH:
        raise InputError(f"A rule must be nested at most {MAX_DEPTH} deep; {text[:40]!r}... is deeper.")
    if (name := _column(node)) is not None:
        columns.add(name)
    elif isinstance(node, ast.Constant):
        _check_constant(node.value, text)
    elif not (isinstance(node, ast.Name) and node.id in _WORDS):
        for part in _parts(node, text):
            _check(part, text, columns, depth + 1)


def _parts(node: ast.expr, text: str) -> Iterator[ast.expr]:
    """Yield what a node is made of.

    Raises:
        InputError: If a rule may not hold such a node.
    """
    match node:
        case ast.BoolOp(values=values):
            yield from values
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _ARITHMETIC:
            yield from (left, right)
        case ast.Compare(ops=[ast.Is() | ast.IsNot()], left=left, comparators=[ast.Name(id="null")]):
            yield left
        case ast.Compare(ops=ops, left=left, comparators=rest) if all(type(op) in _COMPARISONS for op in ops):
            yield from (left, *rest)
        case _:
            shown = ast.unparse(node)
            if shown == "null":
                raise InputError(f"A rule must ask for missing values by `is null`; got {text!r}.")
            raise InputError(f"A rule must not hold {shown!r}; got {text!r}.", HINT)


def _column(node: ast.expr) -> str | None:
    """Return the name of the column that a node is, None if it is something else."""
    match node:
        case ast.Name(id=name) if name != "null" and name not in _WORDS:
            return name
        case ast.Call(func=ast.Name(id="column"), args=[ast.Constant(value=str(name))], keywords=[]):
            return name
    return None


def _check_constant(value: object, text: str) -> None:
    whole = isinstance(value, int) and -(2**63) <= value < 2**63
    number = isinstance(value, float) and abs(value) < float("inf")
    if not (whole or number or isinstance(value, str)):
        raise InputError(f"A rule must hold finite numbers, texts, true or false; got {text!r}.")


def _is_condition(node: ast.expr) -> bool:
    """Return whether a node is, or by its column's type may be, true or false."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    return isinstance(node, ast.BoolOp | ast.Compare) or _column(node) is not None


def _value(node: ast.expr, table: pyarrow.RecordBatch) -> Any:
    """Return a node's value as an Arrow array or scalar."""
    import pyarrow
    import pyarrow.compute as pc

    if (name := _column(node)) is not None:
        return _without_nan(table.column(table.schema.get_field_index(name)))
    match node:
        case ast.Name(id=word):
            return pyarrow.scalar(_WORDS[word])
        case ast.Constant(value=value):
            return pyarrow.scalar(value)
        case ast.BoolOp(op=op, values=values):
            join = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
            return _joined(join, [_boolean(_value(part, table)) for part in values])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return pc.invert(_boolean(_value(operand, table)))
        case ast.UnaryOp(operand=operand):
            return pc.negate(_double(_value(operand, table)))
        case ast.BinOp(op=op, left=left, right=right):
            return _calculated(_ARITHMETIC[type(op)], _value(left, table), _value(right, table))
        case ast.Compare(ops=[ast.Is() | ast.IsNot() as op], left=left):
            null = pc.is_null(_value(left, table))
            return null if isinstance(op, ast.Is) else pc.invert(null)
        case ast.Compare(ops=ops, left=left, comparators=rest):
            sides = [_value(part, table) for part in (left, *rest)]
            pairs = zip(ops, sides, sides[1:], strict=False)
            return _joined(pc.and_kleene, [_compared(_COMPARISONS[type(op)], a, b) for op, a, b in pairs])
    raise TypeError(type(node).__name__)


def _joined(join: Callable[[Any, Any], Any], parts: list[Any]) -> Any:
    result = parts[0]
    for part in parts[1:]:
        result = join(result, part)
    return result


def _without_nan(column: pyarrow.Array) -> pyarrow.Array:
    import pyarrow
    import pyarrow.compute as pc

    if pyarrow.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pyarrow.scalar(None, column.type), column)
    return column


def _boolean(value: Any) -> Any:
    """Return a value that is true, false or null, and raise TypeError if it is another."""
    import pyarrow

    if not pyarrow.types.is_boolean(value.type):
        raise TypeError("not a boolean")
    return value


def _double(value: Any) -> Any:
    """Return numbers as doubles, and raise TypeError if they are none."""
    import pyarrow
    import pyarrow.compute as pc

    if not (pyarrow.types.is_integer(value.type) or pyarrow.types.is_floating(value.type)):
        raise TypeError("not a number")
    return pc.cast(value, pyarrow.float64(), safe=False)


def _calculated(name: str, left: Any, right: Any) -> Any:
    import pyarrow
    import pyarrow.compute as pc

    left, right = _double(left), _double(right)
    if name == "divide":
        right = pc.if_else(pc.equal(right, 0.0), pyarrow.scalar(None, pyarrow.float64()), right)
    result = getattr(pc, name)(left, right)
    return pc.if_else(pc.is_nan(result), pyarrow.scalar(None, pyarrow.float64()), result)


def _compared(name: str, left: Any, right: Any) -> Any:
    """Return how two sides compare; a text beside times is read as one, in UTC unless it says a zone."""
    import pyarrow
    import pyarrow.compute as pc

    left, right = _as_time(left, right), _as_time(right, left)
    text = [pyarrow.types.is_string(side.type) for side in (left, right)]
    truth = [pyarrow.types.is_boolean(side.type) for side in (left, right)]
    if text[0] != text[1] or truth[0] != truth[1]:
        raise TypeError("of different kinds")
    return getattr(pc, name)(*_alike(left, right))


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two sides as one type that holds what both may hold; Arrow refuses great numbers and far times."""
    import pyarrow
    import pyarrow.compute as pc
    from pyarrow import types

    kinds = left.type, right.type
    if kinds[0] == kinds[1]:
        return left, right
    if any(map(types.is_floating, kinds)):
        return _double(left), _double(right)
    if pyarrow.uint64() in kinds and any(map(types.is_signed_integer, kinds)):
        whole = pyarrow.decimal128(20)
        return pc.cast(left, whole), pc.cast(right, whole)
    if _is_time(left) and _is_time(right):
        zones = {getattr(kind, "tz", None) for kind in kinds}
        if len(zones) > 1:
            raise TypeError("with a zone and without")
        moment = pyarrow.timestamp("us", zones.pop())
        return tuple(pc.cast(side, moment, safe=types.is_date(side.type)) for side in (left, right))
    return left, right


def _as_time(side: Any, other: Any) -> Any:
    import pyarrow

    if not (isinstance(side, pyarrow.Scalar) and pyarrow.types.is_string(side.type) and _is_time(other)):
        return side
    zone = getattr(other.type, "tz", None)
    time = datetime.fromisoformat(side.as_py())
    if zone is None and time.tzinfo is not None:
        raise TypeError("with a zone and without")
    if zone is not None and time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return pyarrow.scalar(time, pyarrow.timestamp("us", zone))


def _is_time(side: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_temporal(side.type))
