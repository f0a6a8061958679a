"""Asking a batch what people's own checks ask: each by itself, within its time, and whatever it raises is its own."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from typing import Any, TypeVar

import duckdb

from quality_assets.domain.quality.datasets.plugins import Offence, PluginCheck, finding_of, unknown, without_examples
from quality_assets.domain.quality.datasets.table_findings import Finding, rule_id
from quality_assets.domain.quality.datasets.values import Block
from quality_assets.domain.sql_text import identifier
from quality_assets.stores.datasets.loaded import Loaded
from quality_assets.stores.datasets.plugin_files import Plugins, Suite, sql_of
from quality_assets.stores.datasets.queries import check_query
from quality_assets.stores.datasets.typed_views import typed_view
from quality_assets.stores.readers.faults import FileRejected, first_line
from quality_assets.tables.datasets.given_suites import ask_suite

T = TypeVar("T")
MOST_EXAMPLES = 5
_SHOWN_LETTERS = 120
# What does not end when it is told to is left behind, and keeps nobody waiting.
_GRACE_S = 2.0


def ask_plugins(
    connection: duckdb.DuckDBPyConnection, loaded: Loaded, sample: Block, plugins: Plugins, muted: frozenset[str],
    keeps_examples: bool = True,
) -> list[Finding]:  # fmt: skip
    """What the checks of people's own find in a batch; one that raises, or takes too long, is a finding by its name."""
    if plugins.is_empty:
        return []
    found = [unknown(name, f"it cannot be read: {why}") for name, why in plugins.errors]
    try:
        view = typed_view(connection, loaded, sample)
    except duckdb.Error as error:
        every = [*(check.name for check in plugins.checks), *(suite.name for suite in plugins.suites)]
        return [*found, *(unknown(name, first_line(error)) for name in every)]
    for check in plugins.checks:
        for column in check.columns_among(loaded.columns):
            columns = () if column is None else (column,)
            if loaded.rows and rule_id(check.name, columns) not in muted:
                found += _asked(connection, view, check, column, loaded.rows)
    for suite in plugins.suites:
        found += _of_suite(connection, view, suite, loaded.rows, muted)
    told = [finding for finding in found if finding.rule_id not in muted]
    return told if keeps_examples else [without_examples(finding) for finding in told]


def _asked(
    connection: duckdb.DuckDBPyConnection, view: str, check: PluginCheck, column: str | None, rows: int
) -> Iterator[Finding]:
    columns = () if column is None else (column,)
    try:
        offence = within(connection, check.timeout_s, lambda own: _offence(own, view, check, column))
    except (Exception, SystemExit) as error:
        yield unknown(check.name, _words(error), check.dimension, columns)
        return
    finding = finding_of(check, columns, rows, offence)
    if finding is not None:
        yield finding


def _of_suite(
    connection: duckdb.DuckDBPyConnection, view: str, suite: Suite, rows: int, muted: frozenset[str]
) -> list[Finding]:
    try:
        return within(connection, suite.timeout_s, lambda own: ask_suite(own, view, suite, rows, muted))
    except (Exception, SystemExit) as error:
        return [unknown(suite.name, _words(error))]


def _words(error: BaseException) -> str:
    if isinstance(error, FileRejected | TimeoutError):
        return str(error)
    if isinstance(error, duckdb.Error):
        return first_line(error)
    return f"{type(error).__name__}: {first_line(error)}"


def within(connection: duckdb.DuckDBPyConnection, seconds: float, act: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    """What `act` gives of a cursor of its own; TimeoutError where it takes longer. It raises what `act` raises."""
    own = connection.cursor()
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(act(own))
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run, name="plugin check", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        own.interrupt()
        # A loop of Python that never ends hears nothing else.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeoutError))
        thread.join(_GRACE_S)
        raise TimeoutError(f"it took longer than {seconds:g} s")
    own.close()
    if raised:
        raise raised[0]
    return given[0]


def _offence(own: duckdb.DuckDBPyConnection, view: str, check: PluginCheck, column: str | None) -> Offence:
    if check.function is not None:
        takes_column = len(inspect.signature(check.function).parameters) > 1
        batch = own.sql(f"SELECT * FROM {view}")
        given = check.function(batch, column) if takes_column else check.function(batch)
        return _given(own, given, column)
    offenders = check_query(sql_of(check, view, None if column is None else identifier(column)))
    return _rows(own, own.sql(offenders), column)


def _given(own: duckdb.DuckDBPyConnection, given: Any, column: str | None) -> Offence:
    """What a function gave, as an offence. Raises TypeError for what is none of what it may give."""
    if given is None or isinstance(given, bool):
        return Offence(0 if given is None or given else None)
    if isinstance(given, int):
        return Offence(given)
    if isinstance(given, duckdb.DuckDBPyRelation):
        return _rows(own, given, column)
    try:
        return _rows(own, own.from_df(given) if hasattr(given, "iloc") else own.from_arrow(given), column)
    except (duckdb.Error, TypeError):
        kind = type(given).__name__
        raise TypeError(f"it gave a {kind}; offending rows, their number, or True or False is wanted") from None


def _rows(own: duckdb.DuckDBPyConnection, offenders: duckdb.DuckDBPyRelation, column: str | None) -> Offence:
    names = list(offenders.columns)
    ((count,),) = offenders.count("*").fetchall()
    if not count:
        return Offence(0)
    shown = names.index(column) if column in names else None
    examples = [_shown(names, row, shown) for row in offenders.limit(MOST_EXAMPLES).fetchall()]
    return Offence(int(count), tuple(dict.fromkeys(examples)))


def _shown(names: Sequence[str], row: Sequence[Any], place: int | None) -> str:
    """A row as an example: its value of the column that is asked, else all of it."""
    if place is not None or len(row) == 1:
        return repr(str(row[place or 0]))[:_SHOWN_LETTERS]
    return ", ".join(f"{name} {value}" for name, value in zip(names, row, strict=True))[:_SHOWN_LETTERS]
