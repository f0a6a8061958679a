"""Checks that people write themselves for datasets: what one is, what it finds, and what that does to a verdict.

Where they are written is in `stores/datasets/plugin_files.py`, how they are asked in `tables/datasets/plugin_runs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from quality_assets.domain.quality.datasets.table_findings import DIMENSIONS, SCORED_DIMENSIONS, Finding
from quality_assets.domain.quality.datasets.table_score import Verdict

BATCH, COLUMN = "{batch}", "{column}"
SEVERITIES = ("info", "low", "medium", "high", "critical")
"""How much what is found matters; `info` is to be seen, and no alert."""
DEFAULT_TIMEOUT_S = 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_UNKNOWN_MARK = " could not run"
_QUOTED = re.compile(r"(?<=')[^']*(?=')|(?<=\")[^\"]*(?=\")")
# Its owner has said what is wrong: no share of such flags was measured that would be less.
_WEIGHT = 1.0


class PluginError(ValueError):
    """A check that is not written as it has to be; the message says where, and what is wrong."""


@dataclass(frozen=True)
class PluginCheck:
    """A check of people's own: SQL whose rows offend, or a function of the batch that gives what offends.

    `sql` names the batch as `{batch}`, and one of `columns` as `{column}`; it is asked once for each column that a
    pattern of `columns` fits, once in all without any. `datasets` are patterns of names too. Up to a share of `at_most`
    offending rows is let pass.
    """

    name: str
    sql: str | None = None
    function: Callable[..., Any] | None = None
    dimension: str = "validity"
    datasets: tuple[str, ...] = ("*",)
    columns: tuple[str, ...] = ()
    sentence: str = ""
    severity: str = "medium"
    at_most: float = 0.0
    timeout_s: float = DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        if problem := _problem(self):
            raise PluginError(f"{self.name}: {problem}")

    def concerns(self, dataset: str) -> bool:
        """Whether it is asked of a dataset."""
        return fits(dataset, self.datasets)

    def columns_among(self, names: Sequence[str]) -> list[str | None]:
        """What it is asked of: columns of a batch, or [None], the batch as a whole."""
        return [name for name in names if fits(name, self.columns)] if self.columns else [None]


def _problem(check: PluginCheck) -> str:
    if not _NAME.fullmatch(check.name):
        return "its name has other signs than letters, digits, _ . and -, or more than 80"
    if (check.sql is None) == (check.function is None):
        return "it is either SQL or a function"
    if check.sql is not None and BATCH not in check.sql:
        return f"its SQL reads nothing of the batch: say {BATCH} where the table stands"
    if check.sql is not None and COLUMN in check.sql and not check.columns:
        return f"its SQL has {COLUMN}; say which columns: -- columns: price, *_amount"
    if check.dimension not in DIMENSIONS:
        return f"dimension: {check.dimension!r} is none of {', '.join(DIMENSIONS)}"
    if check.severity not in SEVERITIES:
        return f"severity: {check.severity!r} is none of {', '.join(SEVERITIES)}"
    if not 0 <= check.at_most < 1:
        return f"at_most: {check.at_most:g} is no share from 0 to below 1"
    return "" if check.timeout_s > 0 else f"timeout_s: {check.timeout_s:g} is no time"


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of the patterns, in which * stands for anything."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def check(
    *,
    name: str = "",
    dimension: str = "validity",
    datasets: str | Sequence[str] = "*",
    columns: str | Sequence[str] = (),
    severity: str = "medium",
    at_most: float = 0.0,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Callable[[Callable[..., Any]], PluginCheck]:
    """Make a function a check: it is given the batch as a DuckDB relation, and with `columns` a column's name too.

    It gives the rows that offend (a relation, a frame or an Arrow table), their number, or whether all is well. The
    first line of its docstring says what holds. Raises PluginError.
    """

    def made(function: Callable[..., Any]) -> PluginCheck:
        statement = (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        return PluginCheck(
            name or function.__name__, None, function, dimension, listed(datasets), listed(columns), statement,
            severity, at_most, timeout_s,
        )  # fmt: skip

    return made


def listed(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names or patterns, from a text with commas or a list."""
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(filter(None, (part.strip() for part in parts)))


@dataclass(frozen=True)
class Offence:
    """What a check found. `count` is of rows; None where something holds of the whole, and is not so."""

    count: int | None
    examples: tuple[str, ...] = ()
    statement: str = ""


def finding_of(asked: PluginCheck, columns: Sequence[str], rows: int, offence: Offence) -> Finding | None:
    """What an offence comes to; None where nothing offends, or no more than is let pass."""
    count = 1 if offence.count is None else offence.count
    share = count / rows if rows and offence.count is not None else 0.0
    if not count or (offence.count is not None and share <= asked.at_most):
        return None
    is_cells = offence.count is not None
    return Finding(
        "custom", tuple(columns), count, share, _sentence(asked, columns, rows, offence), asked.name, _WEIGHT,
        expected_share=asked.at_most, doubt=float(count) if is_cells else 0.0, is_alert=asked.severity != "info",
        examples=offence.examples, severity="low" if asked.severity == "info" else asked.severity,
        own_dimension=asked.dimension,
    )  # fmt: skip


def without_examples(finding: Finding) -> Finding:
    """A finding that shows no value of a cell, nor words of a library in quotes, which may be one."""
    shown = f", such as {finding.examples[0]}" if finding.examples else ""
    sentence = finding.sentence.removesuffix(shown)
    if finding.detector.endswith(_UNKNOWN_MARK):
        sentence = _QUOTED.sub("…", sentence)
    return replace(finding, examples=(), sentence=sentence)


def _sentence(asked: PluginCheck, columns: Sequence[str], rows: int, offence: Offence) -> str:
    such = f", such as {offence.examples[0]}" if offence.examples else ""
    of = f" of {', '.join(columns)}" if columns else ""
    if offence.count is None:
        return f"{asked.name}{of}: {offence.statement or asked.sentence or 'it does not hold'}{such}"
    said = offence.statement or asked.sentence
    words = {"{count}": f"{offence.count:,}", "{rows}": f"{rows:,}", COLUMN: ", ".join(columns)}
    if any(word in said for word in words):
        for word, value in words.items():
            said = said.replace(word, value)
        return f"{asked.name}: {said}{such}"
    holds = f": {said}" if said else ""
    return f"{offence.count:,} of {rows:,} rows offend against {asked.name}{of}{holds}{such}"


def unknown(name: str, why: str, dimension: str = "validity", columns: Sequence[str] = ()) -> Finding:
    """A check that could not run: it says nothing of the data, and somebody must know."""
    of = f" of {', '.join(columns)}" if columns else ""
    sentence = f"The check {name}{of} could not run, and says nothing of this batch: {why}"
    return Finding(
        "custom", tuple(columns), 0, 0.0, sentence, f"{name}{_UNKNOWN_MARK}", severity="medium", is_alert=True,
        own_dimension=dimension,
    )  # fmt: skip


def could_not_run(findings: Sequence[Finding]) -> set[str]:
    """The names of the checks that could not run: what they found before has not passed."""
    return {f.detector.removesuffix(_UNKNOWN_MARK) for f in findings if f.detector.endswith(_UNKNOWN_MARK)}


def with_plugins(verdict: Verdict, found: Sequence[Finding], rows: int, columns: int) -> Verdict:
    """A verdict with what checks of people's own found, by the same definition of the score.

    What they count in a column is doubted as far as it is more than what the verdict doubts there already: the same
    cells are not counted twice.
    """
    if not found:
        return verdict
    doubted: dict[str, float] = {}
    for finding in verdict.findings:
        if finding.columns:
            doubted[finding.columns[-1]] = doubted.get(finding.columns[-1], 0.0) + finding.doubt
    by_dimension: dict[str, float] = {}
    told = []
    for finding in found:
        column = finding.columns[-1] if finding.columns else ""
        more = max(0.0, min(finding.doubt, rows) - doubted.get(column, 0.0)) if column else min(finding.doubt, rows)
        if column:
            doubted[column] = doubted.get(column, 0.0) + more
        by_dimension[finding.dimension] = by_dimension.get(finding.dimension, 0.0) + more
        told.append(replace(finding, doubt=more))
    cells = max(rows * columns, 1)
    of_score = sum(doubt for name, doubt in by_dimension.items() if name in SCORED_DIMENSIONS) / cells
    order = sorted((*verdict.findings, *told), key=lambda f: (not f.is_alert, -f.doubt, -f.weight, f.rule_id))
    return Verdict(_less(verdict.score, of_score), _dimensions(verdict, by_dimension, cells), tuple(order))


def _dimensions(verdict: Verdict, more: Mapping[str, float], cells: int) -> dict[str, float | None]:
    return {name: _less(value, more.get(name, 0.0) / cells) for name, value in verdict.dimensions.items()}


def _less(score: float | None, doubt: float) -> float | None:
    return None if score is None else max(0.0, score - doubt)
