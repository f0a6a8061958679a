"""Expressions of online features: a small part of Python's grammar, compiled to the SQL of four engines.

Only names, numbers, texts, arithmetic, comparisons, `and`, `or`, `not`, `if … else` and the functions below are read;
nothing is ever executed. Engines differ in casts, division and collation, which is all hidden in `Dialect`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from quality_assets.domain.sql_text import literal


class ExpressionError(ValueError):
    """An expression uses what is not known. The message quotes it."""


@dataclass(frozen=True)
class Dialect:
    """How an engine spells what engines spell differently.

    `double` and `text` are types; `binary_order` follows a text that is compared, where the engine would else compare
    by the rules of a language; `parameter` makes a named parameter; `modulo` is the rest of a division.
    """

    name: str
    double: str
    text: str
    parameter: Callable[[str], str]
    binary_order: str = ""
    modulo: Callable[[str, int], str] = "{} % {}".format


SQLITE = Dialect("sqlite", "real", "text", ":{}".format)
DUCKDB = Dialect("duckdb", "double", "varchar", "${}".format)
# A per cent sign begins a parameter there.
POSTGRESQL = Dialect("postgresql", "double precision", "text", "%({})s".format, ' collate "C"', "mod({}, {})".format)
SPARK = Dialect("spark", "double", "string", ":{}".format)
DIALECTS = (SQLITE, DUCKDB, POSTGRESQL, SPARK)

_OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Eq: "=", ast.NotEq: "<>", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">",
    ast.GtE: ">=", ast.And: " and ", ast.Or: " or ",
}  # fmt: skip
_HALF = "80000000"


@lru_cache(maxsize=1024)
def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ExpressionError(f"{text!r} is no expression: {error}") from None


def names_of(text: str) -> set[str]:
    """The names that an expression is made of, without functions. Raises ExpressionError."""
    tree = _parsed(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def sql_of(text: str, dialect: Dialect, columns: Mapping[str, str] | None = None) -> str:
    """The SQL of an expression; `columns` says what stands for a name. Raises ExpressionError."""
    return _Compiler(text, dialect, columns or {}).sql(_parsed(text))


class _Compiler:
    def __init__(self, text: str, dialect: Dialect, columns: Mapping[str, str]) -> None:
        self._text, self._dialect, self._columns = text, dialect, columns

    def sql(self, node: ast.expr) -> str:
        """The SQL of one node."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise ExpressionError(f"{ast.unparse(node)!r} in {self._text!r} is not known here")
        return str(method(node))

    def _name(self, node: ast.Name) -> str:
        return self._columns.get(node.id, node.id)

    def _constant(self, node: ast.Constant) -> str:
        value = node.value
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float):
            # In PostgreSQL a number with a point is decimal, and its results differ in the last digit.
            return f"cast({value!r} as {self._dialect.double})"
        if isinstance(value, str):
            return literal(value)
        raise ExpressionError(f"{value!r} in {self._text!r} is neither a number nor a text")

    def _binop(self, node: ast.BinOp) -> str:
        left, right = self.sql(node.left), self.sql(node.right)
        if isinstance(node.op, ast.Div):
            return self._quotient(left, right)
        return f"({left} {self._operator(node.op)} {right})"

    def _operator(self, op: ast.AST) -> str:
        found = _OPERATORS.get(type(op))
        if found is None:
            raise ExpressionError(f"{type(op).__name__} in {self._text!r} is not known here")
        return found

    def _quotient(self, left: str, right: str) -> str:
        double = self._dialect.double
        return f"(cast({left} as {double}) / nullif(cast({right} as {double}), 0))"

    def _unaryop(self, node: ast.UnaryOp) -> str:
        sign = "not " if isinstance(node.op, ast.Not) else "-"
        return f"({sign}{self.sql(node.operand)})"

    def _boolop(self, node: ast.BoolOp) -> str:
        return f"({self._operator(node.op).join(map(self.sql, node.values))})"

    def _compare(self, node: ast.Compare) -> str:
        if len(node.ops) != 1:
            raise ExpressionError(f"{ast.unparse(node)!r}: one comparison at a time")
        (op,), (right,) = node.ops, node.comparators
        left = self.sql(node.left)
        if isinstance(op, ast.Is | ast.IsNot):
            return f"({left} is {'not ' if isinstance(op, ast.IsNot) else ''}null)"
        if isinstance(op, ast.In) and isinstance(right, ast.Tuple):
            return f"({left} in ({', '.join(map(self.sql, right.elts))}))"
        return f"({left} {self._operator(op)} {self.sql(right)})"

    def _ifexp(self, node: ast.IfExp) -> str:
        return f"case when {self.sql(node.test)} then {self.sql(node.body)} else {self.sql(node.orelse)} end"

    def _call(self, node: ast.Call) -> str:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        function = _FUNCTIONS.get(name)
        if function is None or node.keywords:
            raise ExpressionError(f"{ast.unparse(node)!r}: there are {', '.join(_FUNCTIONS)}")
        return function(self, *map(self.sql, node.args))

    def ratio(self, above: str, below: str) -> str:
        return self._quotient(above, below)

    def clamp(self, value: str, low: str, high: str) -> str:
        return f"case when {value} < {low} then {low} when {value} > {high} then {high} else {value} end"

    def seconds_since(self, instant: str) -> str:
        return f"(cast(as_of_us - {instant} as {self._dialect.double}) / 1000000)"

    def hour(self) -> str:
        return f"({self._dialect.modulo(self._whole('3600000000'), 24)})"

    def weekday(self) -> str:
        # 1970-01-01 was a Thursday.
        return f"({self._dialect.modulo(f'({self._whole(str(86_400_000_000))} + 3)', 7)})"

    def _whole(self, divisor: str) -> str:
        double = self._dialect.double
        return f"cast(floor(cast(as_of_us as {double}) / cast({divisor} as {double})) as bigint)"

    def ab(self, salt: str) -> str:
        # Hex texts are compared, which needs no number of any width: the same in every engine.
        hashed = f"substr(md5({salt} || '.' || user_id), 1, {len(_HALF)})"
        return f"case when {hashed}{self._dialect.binary_order} < {literal(_HALF)} then 'A' else 'B' end"


_FUNCTIONS: Mapping[str, Callable[..., str]] = {
    "ratio": _Compiler.ratio,
    "clamp": _Compiler.clamp,
    "seconds_since": _Compiler.seconds_since,
    "hour": _Compiler.hour,
    "weekday": _Compiler.weekday,
    "ab": _Compiler.ab,
}
