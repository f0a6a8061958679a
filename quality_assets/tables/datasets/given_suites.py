"""Suites of Great Expectations that people give for a dataset, as JSON: what does not hold of a batch.

A small batch is asked as a pandas frame, as which suites are mostly written; of a large one the questions are SQL on
all rows, and what that cannot ask (patterns, formats of dates) is asked of a sample. Great Expectations is imported
here only, where a dataset has a suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb

from quality_assets.domain.quality.datasets.plugins import SEVERITIES, Offence, PluginCheck, finding_of, unknown
from quality_assets.domain.quality.datasets.table_findings import DIMENSIONS, Finding, rule_id
from quality_assets.domain.sql_text import literal
from quality_assets.stores.datasets.plugin_files import Suite
from quality_assets.stores.readers.faults import first_line
from quality_assets.tables.checks.expectations import push_down

if TYPE_CHECKING:
    from types import ModuleType

FRAME_ROWS = 200_000
_EXAMPLES = 5
_MEMORY_MB = 300
_SEVERITIES = {"critical": "high", "warning": "low", "info": "info", "": "medium"}
_DIMENSIONS = (
    ("null", "completeness"),
    ("unique", "uniqueness"),
    ("row_count", "volume"),
    ("table_column", "schema"),
    ("to_exist", "schema"),
    ("of_type", "schema"),
    ("type_list", "schema"),
    ("_pair_", "consistency"),
    ("multicolumn", "consistency"),
    *((part, "plausibility") for part in ("mean", "median", "stdev", "quantile", "z_score", "kl_div", "column_sum")),
)


def ask_suite(
    own: duckdb.DuckDBPyConnection, view: str, suite: Suite, rows: int, muted: frozenset[str]
) -> list[Finding]:
    """What does not hold of the rows of a view; an expectation that cannot be asked is a finding by its name."""
    gx = push_down()
    found: list[Finding] = []
    names: dict[str, int] = {}
    with _asking(own, view, rows, gx) as batches:
        for kind, parameters, meta, severity in suite.expectations:
            columns = _columns(parameters)
            names[rule_id(kind, columns)] = number = names.get(rule_id(kind, columns), 0) + 1
            name = kind if number == 1 else f"{kind}_{number}"
            if rule_id(name, columns) not in muted:
                asked = _check(name, meta, severity)
                found += _asked(gx, batches, kind, parameters, asked, columns, rows)
    return found


@contextmanager
def _asking(own: duckdb.DuckDBPyConnection, view: str, rows: int, gx: ModuleType) -> Iterator[Sequence[Any]]:
    """The batch as Great Expectations is asked of it: all rows first, then a sample where there are many."""
    with ExitStack() as stack:
        is_small = rows <= FRAME_ROWS
        part = "" if is_small else f" USING SAMPLE reservoir({FRAME_ROWS} ROWS) REPEATABLE (1)"
        frame = stack.enter_context(gx.open_frame(own.sql(f"SELECT * FROM {view}{part}").df()))
        if is_small:
            yield [frame]
            return
        folder = stack.enter_context(TemporaryDirectory(prefix="suite-"))
        place = literal(str(Path(folder) / "batch.parquet"))
        own.execute(f"COPY (SELECT * FROM {view}) TO {place} (FORMAT parquet)")

        def prepare(other: duckdb.DuckDBPyConnection) -> None:
            other.execute(f"SET memory_limit = '{_MEMORY_MB}MB'")
            other.execute(f"SET temp_directory = {literal(folder)}")
            other.execute(f"CREATE VIEW batch AS SELECT * FROM read_parquet({place})")

        yield [stack.enter_context(gx.open_batch(prepare)), frame]


def _columns(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    single = [parameters[key] for key in ("column_A", "column_B", "column") if isinstance(parameters.get(key), str)]
    several = parameters.get("column_list")
    return tuple(map(str, several)) if isinstance(several, list) and not single else tuple(single)


def _check(name: str, meta: Mapping[str, Any], severity: str) -> PluginCheck:
    """What an expectation is as a check; `meta` may say its dimension and its severity."""
    said = str(meta.get("severity") or "")
    own = str(meta.get("dimension") or "")
    dimension = own if own in DIMENSIONS else next((d for part, d in _DIMENSIONS if part in name), "validity")
    how = said if said in SEVERITIES else _SEVERITIES.get(severity.lower(), "medium")
    return PluginCheck(name, function=bool, dimension=dimension, severity=how)


def _asked(
    gx: ModuleType, batches: Sequence[Any], kind: str, parameters: Mapping[str, Any], asked: PluginCheck,
    columns: tuple[str, ...], rows: int,
) -> Iterator[Finding]:  # fmt: skip
    why = ""
    for batch in batches:
        try:
            result = gx.ask(batch, kind, parameters, _EXAMPLES)
            why = _problem(result.exception_info)
        # An expectation may be written by anybody: what its making or its asking raises is its own fault.
        except Exception as error:
            why = f"{type(error).__name__}: {first_line(error)}"
        if not why:
            if not result.success:
                yield from _finding(result.result, parameters, asked, columns, rows)
            return
    yield unknown(asked.name, why, asked.dimension, columns)


def _problem(info: Mapping[str, Any] | None) -> str:
    """The message of what was raised, or none: Great Expectations keeps one record, or one per metric."""
    found = info or {}
    records = [found] if "raised_exception" in found else list(found.values())
    said = next((str(record["exception_message"]) for record in records if record["raised_exception"]), "")
    return said.strip().partition("\n")[0][:300].removeprefix("Error: ")


def _finding(
    result: Mapping[str, Any], parameters: Mapping[str, Any], asked: PluginCheck, columns: tuple[str, ...], rows: int
) -> Iterator[Finding]:
    count, of = result.get("unexpected_count"), result.get("element_count")
    if count and of and of < rows:
        # Asked of a sample: as many of all as of it.
        count = max(1, round(count * rows / of))
    said = ", ".join(f"{key} {value}" for key, value in parameters.items() if key not in _NAMING)[:200]
    if not count:
        observed = result.get("observed_value")
        seen = "" if observed is None else f"; observed is {observed}"
        offence = Offence(None, (), f"not so{f' ({said})' if said else ''}{seen}"[:400])
    else:
        shown = tuple(dict.fromkeys(repr(value) for value in result.get("partial_unexpected_list") or () if value))
        offence = Offence(int(count), shown, said)
    finding = finding_of(asked, columns, rows, offence)
    if finding is not None:
        yield finding


_NAMING = ("column", "column_A", "column_B", "column_list")
