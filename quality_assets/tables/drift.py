"""Building what watches data and model: sketches of each day's events, baselines, drift, the power of the monitor.

How days are compared is said in `domain/drift.py`. Events are read once, when their day is built; everything else
works on sketches and daily tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pandas as pd

from quality_assets.contracts.drift import (
    DATA_DRIFT,
    DRIFT_DISTRIBUTIONS,
    DRIFT_POWER,
    EVENT_SKETCH_COUNTS,
    USER_FEATURE_SKETCHES,
)
from quality_assets.contracts.ml import MODEL_VERSIONS, RISK_SCORES, RISK_TRAINING_SET, SCORE_LEDGER
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS, DriftSettings
from quality_assets.domain.models.retraining import retraining_reason
from quality_assets.domain.wording import capitalised
from quality_assets.progress import Progress
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.model_files import WHAT_NEXT
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.champion import load_champion
from quality_assets.tables.drift_limits import RISK, limits_to_look_by
from quality_assets.tables.last_made import LastMade
from quality_assets.tables.sketches import SKETCH_DAYS

RETRAIN = "reason_to_retrain"
"""Under which name the retraining sensor is told why."""

# One value a day for all features, or growing by itself: days differ in them by design.
_CALENDAR_INPUTS = ("is_weekend", "age_days", "days_since_release", "releases_14d", "quarantined_share")
WATCHED_INPUTS = tuple(name for name in INPUT_NAMES if name not in _CALENDAR_INPUTS)
# What a first run judges: as much as the drift page shows.
FIRST_DAYS = 28
POWER_TRIALS = 60
POWER_SEED = 0
# Power changes slowly with the number of rows: it is measured anew when that has changed by more than this.
POWER_FACTOR = 2.0


def build_data_drift(session: WarehouseSession, effects: Mapping[str, float], progress: Progress) -> pd.DataFrame:
    """Judge the days since the last one judged, that one included as more of it may have come; the rows written.

    Earlier days keep what was said of them.
    """
    from quality_assets.domain.drift.verdicts import drift_rows

    through = last_day(session)
    if through is None:
        return pd.DataFrame(columns=list(DATA_DRIFT.column_names))
    judged = read_frame(session, f"select max(event_date) as day from {DATA_DRIFT.qualified_name}")["day"].iloc[0]
    first = through - timedelta(days=FIRST_DAYS - 1) if pd.isna(judged) else pd.Timestamp(judged).date()
    first = max(first, through - timedelta(days=SKETCH_DAYS - 1))
    dates = [day.date() for day in pd.date_range(min(first, through), through)]
    sketches = _sketches(session, through)
    progress(f"drift of {len(sketches)} things on {len(dates)} days")
    rows = drift_rows(sketches, dates, effects, _judged_by(session))
    replace_rows(session, DATA_DRIFT, rows, "event_date >= $first", {"first": dates[0]})
    return rows


def _judged_by(session: WarehouseSession) -> DriftSettings:
    """The monitor's settings with the limits that people have set for the model whose inputs it watches."""
    limits = limits_to_look_by(session.settings, RISK)
    return replace(
        DEFAULT_DRIFT_SETTINGS, false_discovery_rate=limits.false_share, least_distance=limits.least_distance
    )


def build_drift_distributions(session: WarehouseSession) -> pd.DataFrame:
    """Replace monitoring.drift_distributions by what the last day looks like beside its reference; the rows written."""
    from quality_assets.domain.drift.distributions import distribution_rows

    through = last_day(session)
    sketches = [] if through is None else _sketches(session, through)
    rows = distribution_rows(sketches, through or date.min)
    replace_rows(session, DRIFT_DISTRIBUTIONS, rows)
    return rows


_WINDOW = "event_date between $since and $through"
# A later model never rewrites a score: where a day has several, the newest speaks.
_NEWEST = (
    "qualify row_number() over (partition by event_date, feature"
    " order by try_cast(model_version as bigint) desc nulls last, model_version desc) = 1"
)
_READ_SQL = {
    "counts": f"select * from {EVENT_SKETCH_COUNTS.qualified_name}"
    f" where {_WINDOW} and feature = '' and name <> 'event_name'",
    "inputs": f"select event_date, {RISK_TRAINING_SET.select_list(INPUT_NAMES)} from {RISK_TRAINING_SET.qualified_name}"
    f" where {_WINDOW}",
    "scores": f"select event_date, risk_probability from {RISK_SCORES.qualified_name} where {_WINDOW}"
    f" and not coalesce(is_backfilled, false) {_NEWEST}",
    "graded": f"select event_date, risk_probability, label_any from {SCORE_LEDGER.qualified_name}"
    f" where {_WINDOW} {_NEWEST}",
    "users": f"select * from {USER_FEATURE_SKETCHES.qualified_name} where {_WINDOW}",
}


def _sketches(session: WarehouseSession, through: date) -> list[Any]:
    """Of all that is watched. What was made last in this process, of the same rows, is not made again: drift and its
    distributions ask for the same."""
    since = {"since": through - timedelta(days=SKETCH_DAYS - 1), "through": through}
    rows = (through, *(_digest(session, sql, since) for sql in _READ_SQL.values()))
    made = _last_made.get(
        rows, lambda: _made_of(**{name: read_frame(session, sql, since) for name, sql in _READ_SQL.items()})
    )
    return list(made)


_last_made: LastMade[list[Any]] = LastMade()


def _digest(session: WarehouseSession, sql: str, parameters: Mapping[str, Any]) -> tuple[object, ...]:
    """The number of rows of a query, and one that differs where they do, in whatever order they are."""
    summed = f"select count(*), sum(cast(hash(found) as hugeint)) from ({sql}) as found"
    rows: list[tuple[object, ...]] = session.connection.execute(summed, dict(parameters)).fetchall()
    return rows[0]


def _made_of(
    counts: pd.DataFrame, inputs: pd.DataFrame, scores: pd.DataFrame, graded: pd.DataFrame, users: pd.DataFrame
) -> list[Any]:
    from quality_assets.domain.drift.sketches import event_sketches, frame_sketches, performance_sketches
    from quality_assets.domain.drift.user_features import user_feature_sketches

    graded["label_any"] = graded["label_any"].astype("Float64")
    return [
        *event_sketches(counts),
        *user_feature_sketches(users),
        *frame_sketches(inputs, WATCHED_INPUTS),
        *frame_sketches(scores, ["risk_probability"], "prediction"),
        *performance_sketches(graded),
    ]


def reason_to_retrain(session: WarehouseSession) -> str | None:
    """Why the model should be trained before its week is over, by the last day's drift; None where it need not."""
    champion = session.connection.execute(
        f"select trained_through from {MODEL_VERSIONS.qualified_name} where alias = 'champion'"
    ).fetchone()
    newest = session.connection.execute(f"select max(trained_through) from {MODEL_VERSIONS.qualified_name}").fetchone()
    through = last_day(session)
    if champion is None or newest is None or through is None:
        return None
    loaded = load_champion(session.settings)
    if loaded.needs_training:
        why = loaded.why.removesuffix(WHAT_NEXT)
        return f"{capitalised(why)}."
    rows = read_frame(session, f"select * from {DATA_DRIFT.qualified_name} where event_date = $day", {"day": through})
    # A challenger that lost was trained on the same data: another would lose too.
    return retraining_reason(rows, newest[0], through)


def last_day(session: WarehouseSession) -> date | None:
    """The last day with facts; None before the first."""
    row = session.connection.execute(f"select max(event_date) from {FACT_FEATURE_METRICS.qualified_name}").fetchone()
    return row[0] if row else None


def build_drift_power(session: WarehouseSession, progress: Progress) -> bool:
    """Measure what the monitor can see at the usual number of rows a day and at ten times as many; False where what is
    known still holds."""
    from quality_assets.domain.drift.power import power_table

    usual = read_frame(
        session,
        "select median(n) as n from (select event_date, sum(events) as n from"
        f" {FACT_FEATURE_METRICS.qualified_name} group by 1 order by 1 desc limit 28)",
    )["n"].iloc[0]
    if pd.isna(usual):
        return False
    own = int(float(f"{usual:.2g}"))
    known = [
        row[0]
        for row in session.connection.execute(
            f"select distinct rows_per_day from {DRIFT_POWER.qualified_name}"
        ).fetchall()
    ]
    if any(own / POWER_FACTOR <= rows <= own * POWER_FACTOR for rows in known):
        return False
    progress(f"power of the drift monitor at {own:,} rows a day")
    table = power_table([own, 10 * own], trials=POWER_TRIALS, seed=POWER_SEED)
    replace_rows(session, DRIFT_POWER, table)
    return True
