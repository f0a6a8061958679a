"""Small changes of Python code, as edits of its text.

Left alone: docstrings, annotations, decorators, imports, `__all__`, `if TYPE_CHECKING`, what is logged or said, text
(the SQL in it is `operators_sql`'s), and arguments that change no value (`strict=`, `indent=`, …).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from benchmarks.mutation.source import Edit, Source

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
# Functions and methods that are easily taken for one another.
TWINS = {
    "min": "max",
    "minimum": "maximum",
    "fmin": "fmax",
    "nanmin": "nanmax",
    "any": "all",
    "floor": "ceil",
    "cummin": "cummax",
    "idxmin": "idxmax",
    "argmin": "argmax",
    "head": "tail",
    "ffill": "bfill",
    "first": "last",
    "startswith": "endswith",
}
TWINS |= {second: first for first, second in TWINS.items()}
# Lists of dates and the like have a first and a last, but no such method; an order's `first` says what it is.
DROPPED = frozenset({"min", "max", "abs", "minimum", "maximum", "fabs"})
NO_VALUE_ARGUMENTS = frozenset(
    {"strict", "frozen", "slots", "kw_only", "copy", "ensure_ascii", "indent", "maxsize", "exist_ok", "parents"}
    | {"ignore_index", "check_same_thread", "stacklevel", "n_jobs", "flush", "missing_ok", "read_only", "repr"}
)
SAYING = re.compile(r"^(log|logger|logging|warnings|say|progress|report_progress|print|typer\.echo)(\.|$)")
PATHS = re.compile(r"(path|folder|dir|root|file)s?$|^Path\(", re.IGNORECASE)
EMPTY = {"list": "[]", "dict": "{}", "str": '""', "int": "0", "float": "0.0", "tuple": "()", "set": "set()"}
COMMUTATIVE = frozenset({"isinstance", "issubclass", "getattr", "zip", "min", "max", "range", "divmod"})


def python_edits(source: Source) -> list[Edit]:
    """All edits of a module."""
    return list(_Walk(source).block(source.tree.body, None))


def is_said(call: ast.Call) -> bool:
    """Whether a call only tells somebody something."""
    return bool(SAYING.match(ast.unparse(call.func)))


def is_type_checking(statement: ast.stmt) -> bool:
    """Whether a statement is for the type checker alone."""
    return isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)


class _Walk:
    """Goes through a tree; each method gives the edits of what it is handed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._expressions: dict[type[ast.expr], Callable[..., Iterator[Edit]]] = {
            ast.Compare: self._compare,
            ast.BinOp: self._arithmetic,
            ast.BoolOp: self._junction,
            ast.UnaryOp: self._negation,
            ast.Constant: self._constant,
            ast.Call: self._call,
            ast.IfExp: self._choice,
        }

    def block(self, body: list[ast.stmt], returns: ast.expr | None) -> Iterator[Edit]:
        """Edits of statements; `returns` is what their function says that it returns."""
        for statement in body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)) or is_type_checking(statement):
                continue
            yield from self.statement(statement, returns)

    def statement(self, node: ast.stmt, returns: ast.expr | None) -> Iterator[Edit]:
        """Edits of a statement and all in it."""
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                yield from self._expression(default)
            yield from self.block(node.body, node.returns)
            return
        if isinstance(node, ast.ClassDef):
            yield from self.block(node.body, None)
            return
        yield from self._whole(node, returns)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from self.statement(child, returns)
            elif isinstance(child, (ast.ExceptHandler, ast.match_case)):
                yield from self.block(child.body, returns)
            elif isinstance(child, ast.expr) and child is not getattr(node, "annotation", None):
                yield from self._expression(child)

    def _whole(self, node: ast.stmt, returns: ast.expr | None) -> Iterator[Edit]:
        """Edits that change a statement as such."""
        start, end = self._source.span(node)
        match node:
            case ast.Expr(value=ast.Call() as call) if not is_said(call):
                yield Edit(start, end, "pass", "statement")
            case ast.Raise():
                yield Edit(start, end, "pass", "raise")
            case ast.Continue():
                yield Edit(start, end, "break", "loop")
            case ast.Break():
                yield Edit(start, end, "continue", "loop")
            case ast.AugAssign(op=op) if type(op) in ARITHMETIC and not _is_text(node.value):
                old, new = ARITHMETIC[type(op)]
                yield from self._between(node.target, node.value, f"{old}=", f"{new}=", "arithmetic")
            case ast.Return(value=ast.expr() as value):
                yield from self._return(value, returns)
            case ast.If(test=test):
                yield from self._condition(test)

    def _return(self, value: ast.expr, returns: ast.expr | None) -> Iterator[Edit]:
        """Nothing instead of something; of a frame its columns alone."""
        kind = ast.unparse(returns) if returns is not None else ""
        text = self._source.of(value)
        new = EMPTY.get(re.split(r"[\[ |.]", kind)[0], "None")
        if kind.endswith("DataFrame"):
            new = f"({text}).iloc[:0]"
        elif kind == "bool":
            new = f"not ({text})"
        # A comparison, a negation or a constant has edits of its own that do the same.
        is_done = kind == "bool" and isinstance(value, (ast.Compare, ast.UnaryOp, ast.Constant))
        if text != new and not is_done and not (isinstance(value, (ast.List, ast.Dict, ast.Tuple)) and len(text) == 2):
            yield Edit(*self._source.span(value), new, "return")

    def _condition(self, test: ast.expr) -> Iterator[Edit]:
        """A condition that has no operator of its own is turned round."""
        if isinstance(test, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
            yield Edit(*self._source.span(test), f"not ({self._source.of(test)})", "condition")

    def _choice(self, node: ast.IfExp) -> Iterator[Edit]:
        yield from self._condition(node.test)

    def _expression(self, node: ast.expr | None) -> Iterator[Edit]:
        """Edits of an expression and all in it. Positions inside f-strings are not to be relied on."""
        if node is None or isinstance(node, ast.JoinedStr):
            return
        yield from self._expressions.get(type(node), _nothing)(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from self._expression(child)
            elif isinstance(child, ast.keyword) and child.arg not in NO_VALUE_ARGUMENTS:
                yield from self._expression(child.value)
            elif isinstance(child, ast.comprehension):
                yield from self._comprehension(child)
            elif isinstance(child, ast.arguments):
                for default in (*child.defaults, *child.kw_defaults):
                    yield from self._expression(default)

    def _comprehension(self, node: ast.comprehension) -> Iterator[Edit]:
        yield from self._expression(node.iter)
        for condition in node.ifs:
            yield from self._condition(condition)
            yield from self._expression(condition)

    def _compare(self, node: ast.Compare) -> Iterator[Edit]:
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            yield from self._between(left, right, *COMPARISONS[type(op)], "comparison")
            left = right

    def _arithmetic(self, node: ast.BinOp) -> Iterator[Edit]:
        if type(node.op) not in ARITHMETIC or _is_text(node.left) or _is_text(node.right):
            return
        if isinstance(node.op, ast.Div) and PATHS.search(ast.unparse(node.left)):
            return
        yield from self._between(node.left, node.right, *ARITHMETIC[type(node.op)], "arithmetic")

    def _junction(self, node: ast.BoolOp) -> Iterator[Edit]:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from self._between(left, right, old, new, "junction")

    def _negation(self, node: ast.UnaryOp) -> Iterator[Edit]:
        start, end = self._source.span(node)
        if isinstance(node.op, (ast.Not, ast.Invert)):
            yield Edit(start, end, self._source.text[self._source.span(node.operand)[0] : end], "not")
        elif isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            yield Edit(start, end, self._source.text[start + 1 : end], "sign")

    def _constant(self, node: ast.Constant) -> Iterator[Edit]:
        value = node.value
        match value:
            case bool():
                new = [str(not value)]
            case int():
                new = ["1"] if value == 0 else ["0", "2"] if value == 1 else [str(value - 1), str(value + 1)]
            case float():
                new = ["1.0"] if value == 0 else [repr(value * 2)]
            case _:
                return
        for text in new:
            yield Edit(*self._source.span(node), text, "constant")

    def _call(self, node: ast.Call) -> Iterator[Edit]:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        is_method = isinstance(node.func, ast.Attribute) and not ast.unparse(node.func).startswith(("np.", "math."))
        _, end_of_name = self._source.span(node.func)
        if name in TWINS and (node.args or is_method):
            yield Edit(end_of_name - len(name), end_of_name, TWINS[name], "twin")
        start, end = self._source.span(node)
        plain = [arg for arg in node.args if not isinstance(arg, (ast.Starred, ast.GeneratorExp))]
        if name in DROPPED and not is_method and (len(plain) > 1 or name in ("abs", "fabs")):
            for argument in plain:
                yield Edit(start, end, f"({self._source.of(argument)})", "dropped call")
        elif name in ("abs", "clip") and isinstance(node.func, ast.Attribute) and is_method:
            yield Edit(start, end, self._source.of(node.func.value), "dropped call")
        elif isinstance(node.func, ast.Name) and name not in COMMUTATIVE | TWINS.keys() and len(plain) > 1:
            yield from self._swap(plain[0], plain[1])

    def _swap(self, first: ast.expr, second: ast.expr) -> Iterator[Edit]:
        """Two names as arguments change places."""
        if isinstance(first, ast.Name) and isinstance(second, ast.Name) and first.id != second.id:
            start, end = self._source.span(first)[0], self._source.span(second)[1]
            between = self._source.text[self._source.span(first)[1] : self._source.span(second)[0]]
            yield Edit(start, end, f"{second.id}{between}{first.id}", "swapped arguments")

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str, operator: str) -> Iterator[Edit]:
        """Exchange the operator in the text between two operands, which may hold brackets and line ends too."""
        start, end = self._source.span(left)[1], self._source.span(right)[0]
        pattern = r"\s+".join(map(re.escape, old.split()))
        pattern = rf"\b{pattern}\b" if old[0].isalpha() else pattern
        found = re.search(pattern, self._source.text[start:end])
        if found:
            yield Edit(start + found.start(), start + found.end(), new, operator)


def _nothing(_: ast.expr) -> Iterator[Edit]:
    return iter(())


def _is_text(node: ast.expr) -> bool:
    """Whether an operand is plainly text."""
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
