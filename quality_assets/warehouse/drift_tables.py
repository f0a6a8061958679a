"""Building what watches data and model: sketches of each day's events, baselines, drift, the power of the monitor.

How days are compared is said in `domain/drift.py`. Events are read once, when their day is built; everything else
works on sketches and daily tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import pandas as pd

from quality_assets.contracts.drift import (
    BASELINE_STATS,
    DATA_DRIFT,
    DRIFT_DISTRIBUTIONS,
    DRIFT_POWER,
    EVENT_SKETCH_COUNTS,
)
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.ml import MODEL_VERSIONS, RISK_SCORES, RISK_TRAINING_SET, SCORE_LEDGER
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.retraining import retraining_reason
from quality_assets.domain.risk_input_registry import INPUT_NAMES
from quality_assets.warehouse.database import WarehouseSession
from quality_assets.warehouse.frames import read_frame, replace_rows
from quality_assets.warehouse.lake import files_sql
from quality_assets.warehouse.model_files import WHAT_NEXT
from quality_assets.warehouse.risk_tables import load_champion
from quality_assets.warehouse.state import record_built, wanted_fingerprints

Progress = Callable[[str], None]

RETRAIN = "reason_to_retrain"
"""Under which name the retraining sensor is told why."""

# Eight weeks of reference before each of the eight weeks that give the null.
SKETCH_DAYS = 120
# One value a day for all features, or growing by itself: days differ in them by design.
_CALENDAR_INPUTS = ("is_weekend", "age_days", "days_since_release", "releases_14d", "quarantined_share")
WATCHED_INPUTS = tuple(name for name in INPUT_NAMES if name not in _CALENDAR_INPUTS)
# What a first run judges: as much as the drift page shows.
FIRST_DAYS = 28
CURRENT_DAYS = 7
# Enough to rank inputs by, and cheap: each input costs one scoring of so many rows.
EFFECT_ROWS = 300
POWER_TRIALS = 60
POWER_SEED = 0
# Power changes slowly with the number of rows: it is measured anew when that has changed by more than this.
POWER_FACTOR = 2.0


def build_event_sketches(session: WarehouseSession, start: date, end: date, progress: Progress) -> dict[date, int]:
    """Rebuild event_sketch_counts from `start` to `end`; rows per date."""
    from quality_assets.domain.drift import event_sketch_sql
    from quality_assets.domain.incidents import event_counts_sql

    connection = session.connection
    fingerprints = wanted_fingerprints(connection, EVENT_SKETCH_COUNTS, start, end)
    name = EVENT_SKETCH_COUNTS.qualified_name
    source = f"({files_sql(VALID_EVENTS, session.lake.absolute(session.lake.files(VALID_EVENTS, start, end)))})"
    by_feature = " union all ".join(
        f"select event_date, feature, '{kind}' as name, {bin_} as bin, sum({number}) as n from counted"
        f" group by all having sum({number}) > 0"
        for kind, bin_, number in (
            ("event_name", "event_name", "events"),
            ("platform_events", "platform", "events"),
            ("platform_crashes", "platform", "crashes"),
        )
    )
    feature_counts = f"with counted as materialized ({event_counts_sql(source)}) {by_feature}"
    parameters = {"from_date": start, "to_date": end}
    with session.transaction():
        connection.execute(f"delete from {name} where list_contains($days, event_date)", {"days": list(fingerprints)})
        for query in (event_sketch_sql(source), feature_counts):
            # A filter by the list would be pushed down to the events, and look up each of them.
            connection.execute(
                f"insert into {name} by name select * from ({query})"
                " semi join (select unnest($days) as event_date) as wanted using (event_date) order by all",
                {**parameters, "days": list(fingerprints)},
            )
        counted = connection.execute(
            f"select event_date, count(*) from {name} where event_date between $from_date and $to_date group by 1",
            parameters,
        ).fetchall()
        rows = {day: dict(counted).get(day, 0) for day in fingerprints}
        record_built(connection, EVENT_SKETCH_COUNTS, fingerprints, rows)
    progress(f"event_sketch_counts {start} to {end}")
    return rows


def build_baseline_stats(session: WarehouseSession) -> pd.DataFrame:
    """Replace monitoring.baseline_stats by what the facts say now; the rows written."""
    from quality_assets.domain.drift import baseline_stats

    facts = read_frame(session, f"select * from {FACT_FEATURE_METRICS.qualified_name}")
    stats = baseline_stats(facts)
    replace_rows(session, BASELINE_STATS, stats)
    return stats


def build_data_drift(session: WarehouseSession, effects: Mapping[str, float], progress: Progress) -> pd.DataFrame:
    """Judge the days since the last one judged, that one included as more of it may have come; the rows written.

    Earlier days keep what was said of them.
    """
    from quality_assets.domain.drift import drift_rows

    through = last_day(session)
    if through is None:
        return pd.DataFrame(columns=list(DATA_DRIFT.column_names))
    judged = read_frame(session, f"select max(event_date) as day from {DATA_DRIFT.qualified_name}")["day"].iloc[0]
    first = through - timedelta(days=FIRST_DAYS - 1) if pd.isna(judged) else pd.Timestamp(judged).date()
    first = max(first, through - timedelta(days=SKETCH_DAYS - 1))
    dates = [day.date() for day in pd.date_range(min(first, through), through)]
    sketches = _sketches(session, through)
    progress(f"drift of {len(sketches)} things on {len(dates)} days")
    rows = drift_rows(sketches, dates, effects)
    replace_rows(session, DATA_DRIFT, rows, "event_date >= $first", {"first": dates[0]})
    return rows


def build_drift_distributions(session: WarehouseSession) -> pd.DataFrame:
    """Replace monitoring.drift_distributions by what the last day looks like beside its reference; the rows written."""
    from quality_assets.domain.drift import distribution_rows

    through = last_day(session)
    sketches = [] if through is None else _sketches(session, through)
    rows = distribution_rows(sketches, through or date.min)
    replace_rows(session, DRIFT_DISTRIBUTIONS, rows)
    return rows


def _sketches(session: WarehouseSession, through: date) -> list[Any]:
    from quality_assets.domain.drift import event_sketches, frame_sketches, performance_sketches

    since = {"since": through - timedelta(days=SKETCH_DAYS - 1), "through": through}
    window = "event_date between $since and $through"
    counts = read_frame(
        session,
        f"select * from {EVENT_SKETCH_COUNTS.qualified_name} where {window} and feature = '' and name <> 'event_name'",
        since,
    )
    inputs = read_frame(
        session,
        f"select event_date, {RISK_TRAINING_SET.select_list(INPUT_NAMES)} from {RISK_TRAINING_SET.qualified_name}"
        f" where {window}",
        since,
    )
    # A later model never rewrites a score: where a day has several, the newest speaks.
    newest = (
        "qualify row_number() over (partition by event_date, feature"
        " order by try_cast(model_version as bigint) desc nulls last, model_version desc) = 1"
    )
    scores = read_frame(
        session,
        f"select event_date, risk_probability from {RISK_SCORES.qualified_name} where {window} {newest}",
        since,
    )
    graded = read_frame(
        session,
        f"select event_date, risk_probability, label_any from {SCORE_LEDGER.qualified_name} where {window} {newest}",
        since,
    )
    graded["label_any"] = graded["label_any"].astype("Float64")
    return [
        *event_sketches(counts),
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
        return f"{why[0].upper()}{why[1:]}."
    rows = read_frame(session, f"select * from {DATA_DRIFT.qualified_name} where event_date = $day", {"day": through})
    # A challenger that lost was trained on the same data: another would lose too.
    return retraining_reason(rows, newest[0], through)


def inputs_of_late(session: WarehouseSession) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Model inputs of the last week, and of the eight weeks before it: what effects on predictions compare."""
    columns = ", ".join(("event_date", "feature", RISK_TRAINING_SET.select_list(INPUT_NAMES)))
    rows = read_frame(
        session,
        f"select {columns} from {RISK_TRAINING_SET.qualified_name} where has_baseline and event_date >"
        f" (select max(event_date) from {RISK_TRAINING_SET.qualified_name}) - {CURRENT_DAYS + 56}"
        " order by event_date, feature",
    )
    if not len(rows):
        return rows, rows
    day = pd.to_datetime(rows["event_date"])
    is_current = day > day.max() - pd.Timedelta(days=CURRENT_DAYS)
    return rows[~is_current].reset_index(drop=True), rows[is_current].reset_index(drop=True)


def last_day(session: WarehouseSession) -> date | None:
    """The last day with facts; None before the first."""
    row = session.connection.execute(f"select max(event_date) from {FACT_FEATURE_METRICS.qualified_name}").fetchone()
    return row[0] if row else None


def build_drift_power(session: WarehouseSession, progress: Progress) -> bool:
    """Measure what the monitor can see at the usual number of rows a day and at ten times as many; False where what is
    known still holds."""
    from quality_assets.domain.drift_power import power_table

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
