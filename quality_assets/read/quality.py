"""Queries of the data quality page: check results, scores, quarantine, volume.

The score is of the data, as that of datasets is. Checks have points beside it: how much of what is asked holds; a check
that could not be answered is unknown, and has none."""

from __future__ import annotations

from collections.abc import Sequence

from quality_assets.contracts.catalog import TABLES_BY_NAME
from quality_assets.domain.quality.score import POINTS_SQL, telemetry_score
from quality_assets.read.reader import Reader, Row, per_snapshot

CHECKS = "monitoring.check_results"
QUARANTINE = "core.quarantined_events"
STATE = "ops.partition_state"
VALID = "core.valid_events"

# The day a result speaks of: its partition, or the day it was evaluated where the asset is not partitioned. Checks run
# after the day they judge, so those of the last run belong to the last day with events.
_DAY = "coalesce(try_cast(partition_key as date), least(cast(checked_at as date), $through))"
_MOST_POINTS = 100
_POINTS = f"{_MOST_POINTS} * {POINTS_SQL}"

_LATEST = f"""
select asset, check_name, partition_key, dimension, status, severity, is_blocking, observed, threshold,
  unexpected_count, description, examples, run_id, checked_at, {_POINTS} as points
from monitoring.check_results
qualify row_number() over (partition by asset, check_name order by {_DAY} desc, checked_at desc, run_id) = 1
order by asset, check_name
"""

_RESULTS_BY_DAY = f"""
with results as (
  select asset, check_name, partition_key, {_DAY} as day, dimension, status, severity, {_POINTS} as points
  from monitoring.check_results
  where {_DAY} > $through - $days and {_DAY} <= $through
  qualify row_number() over (partition by asset, check_name, partition_key, {_DAY} order by checked_at desc, run_id) = 1
)
"""

_WORST = """max(case when status = 'failed' and severity = 'ERROR' then 3
  when status = 'failed' then 2 when status = 'unknown' then 1 else 0 end)"""

_BY_ASSET = (
    _RESULTS_BY_DAY
    + f"select asset, day, {_WORST} as worst, avg(points) as score from results group by asset, day order by asset, day"
)
_BY_CHECK = _RESULTS_BY_DAY + f"select asset, check_name, day, {_WORST} as worst from results group by all order by day"
_BY_DIMENSION = _RESULTS_BY_DAY + f"select dimension, day, {_WORST} as worst from results group by all order by day"
_ROWS_BY_DAY = """
select event_date as day, sum(row_count)::bigint as rows from ops.partition_state
where table_name in ('core.valid_events', 'core.quarantined_events')
  and event_date > $through - $days and event_date <= $through
group by event_date order by event_date
"""

_ALL_REASONS_BY_DAY = """
select event_date as day, reason, count(*) as rows
from (
  select event_date, unnest(reasons) as reason from core.quarantined_events
  where event_date > $through - $days and event_date <= $through
)
group by all
"""

_REASONS_BY_SOURCE = """
select files.source, refused.reason, count(*) as rows
from (select file_id, unnest(reasons) as reason from core.quarantined_events) as refused
join raw.log_files as files using (file_id)
group by all
"""

_REASONS_BY_DAY = """
select event_date, reasons[1] as reason, count(*) as rows
from core.quarantined_events
where event_date > $through - $days and event_date <= $through
group by all
order by event_date
"""

_REASONS = """
select reason, count(*) as rows, max(event_date) as last_date, count(distinct file_id) as files
from (
  select unnest(reasons) as reason, event_date, file_id
  from core.quarantined_events
  where event_date > $through - $days and event_date <= $through
)
group by reason
order by rows desc, reason
"""

_EXAMPLES = """
select q.event_date, q.file_id, {path} as path, q.line_number, q.feature, q.reasons, q.raw_row
from core.quarantined_events q {join}
where q.event_date > $through - $days and q.event_date <= $through
  and ($reason is null or list_contains(q.reasons, $reason))
order by q.event_date desc, q.file_id, q.line_number
limit $limit
"""

_VOLUME = """
with state as (
  select table_name, event_date, row_count,
    quantile_cont(row_count, 0.5) over (
      partition by table_name, dayofweek(event_date) order by event_date
      range between interval 56 days preceding and interval 1 day preceding) as usual_rows
  from ops.partition_state
)
select table_name, max(event_date) as last_date, arg_max(row_count, event_date) as last_rows,
  arg_max(coalesce(usual_rows, -1), event_date) as usual_rows,
  list(row_count order by event_date) filter (where event_date > $through - 28) as history
from state
group by table_name
order by table_name
"""

_FILES = """
select count(*) as files, count(*) filter (where status = 'rejected') as rejected, max(arrived_at) as last_arrival,
  sum(rows) as rows, sum(rows_refused) as rows_refused
from raw.log_files
where status in ('loaded', 'rejected')
"""

_SOURCES = """
with loaded as (select * from raw.log_files where status = 'loaded')
select source, count(*) as files, sum(rows) as rows, sum(rows_refused) as rows_refused,
  max(arrived_at) as last_arrival, max(last_event_time) as last_event,
  arg_max(path, file_number) as last_path
from loaded
group by source
order by last_event nulls first, source
"""

_REJECTED_FILES = """
select path, reason, arrived_at, size_bytes
from raw.log_files
where status = 'rejected'
order by arrived_at desc
limit 20
"""


@per_snapshot
def latest(reader: Reader) -> list[Row]:
    """The result that stands for each check of each asset: of its last partition, evaluated last."""
    return reader.rows(_LATEST, {"through": reader.through}) if reader.has(CHECKS) else []


@per_snapshot
def score_now(reader: Reader) -> float | None:
    """Quality score of the last day's events, from 0 to 1; None where no row came, or nobody says how many."""
    days = score_by_day(reader, 1)
    return days[-1]["score"] if days else None


def mean_points(results: Sequence[Row]) -> float | None:
    """Mean points of results of one dimension, 0 to 100; None where none could run."""
    return _mean([row["points"] for row in results])


def mean_score(days: Sequence[Row]) -> float | None:
    """Mean score of an asset over days of `worst_by_asset`; None where it has none on any."""
    return _mean([row["score"] for row in days])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


@per_snapshot
def _by_day(reader: Reader, sql: str, days: int) -> list[Row]:
    if not (reader.has(CHECKS) and reader.through):
        return []
    return reader.rows(sql, _window(reader, days))


def worst_by_asset(reader: Reader, days: int) -> list[Row]:
    """Worst result (3 failed, 2 warned, 1 unknown, 0 passed) and mean score per asset and day."""
    return _by_day(reader, _BY_ASSET, days)


def worst_by_check(reader: Reader, days: int) -> list[Row]:
    """Worst result per asset, check and day, in the order of days."""
    return _by_day(reader, _BY_CHECK, days)


def worst_by_dimension(reader: Reader, days: int) -> list[Row]:
    """Worst result per dimension and day, in the order of days."""
    return _by_day(reader, _BY_DIMENSION, days)


@per_snapshot
def score_by_day(reader: Reader, days: int) -> list[Row]:
    """Quality score of the events of each day, from 0 to 1, with its `dimensions`; as datasets are scored."""
    if not (all(reader.has(name) for name in (STATE, QUARANTINE, VALID)) and reader.through):
        return []
    refused: dict[object, dict[str, int]] = {}
    for row in reader.rows(_ALL_REASONS_BY_DAY, _window(reader, days)):
        refused.setdefault(row["day"], {})[row["reason"]] = row["rows"]
    found = []
    for row in reader.rows(_ROWS_BY_DAY, _window(reader, days)):
        score = telemetry_score(row["rows"], refused.get(row["day"], {}))
        found.append({"day": row["day"], "score": score.value, "dimensions": dict(score.by_dimension)})
    return found


def _window(reader: Reader, days: int) -> dict[str, object]:
    return {"through": reader.through, "days": days}


@per_snapshot
def quarantine_by_day(reader: Reader, days: int) -> list[Row]:
    """Quarantined rows per day and first reason."""
    if not (reader.has(QUARANTINE) and reader.through):
        return []
    return reader.rows(_REASONS_BY_DAY, _window(reader, days))


@per_snapshot
def quarantine_reasons(reader: Reader, days: int) -> list[Row]:
    """Quarantined rows per reason, most first; a row counts under each of its reasons."""
    if not (reader.has(QUARANTINE) and reader.through):
        return []
    return reader.rows(_REASONS, _window(reader, days))


@per_snapshot
def quarantine_rows(reader: Reader, days: int, reason: str | None, limit: int = 20) -> list[Row]:
    """The newest quarantined rows as they arrived, with file and line; those with `reason` where one is given."""
    if not (reader.has(QUARANTINE) and reader.through):
        return []
    has_ledger = reader.has("raw.log_files")
    sql = _EXAMPLES.format(
        path="f.path" if has_ledger else "q.file_id",
        join="left join raw.log_files f on f.file_id = q.file_id" if has_ledger else "",
    )
    return reader.rows(sql, _window(reader, days) | {"reason": reason, "limit": limit})


@per_snapshot
def volume(reader: Reader) -> list[Row]:
    """Per partitioned table: last partition, its rows, the usual rows of that weekday (−1 unknown), and 28 days.

    Without those whose partitions are filled by later days: the last ones are never as full as those before.
    """
    if not (reader.has("ops.partition_state") and reader.through):
        return []
    return [row for row in reader.rows(_VOLUME, {"through": reader.through}) if _is_whole_at_once(row["table_name"])]


def _is_whole_at_once(name: str) -> bool:
    """Whether a table has partitions, which are as full when they are built as they will be. A definition's own follow
    the name after a colon."""
    table = TABLES_BY_NAME.get(name.partition(":")[0])
    if table is None or table.build is None:
        return True
    return table.partition_column is not None and all(window.after == 0 for window in table.build.windows)


@per_snapshot
def files(reader: Reader) -> Row | None:
    """How many raw logs arrived and how many were rejected as a whole; None without a ledger."""
    return reader.rows(_FILES)[0] if reader.has("raw.log_files") else None


@per_snapshot
def sources(reader: Reader) -> list[Row]:
    """Per source of raw logs: files, rows, rows refused, last arrival and last event (UTC); the latest source last."""
    return reader.rows(_SOURCES) if reader.has("raw.log_files") else []


@per_snapshot
def source_scores(reader: Reader) -> dict[str | None, float | None]:
    """By source of raw logs the quality score of all its rows, from 0 to 1."""
    if not reader.has(QUARANTINE):
        return {}
    refused: dict[str | None, dict[str, int]] = {}
    for row in reader.rows(_REASONS_BY_SOURCE) if reader.has("raw.log_files") else []:
        refused.setdefault(row["source"], {})[row["reason"]] = row["rows"]
    rows = {row["source"]: row["rows"] or 0 for row in sources(reader)}
    return {source: telemetry_score(count, refused.get(source, {})).value for source, count in rows.items()}


@per_snapshot
def rejected_files(reader: Reader) -> list[Row]:
    """The raw logs that were rejected as a whole, newest first."""
    return reader.rows(_REJECTED_FILES) if reader.has("raw.log_files") else []
