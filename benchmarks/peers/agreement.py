"""Whether two programs that did the same work came to the same results.

Compared: the valid events with all their columns (as an order-insensitive hash, derived ids left out), the refused rows
per set of reasons, the user-days, and every metric of every feature and day to 1e-9.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from quality_assets.contracts.metrics import ADOPTION_RATE, MEASURES, METRICS
from quality_assets.stores.snapshots import current_snapshot

TABLES = ("valid_events", "quarantined_events", "fact_feature_metrics", "user_feature_days")
RELATIVE_TOLERANCE = 1e-9
FACT_COLUMNS = tuple(
    dict.fromkeys([*(m.name for m in MEASURES), *(m.name for m in METRICS), "all_users", ADOPTION_RATE.name])
)
_SCHEMAS = {"fact_feature_metrics": "product"}
_TEXTS = (
    "feature",
    "event_name",
    "user_id",
    "session_id",
    "status",
    "device_type",
    "platform",
    "app_version",
    "country",
    "properties",
)
_EVENT = ", ".join(
    [
        "event_date::date",
        "event_time::timestamp",
        "latency_ms::double",
        "feedback_score::double",
        "case when regexp_full_match(event_id, '[0-9a-f]{16}') then event_id end",
        *(f"{name}::varchar" for name in _TEXTS),
    ]
)


class MissingResultError(RuntimeError):
    """A program did not leave a table where it should."""


@dataclass(frozen=True)
class Results:
    """Where the four tables of a program are: a FROM item each, and the database to attach for them, if any."""

    relations: dict[str, str]
    database: Path | None


def peer_results(out: Path) -> Results:
    """What a peer left in its output folder."""
    database = out / "result.duckdb"
    relations = {}
    for table in TABLES:
        if next(out.glob(f"{table}/**/*.parquet"), None) is not None:
            relations[table] = f"read_parquet('{out}/{table}/**/*.parquet', hive_partitioning = false)"
        else:
            relations[table] = f"{{alias}}.{table}"
    return Results(relations, database if database.exists() else None)


def product_results(data_dir: Path) -> Results:
    """What the product published."""
    snapshot = current_snapshot(data_dir / "published")
    if snapshot is None:
        raise MissingResultError(f"nothing was published under {data_dir}")
    return Results({t: f"{{alias}}.{_SCHEMAS.get(t, 'core')}.{t}" for t in TABLES}, snapshot.warehouse_path)


@dataclass(frozen=True)
class Digest:
    """What is equal when two programs agree, but for the facts."""

    valid_rows: int
    valid_ids: int
    valid_hash: int
    reasons: dict[str, int]
    user_days: int
    user_days_hash: int


def digest(connection: duckdb.DuckDBPyConnection, relations: dict[str, str]) -> Digest:
    """Read a program's results."""
    rows, ids, valid_hash = connection.execute(
        f"select count(*), count(distinct hash(event_date::date, event_id)), sum(hash({_EVENT})::hugeint)"
        f" from {relations['valid_events']}"
    ).fetchall()[0]
    reasons = connection.execute(
        "select array_to_string(list_sort(reasons), ' + '), count(*)"
        f" from {relations['quarantined_events']} group by 1 order by 1"
    ).fetchall()
    days, days_hash = connection.execute(
        "select count(*), sum(hash(event_date::date, feature::varchar, user_id::varchar, events::bigint,"
        f" errors::bigint, crashes::bigint)::hugeint) from {relations['user_feature_days']}"
    ).fetchall()[0]
    return Digest(rows, ids, valid_hash, dict(reasons), days, days_hash)


def different_facts(connection: duckdb.DuckDBPyConnection, ours: str, theirs: str) -> list[str]:
    """Sentences about metrics that differ between two fact tables."""
    wrong = ", ".join(
        f"count(*) filter (not (o.{c} is null and t.{c} is null) and not coalesce(abs(o.{c}::double - t.{c}::double)"
        f" <= {RELATIVE_TOLERANCE!r} * greatest(abs(o.{c}::double), abs(t.{c}::double)), false))"
        for c in FACT_COLUMNS
    )
    keyed = "(select * replace (event_date::date as event_date, feature::varchar as feature) from {})"
    counts = connection.execute(
        f"select count(*) filter (o.events is null or t.events is null), {wrong}"
        f" from {keyed.format(ours)} as o full join {keyed.format(theirs)} as t"
        " using (event_date, feature)"
    ).fetchall()[0]
    names = ("rows (event_date, feature)", *FACT_COLUMNS)
    return [f"facts: {name} differs in {n} rows" for name, n in zip(names, counts, strict=True) if n]


def disagreements(ours: Results, theirs: Results) -> list[str]:
    """Sentences about everything in which `theirs` differs from `ours`; empty where they agree."""
    with duckdb.connect() as connection:
        connection.execute("set memory_limit = '2GB'")
        relations = [_attached(connection, results, f"r{i}") for i, results in enumerate((ours, theirs))]
        a, b = (digest(connection, r) for r in relations)
        found = [
            f"{name}: {getattr(a, name):,} against {getattr(b, name):,}"
            for name in ("valid_rows", "valid_ids", "valid_hash", "user_days", "user_days_hash")
            if getattr(a, name) != getattr(b, name)
        ]
        found += [
            f"quarantined with {reason}: {a.reasons.get(reason, 0):,} against {b.reasons.get(reason, 0):,}"
            for reason in sorted({*a.reasons, *b.reasons})
            if a.reasons.get(reason) != b.reasons.get(reason)
        ]
        return found + different_facts(connection, *(r["fact_feature_metrics"] for r in relations))


def table_hashes(
    database: Path, schemas: tuple[str, ...], instants: tuple[str, ...] = ()
) -> dict[str, tuple[int, int]]:
    """Rows and order-insensitive hash of every table and view of some schemas, without columns that are so called."""
    with duckdb.connect(str(database), read_only=True) as connection:
        names = connection.execute(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where list_contains($schemas, table_schema) order by 1",
            {"schemas": list(schemas)},
        ).fetchall()
        columns = "columns(lambda c: not list_contains(?, c))"
        query = f"select count(*), coalesce(sum(hash(t)::hugeint), 0) from (select {columns} from {{}}) as t"
        return {name: connection.execute(query.format(name), [instants]).fetchall()[0] for (name,) in names}


def _attached(connection: duckdb.DuckDBPyConnection, results: Results, alias: str) -> dict[str, str]:
    if results.database is not None:
        connection.execute(f"attach '{results.database}' as {alias} (read_only)")
    return {table: relation.format(alias=alias) for table, relation in results.relations.items()}
