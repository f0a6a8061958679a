"""Checks that people wrote: SQL, Python and suites of Great Expectations in `data/checks/`, and entry points.

Nothing here runs a check. A file that cannot be read as one is named, and the others count.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from quality_assets.domain.quality.datasets.plugins import (
    BATCH,
    COLUMN,
    DEFAULT_TIMEOUT_S,
    PluginCheck,
    PluginError,
    fits,
    listed,
)
from quality_assets.stores.datasets.queries import check_query
from quality_assets.stores.readers.faults import FileRejected, first_line

ENTRY_POINTS = "feature_quality.checks"
_HEADER = re.compile(r"--\s*(\w+)\s*:\s*(.*)")
_SQL_KEYS = ("name", "dimension", "datasets", "columns", "sentence", "severity", "at_most", "timeout_s")


@dataclass(frozen=True)
class Suite:
    """A suite of Great Expectations as it was given: (type, parameters, meta, severity) of each expectation."""

    name: str
    datasets: tuple[str, ...]
    expectations: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any], str], ...]
    timeout_s: float = 300.0


@dataclass(frozen=True)
class Plugins:
    """All that people wrote, and why some of it could not be read, by the name of its file."""

    checks: tuple[PluginCheck, ...] = ()
    suites: tuple[Suite, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()

    def of(self, dataset: str) -> Plugins:
        """What concerns a dataset; what could not be read may concern any."""
        return Plugins(
            tuple(check for check in self.checks if check.concerns(dataset)),
            tuple(suite for suite in self.suites if fits(dataset, suite.datasets)),
            self.errors,
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to ask, and nothing wrong."""
        return not (self.checks or self.suites or self.errors)


def load_plugins(folder: Path) -> Plugins:
    """What a folder and the installed entry points hold, each name once: of two, the one that comes first."""
    checks: dict[str, PluginCheck] = {}
    suites: list[Suite] = []
    errors: list[tuple[str, str]] = []
    for name, load in (*_files(folder), *_entries()):
        try:
            for each in load():
                if isinstance(each, Suite):
                    suites.append(each)
                elif each.name in checks:
                    raise PluginError(f"{each.name}: another check has this name")
                else:
                    checks[each.name] = each
        except FileRejected as error:
            errors.append((name, error.reason))
        # Whatever somebody's own module raises is a fault of that module, and stops nothing.
        except (Exception, SystemExit) as error:
            errors.append((name, f"{type(error).__name__}: {first_line(error)}" if _is_foreign(error) else str(error)))
    return Plugins(tuple(checks.values()), tuple(suites), tuple(errors))


def _is_foreign(error: BaseException) -> bool:
    return not isinstance(error, PluginError)


def _files(folder: Path) -> Iterator[tuple[str, Any]]:
    readers = {".sql": _sql, ".py": _python, ".json": _suite}
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        reader = readers.get(path.suffix.lower())
        if reader is not None and path.is_file() and not path.name.startswith((".", "_")):
            yield path.name, lambda path=path, reader=reader: reader(path)


def _entries() -> Iterator[tuple[str, Any]]:
    for point in _installed():
        yield f"entry point {point.name}", lambda point=point: _checks_of(point.load(), point.name)


@lru_cache(maxsize=1)
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name))


def _sql(path: Path) -> Iterator[PluginCheck]:
    """A check of SQL, its keys in comments above it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    keys: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            continue
        found = _HEADER.fullmatch(line.strip())
        if not found and line.lstrip().startswith("--"):
            continue
        if not found:
            break
        if found[1] not in _SQL_KEYS:
            raise PluginError(f"{found[1]} is none of the keys {', '.join(_SQL_KEYS)}")
        keys[found[1]] = found[2].strip()
    sql = check_query("\n".join(line for line in lines if not line.lstrip().startswith("--")))
    yield PluginCheck(
        name=keys.get("name") or path.stem,
        sql=sql,
        dimension=keys.get("dimension", "validity"),
        datasets=listed(keys.get("datasets", "*")),
        columns=listed(keys.get("columns", "")),
        sentence=keys.get("sentence", ""),
        severity=keys.get("severity", "medium"),
        at_most=_number(keys, "at_most", 0.0),
        timeout_s=_number(keys, "timeout_s", DEFAULT_TIMEOUT_S),
    )


def _number(keys: Mapping[str, str], key: str, otherwise: float) -> float:
    try:
        return float(keys.get(key, otherwise))
    except ValueError:
        raise PluginError(f"{key}: {keys[key]!r} is no number") from None


def _python(path: Path) -> Iterator[PluginCheck]:
    """The checks that a module makes."""
    name = f"quality_plugin_{sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        # Read anew each time, as it may have been changed.
        sys.modules.pop(name, None)
    yield from _checks_of(module, path.name)


def _checks_of(given: Any, where: str) -> list[PluginCheck]:
    """The checks of a module, of a list of them, or one by itself."""
    values = given if isinstance(given, list | tuple) else [given]
    if hasattr(given, "__dict__") and not isinstance(given, PluginCheck):
        values = list(vars(given).values())
    found = [value for value in values if isinstance(value, PluginCheck)]
    if not found:
        raise PluginError(f"{where} makes no check: see docs/checks.md")
    return found


def _suite(path: Path) -> Iterator[Suite]:
    """A suite of Great Expectations, in the form of any of its versions."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        given = told["expectations"]
        meta = told.get("meta") or {}
        expectations = tuple(_expectation(each) for each in given)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PluginError(f"it is no suite of Great Expectations: {type(error).__name__}: {error}") from None
    named = meta.get("datasets") or meta.get("dataset") or path.name.split(".")[0]
    yield Suite(path.name, listed(named), expectations)


def _expectation(told: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], Mapping[str, Any], str]:
    kind = str(told.get("type") or told["expectation_type"])
    return kind, dict(told.get("kwargs") or {}), dict(told.get("meta") or {}), str(told.get("severity") or "")


def sql_of(check: PluginCheck, relation: str, column: str | None) -> str:
    """The SELECT that a check of SQL is; `relation` and `column` are quoted already."""
    assert check.sql is not None
    return check.sql.replace(BATCH, relation).replace(COLUMN, column or "")
