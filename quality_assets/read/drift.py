"""Queries of the drift page. How drift is measured is not decided here."""

from __future__ import annotations

from quality_assets.read.reader import Reader, Row, per_snapshot

DRIFT = "monitoring.data_drift"
DISTRIBUTIONS = "monitoring.drift_distributions"
MAX_ROWS = 200

_LATEST = """
select *
from monitoring.data_drift
where event_date = (select max(event_date) from monitoring.data_drift)
order by status = 'drifted' desc, rank, kind, feature, name
limit $limit
"""

_COUNTS = """
select kind, count(*) as tests, count(*) filter (where status = 'drifted') as drifted,
  count(*) filter (where status = 'unknown') as unknown, max(event_date) as event_date
from monitoring.data_drift
where event_date = (select max(event_date) from monitoring.data_drift)
group by kind
"""

_HISTORY = """
with last as (
  select kind, feature, name, rank
  from monitoring.data_drift
  where event_date = (select max(event_date) from monitoring.data_drift)
  order by status = 'drifted' desc, rank, kind, feature, name
  limit $limit
)
select d.kind, d.feature, d.name, list(d.observed order by d.event_date) as observed,
  list(d.threshold order by d.event_date) as threshold
from monitoring.data_drift d join last using (kind, feature, name)
where d.event_date > (select max(event_date) from monitoring.data_drift) - 28
group by all
"""

_DRIFTED_BY_DAY = """
select event_date, kind, count(*) filter (where status = 'drifted') as drifted, count(*) as tests
from monitoring.data_drift
where event_date > (select max(event_date) from monitoring.data_drift) - $days
group by all
order by event_date
"""

_DISTRIBUTIONS = """
select kind, feature, name, list(label order by bin) as labels, list(low order by bin) as low,
  list(high order by bin) as high, list(reference_share order by bin) as reference,
  list(current_share order by bin) as current
from monitoring.drift_distributions
where event_date = (select max(event_date) from monitoring.data_drift)
group by kind, feature, name
"""

_POWER = "select statistic, change, rows_per_day, power, trials from monitoring.drift_power order by all"


@per_snapshot
def latest(reader: Reader) -> list[Row]:
    """What was tested on the last judged day, what matters most first; at most 200 rows."""
    return reader.rows(_LATEST, {"limit": MAX_ROWS}) if reader.has(DRIFT) else []


@per_snapshot
def counts(reader: Reader) -> dict[str, Row]:
    """How many things were tested, drifted, or could not be told on the last judged day, by kind."""
    return {row["kind"]: row for row in reader.rows(_COUNTS)} if reader.has(DRIFT) else {}


@per_snapshot
def history(reader: Reader) -> dict[tuple[str, str, str], Row]:
    """Statistic and threshold over 28 days for the rows of `latest`, by kind, feature and name."""
    if not reader.has(DRIFT):
        return {}
    rows = reader.rows(_HISTORY, {"limit": MAX_ROWS})
    return {(row["kind"], row["feature"], row["name"]): row for row in rows}


@per_snapshot
def distributions(reader: Reader) -> dict[tuple[str, str, str], Row]:
    """The last judged day beside its reference, a list over bins each, by kind, feature and name; none for rates."""
    rows = reader.rows(_DISTRIBUTIONS) if reader.has(DISTRIBUTIONS) and reader.has(DRIFT) else []
    return {(row["kind"], row["feature"], row["name"]): row for row in rows}


@per_snapshot
def drifted_by_day(reader: Reader, days: int) -> list[Row]:
    """How many things had drifted, per day and kind."""
    return reader.rows(_DRIFTED_BY_DAY, {"days": days}) if reader.has(DRIFT) else []


@per_snapshot
def power(reader: Reader) -> list[Row]:
    """How large a change the monitor can see; empty where that was not measured."""
    return reader.rows(_POWER) if reader.has("monitoring.drift_power") else []
