"""Queries of the model page: versions, held-out metrics, calibration, importance, graded scores."""

from __future__ import annotations

from collections.abc import Sequence

from quality_assets.read.reader import Reader, Row, per_snapshot

_NEWEST = "try_cast(model_version as bigint) desc nulls last, model_version desc"

_VERSIONS = f"""
select * from ml.model_versions order by coalesce(alias, '') = 'champion' desc, created_at desc, {_NEWEST} limit 50
"""

_METRICS = """
select target, candidate as model, role, metric, value, low, high, rows, positives, base_rate, k
from ml.model_metrics
where model = 'feature_risk' and model_version = $version
order by target, array_position(['champion', 'candidate', 'baseline'], role), candidate, metric
"""

_HAS_CANDIDATES = """
select 1 from duckdb_columns()
where schema_name = 'ml' and table_name = 'model_metrics' and column_name = 'candidate'
"""

_IMPORTANCE = """
select columns(lambda name: name not in ('model', 'model_version'))
from ml.feature_importance
where model_version = $version and target = 'any'
order by rank
"""

_CALIBRATION = """
select bin, predicted, observed, low, high, rows
from ml.calibration
where model_version = $version and target = 'any'
order by bin
"""

# Every score made in a week whose future is known, whichever model made it.
_LEDGER_BY_WEEK = """
select date_trunc('week', event_date)::date as week, count(*) as scores, avg(risk_probability) as predicted,
  avg(cast(label_any as integer)) as observed, avg(squared_error) as brier,
  observed * (1 - observed) as brier_of_base_rate, list(distinct model_version order by model_version) as versions
from ml.score_ledger
where is_graded and label_any is not null and risk_probability is not null
group by week
order by week desc
limit 26
"""

_LEDGER_TOP = """
with graded as (
  select event_date, feature, rank, label_any, days_to_degradation
  from ml.score_ledger
  where is_graded and rank <= 3
)
select count(*) as named, count(*) filter (where label_any) as hit,
  count(*) filter (where label_any is null) as unknown,
  median(days_to_degradation) filter (where label_any) as lead_days
from graded
"""

_RECENT = """
select event_date, feature, risk_probability, rank, label_any, is_graded, graded_date, days_to_degradation,
  degraded_metrics_ahead, model_version, score_kind
from ml.score_ledger
where rank <= 3
order by event_date desc, rank
limit 30
"""


def bins_within(bins: Sequence[Row]) -> int:
    """In how many bins of a calibration what was predicted lies within the interval of what was observed."""
    return sum((row["low"] or 0) <= row["predicted"] <= (1 if row["high"] is None else row["high"]) for row in bins)


def of_candidate(importances: Sequence[Row]) -> list[Row]:
    """The importances as the best candidate has them, most important first."""
    own = ("importance", "low", "high", "rank")
    rows = [row | {name: row[f"candidate_{name}"] for name in own} for row in importances]
    return sorted(rows, key=lambda row: row["rank"] or len(rows))


def helpful_inputs(importances: Sequence[Row]) -> list[Row]:
    """The inputs without which the model would be worse, as they stand; the first where none is."""
    return [row for row in importances if (row["importance"] or 0) > 0] or list(importances[:1])


def mean_brier(weeks: Sequence[Row]) -> float:
    """Brier score over all scores of the weeks of a ledger."""
    return float(sum(row["brier"] * row["scores"] for row in weeks) / sum(row["scores"] for row in weeks))


def hit_share(top: Row) -> float | None:
    """Of the named features whose future can be told, the share that degraded; None where it can be of none."""
    known = top["named"] - top["unknown"]
    return top["hit"] / known if known else None


@per_snapshot
def versions(reader: Reader) -> list[Row]:
    """Every model version, the champion first, then the newest; empty while there is none."""
    return reader.rows(_VERSIONS) if reader.has("ml.model_versions") else []


@per_snapshot
def metrics(reader: Reader, version: str) -> list[Row]:
    """Held-out metrics of every model and baseline of a version, the champion first."""
    # Until the next publication a snapshot may be of the layout in which one use case had the table for itself.
    if not reader.has("ml.model_metrics") or not reader.rows(_HAS_CANDIDATES):
        return []
    return reader.rows(_METRICS, {"version": version})


@per_snapshot
def importance(reader: Reader, version: str) -> list[Row]:
    """What each input is worth to the champion, most important first, and to the best candidate beside it."""
    return reader.rows(_IMPORTANCE, {"version": version}) if reader.has("ml.feature_importance") else []


@per_snapshot
def calibration(reader: Reader, version: str) -> list[Row]:
    """Predicted against observed shares per bin of risk."""
    return reader.rows(_CALIBRATION, {"version": version}) if reader.has("ml.calibration") else []


@per_snapshot
def ledger_by_week(reader: Reader) -> list[Row]:
    """Mean predicted and observed share, and Brier score, of the scores made in each week; newest first."""
    return reader.rows(_LEDGER_BY_WEEK) if reader.has("ml.score_ledger") else []


@per_snapshot
def ledger_top(reader: Reader) -> Row | None:
    """How the first three features of each past day, by users at risk, turned out; None without a ledger."""
    return reader.rows(_LEDGER_TOP)[0] if reader.has("ml.score_ledger") else None


@per_snapshot
def recent_scores(reader: Reader) -> list[Row]:
    """The first three features by users at risk of the last ten days, with their outcome where it is known."""
    return reader.rows(_RECENT) if reader.has("ml.score_ledger") else []
