"""Small changes of SQL in string constants and f-strings, as edits of the module's text.

A text is SQL when it reads as a statement, or as an expression of SQL's own words; the parts of an f-string count
together, its holes as one operand each. What stands in quotes or comments inside the SQL is left alone, and so are
docstrings, what is raised, logged or said, and sentences.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence

from benchmarks.mutation.operators_python import is_said, is_type_checking
from benchmarks.mutation.source import Edit, Source

STATEMENT = re.compile(r"\b(select|insert into|delete from|update|merge into)\b.*\b(from|values|set|using)\b", re.S)
EXPRESSION = re.compile(
    r"\b(count|sum|avg|min|max|abs|coalesce|nullif|round|quantile_cont|any_value|list|arg_max|arg_min|greatest|least"
    r"|row_number|rank|lag|lead|median|unnest|date_trunc|stddev_samp|bool_and|bool_or|exists)\([^()]*"
    r"|\bcase when\b|\bis (not )?null\b|\bfilter \(where\b|(?<!not )\bbetween \S+ and\b|\b(partition|group|order) by\b"
    r"|(^\W*|[\w)\]] )(=|<>|<|<=|>|>=) [\w('$]|\w in \(|^\W*delete from \S+ where |\bjoin [\w.]+ \w+ (on|using)\b",
    re.I,
)
SENTENCE = re.compile(r"^\s*[A-ZÄÖÜ][^(]*[a-z]\s|[.?!…]\s*$|\b(the|was|were|are|has been|cannot)\b")
HOLE = "Ø"
LITERAL = re.compile(r"(?P<prefix>[rRbBfFuU]{0,2})(?P<quote>\"\"\"|'''|\"|')")
OPERAND = r"(?:[\w$.Ø]+(?:\((?:[^()]|\([^()]*\))*\))?|'[^']*')"
SUM = rf"{OPERAND}(?: [-+] (?:interval )?{OPERAND}(?: (?:days?|hours?|minutes?|seconds?)\b)?)?"
WORDS = {
    "min": "max",
    "max": "min",
    "arg_min": "arg_max",
    "arg_max": "arg_min",
    "sum": "avg",
    "avg": "sum",
    "median": "avg",
    "greatest": "least",
    "least": "greatest",
    "bool_and": "bool_or",
    "bool_or": "bool_and",
    "lag": "lead",
    "lead": "lag",
    "floor": "ceil",
    "ceil": "floor",
    "first": "last",
    "last": "first",
}

# What the pattern finds becomes the second: a text with the groups of the match, or a function of it.
Rule = tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _rule(operator: str, pattern: str, new: str | Callable[[re.Match[str]], str]) -> Rule:
    return operator, re.compile(pattern, re.I), new


RULES: tuple[Rule, ...] = (
    _rule("sql comparison", r"(?<= )<(?= )", "<="),
    _rule("sql comparison", r"(?<= )<=(?= )", "<"),
    _rule("sql comparison", r"(?<= )>(?= )", ">="),
    _rule("sql comparison", r"(?<= )>=(?= )", ">"),
    _rule("sql comparison", r"(?<= )=(?= )", "<>"),
    _rule("sql comparison", r"(?<= )(<>|!=)(?= )", "="),
    _rule("sql junction", r"\band\b", "or"),
    _rule("sql junction", r"\bor\b(?! replace)", "and"),
    _rule("sql arithmetic", r"(?<=[\w)\]'Ø] )\+(?= )", "-"),
    _rule("sql arithmetic", r"(?<=[\w)\]'Ø] )-(?= )", "+"),
    _rule("sql arithmetic", r"(?<!select )(?<=[\w)\]'Ø] )\*(?= [\w(])", "/"),
    _rule("sql arithmetic", r"(?<=[\w)\]'Ø] )//?(?= )", "*"),
    _rule("sql order", r" desc\b", ""),
    _rule("sql order", r"\basc\b", "desc"),
    _rule("sql order", r"(?<=\border by )([\w.]+)(?=\s*(\)|$|limit\b|rows\b|range\b))", r"\1 desc"),
    _rule("sql order", r"\bnulls last\b", "nulls first"),
    _rule("sql order", r"\bnulls first\b", "nulls last"),
    _rule("sql twin", rf"\b({'|'.join(WORDS)})(?=\()", lambda found: WORDS[found[1].lower()]),
    _rule("sql join", r"\bleft join\b", "join"),
    _rule(
        "sql join",
        r"(?<!left )(?<!semi )(?<!anti )(?<!cross )(?<!asof )(?<!positional )(?<!full )\bjoin\b",
        "left join",
    ),
    _rule("sql join", r"\bsemi join\b", "anti join"),
    _rule("sql join", r"\banti join\b", "semi join"),
    _rule("sql null", r"\bis null\b", "is not null"),
    _rule("sql null", r"\bis not null\b", "is null"),
    _rule("sql not", r"(?<!\bis )(?<!\bif )\bnot (?!null\b|materialized\b|distinct\b)", ""),
    _rule("sql set", r"\bunion all\b(?! by)", "union"),
    _rule("sql set", r"\bunion\b(?! all| by)", "union all"),
    _rule("sql set", r"\bexcept\b(?= *\n| select)", "intersect"),
    _rule("sql distinct", r"(?<!\bis )(?<!\bnot )\bdistinct (?!on\b|from\b)", ""),
    _rule("sql limit", r"\blimit \$\w+", ""),
    _rule("sql between", rf"(?<!not )({OPERAND}) between ({SUM}) and ({SUM})", r"(\1 > \2 and \1 <= \3)"),
    _rule("sql between", rf"(?<!not )({OPERAND}) between ({SUM}) and ({SUM})", r"(\1 >= \2 and \1 < \3)"),
    _rule(
        "sql coalesce",
        r"\bcoalesce\(((?:[^(),]|\((?:[^()]|\([^()]*\))*\))+), (?:[^()]|\((?:[^()]|\([^()]*\))*\))+\)",
        r"(\1)",
    ),
    _rule("sql dropped call", r"\babs\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))+)\)", r"(\1)"),
    _rule("sql constant", r"\btrue\b", "false"),
    _rule("sql constant", r"\bfalse\b", "true"),
    _rule("sql constant", r"(?<![\w.$'Ø])\d+(\.\d+)?(e\d+)?(?![\w.'Ø])", lambda found: _other_number(found[0])),
)
FILTER = re.compile(r"\s*\bfilter \(where ", re.I)
# In these `and` joins bounds, not conditions; `X and` up to there belongs to `between`.
BOUNDS = re.compile(rf"\bbetween {SUM} (?:(?:preceding|following) )?and\b", re.I)
# Numbers that name a column or a type, and what `count` is handed, where any value does.
UNMOVED = re.compile(
    r"\b(?:group|order) by \d+(?:, ?\d+)*|\b(?:decimal|numeric|varchar)\([\d, ]+\)|\bthen \d+ end\)", re.I
)


def _other_number(text: str) -> str:
    """One more; of a fraction, such as a quantile, half."""
    if "e" in text.lower():
        return _other_number(text.lower().split("e")[0]) + "e" + text.lower().split("e")[1]
    if "." in text:
        return repr(float(text) / 2) if 0 < float(text) < 1 else repr(float(text) + 1)
    return str(int(text) + 1)


def sql_edits(source: Source) -> list[Edit]:
    """All edits of SQL in a module."""
    found = []
    for node in _texts(source.tree):
        start, end = source.span(node)
        segment = source.text[start:end]
        masked = mask(segment)
        if is_sql(masked):
            edits = edits_of(masked, segment)
            found += [Edit(start + edit.start, start + edit.end, edit.text, edit.operator) for edit in edits]
    return found


def edits_of(sql: str, written: str | None = None) -> list[Edit]:
    """Edits of one SQL text; `written` is how it stands in the module, where that is not the same."""
    written = sql if written is None else written
    quiet = _blanked(sql, r"--[^\n]*")
    bounds = [found.span() for found in BOUNDS.finditer(quiet)]
    unmoved = [found.span() for found in UNMOVED.finditer(quiet)]
    # A text in quotes keeps its place as an operand, and nothing in it is changed.
    texts = [found.span() for found in re.finditer(r"'[^'\n]*'", quiet)]
    found: list[Edit] = []
    for operator, pattern, new in RULES:
        for match in pattern.finditer(quiet):
            if _within(match.start(), match.end(), texts):
                continue
            if operator == "sql junction" and _within(match.start(), match.end(), bounds):
                continue
            if operator == "sql constant" and _within(match.start(), match.end(), unmoved):
                continue
            if operator == "sql comparison" and re.search(r"\bset\s+\w+ $", quiet[: match.start()], re.I):
                continue
            text = new(match) if callable(new) else _filled(new, match, written)
            found.append(Edit(match.start(), match.end(), text, operator))
    return found + list(_filters(quiet))


def _filled(new: str, match: re.Match[str], written: str) -> str:
    """A rule's text with the groups as they are written: holes and quoted texts are blanks in the match."""
    return re.sub(r"\\(\d)", lambda group: written[match.start(int(group[1])) : match.end(int(group[1]))], new)


def is_sql(text: str) -> bool:
    """Whether a text, its holes masked, is SQL and not a sentence."""
    if STATEMENT.search(text.lower()):
        return not re.match(r"^\W*[A-Z][a-z]", text)
    return bool(EXPRESSION.search(text)) and not SENTENCE.search(text.strip("\"' \n"))


def mask(segment: str) -> str:
    """A string expression's text with all but its contents blanked, holes as `Ø`, every character in its place.

    Several literals side by side are one text. Escapes are left as they are.
    """
    shown = [" "] * len(segment)
    place = 0
    while place < len(segment):
        opening = LITERAL.match(segment, place)
        if not opening:
            place = segment.find("\n", place) if segment[place] == "#" else place + 1
            continue
        quote, is_format = opening["quote"], "f" in opening["prefix"].lower()
        place = opening.end()
        while not segment.startswith(quote, place):
            if is_format and segment[place] == "{" and segment[place : place + 2] != "{{":
                end = _end_of_hole(segment, place)
                shown[place:end] = HOLE * (end - place)
                place = end
            else:
                step = 2 if segment[place] == "\\" or (segment[place : place + 2] in ("{{", "}}") and is_format) else 1
                shown[place : place + step] = segment[place : place + step]
                place += step
        place += len(quote)
    return "".join(shown)


def _end_of_hole(segment: str, start: int) -> int:
    depth = 0
    for place in range(start, len(segment)):
        depth += {"{": 1, "}": -1}.get(segment[place], 0)
        if depth == 0:
            return place + 1
    return len(segment)


def _filters(sql: str) -> Iterator[Edit]:
    """`filter (where …)` goes, brackets and all; holes in it go with it."""
    for match in FILTER.finditer(sql):
        depth, place = 1, match.end()
        while depth and place < len(sql):
            depth += {"(": 1, ")": -1}.get(sql[place], 0)
            place += 1
        if not depth:
            yield Edit(match.start(), place, "", "sql filter")


def _blanked(text: str, pattern: str) -> str:
    return re.sub(pattern, lambda found: " " * len(found[0]), text)


def _within(start: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(first <= start and end <= last for first, last in spans)


def _texts(tree: ast.AST) -> Iterator[ast.Constant | ast.JoinedStr]:
    """String expressions of a module, outermost, without those that no operator may touch."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Raise, ast.Import, ast.ImportFrom)) or _is_docstring(node):
            continue
        if (isinstance(node, ast.stmt) and is_type_checking(node)) or (isinstance(node, ast.Call) and is_said(node)):
            continue
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield node
        else:
            yield from _texts(node)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
