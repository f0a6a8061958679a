"""Queries of the drift page. How drift is measured is not decided here."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from quality_assets.contracts.risk_inputs import INPUTS
from quality_assets.domain.drift.verdicts import is_felt
from quality_assets.read.reader import Reader, Row, per_snapshot

DRIFT = "monitoring.data_drift"
DISTRIBUTIONS = "monitoring.drift_distributions"
MAX_ROWS = 200
_INPUT_NAMES = frozenset(item.name for item in INPUTS)

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
select event_date, kind, count(*) filter (where status = 'drifted') as drifted, count(*) as tests,
  count(*) filter (where status = 'unknown') as unknown
from monitoring.data_drift
where event_date > (select max(event_date) from monitoring.data_drift) - $days
group by event_date, kind
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


class Fold(StrEnum):
    """What of the watched things deserves a look, and what is as good as nothing."""

    OPEN = "open"
    STEADY = "steady"
    MISSING = "missing"
    UNKNOWN = "unknown"


def folds(rows: Sequence[Row]) -> dict[Fold, list[Row]]:
    """Rows of `latest` by what they deserve: steady inputs that no score feels, shares of missing values as usual and
    what cannot be told need no look. What drifted, and all that is no data, does.
    """
    found: dict[Fold, list[Row]] = {fold: [] for fold in Fold}
    for row in rows:
        found[_fold(row)].append(row)
    return {fold: members for fold, members in found.items() if members}


def _fold(row: Row) -> Fold:
    if row["status"] == "drifted" or row["kind"] != "data":
        return Fold.OPEN
    if row["status"] == "unknown":
        return Fold.UNKNOWN
    if row["name"].endswith(" is missing"):
        return Fold.MISSING
    is_steady = row["name"] in _INPUT_NAMES and not is_felt(row["effect_on_predictions"])
    return Fold.STEADY if is_steady else Fold.OPEN


def share_of_limit(row: Row) -> float | None:
    """The statistic against the threshold from which it counts as drift; None where either is unknown."""
    return row["observed"] / row["threshold"] if row["observed"] is not None and row["threshold"] else None


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
