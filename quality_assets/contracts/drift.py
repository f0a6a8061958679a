"""Contracts of the half of `monitoring` that watches data and model: baselines, drift, power.

How they are computed lives in `domain/drift/` and `domain/series/normal.py`.
"""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table

DRIFT_KINDS = ("data", "prediction", "performance")
DRIFT_STATUSES = ("ok", "drifted", "unknown")
DRIFT_STATISTICS = ("w1", "binomial_z", "total_variation", "mean_shift")
BASELINE_STATUSES = ("ok", "new", "too_little_history", "constant", "silent")

BASELINE_STATS = Table(
    schema="monitoring",
    name="baseline_stats",
    description="What is normal for each metric of each feature: level, weekday shape, noise, and when silence is news",
    grain="one row per feature and metric, as of the last day",
    key=("feature", "metric"),
    build=Build("scoring", inputs=("product.fact_feature_metrics",)),
    columns=(
        Column("feature", "VARCHAR", "Product feature", nullable=False),
        Column("metric", "VARCHAR", "Name in the metric registry", nullable=False),
        Column("as_of_date", "DATE", "Last day it knows", nullable=False),
        Column("reference_from", "DATE", "First day of the reference window", nullable=False),
        Column("days_observed", "INTEGER", "Days with a value in the window", nullable=False, unit="days", minimum=0),
        Column(
            "status",
            "VARCHAR",
            "Why there is no baseline, where there is none",
            nullable=False,
            allowed=BASELINE_STATUSES,
        ),
        Column("unit", "VARCHAR", "Of the values: count, ms, fraction, score", nullable=False),
        Column("level", "DOUBLE", "Median"),
        Column("p05", "DOUBLE", "5th percentile"),
        Column("p95", "DOUBLE", "95th percentile"),
        Column("noise", "DOUBLE", "Robust day-to-day deviation from the weekday's own level (1.4826 MAD), in unit"),
        Column(
            "weekday_levels",
            "DOUBLE[]",
            "Median per weekday, Monday first; null where a weekday was not seen",
            nullable=False,
        ),
        Column(
            "silent_days_to_tell",
            "INTEGER",
            "Days without any event before silence is beyond chance; null where unknown",
            unit="days",
            minimum=1,
        ),
    ),
)

EVENT_SKETCH_COUNTS = Table(
    schema="monitoring",
    name="event_sketch_counts",
    description="How many events of each day fell into each bin of what is watched: distributions, a day at a time",
    grain="one row per day, watched thing and bin that has events",
    key=("event_date", "feature", "name", "bin"),
    partition_column="event_date",
    build=Build(
        "days",
        inputs=("core.valid_events",),
        version=2,
        contract_checks=("key_unique",),
        precedes_publication=False,
    ),
    columns=(
        Column("event_date", "DATE", "The UTC day", nullable=False),
        Column("feature", "VARCHAR", "Product feature; empty where all traffic is meant", nullable=False),
        Column(
            "name",
            "VARCHAR",
            "Event column; by feature event_name, and platform_events and platform_crashes",
            nullable=False,
        ),
        Column("bin", "VARCHAR", "Its value, or the number of its bin", nullable=False),
        Column("n", "BIGINT", "Events", nullable=False, unit="count", minimum=1),
    ),
)

USER_FEATURE_SKETCHES = Table(
    schema="monitoring",
    name="user_feature_sketches",
    description="How many users had what in which bin of each online feature at the end of a day: days compare cheaply",
    grain="one row per day, online feature and bin that has users",
    key=("event_date", "name", "bin"),
    partition_column="event_date",
    build=Build(
        "scoring",
        inputs=("product.user_features", "core.valid_events"),
        contract_checks=("key_unique",),
        precedes_publication=False,
    ),
    columns=(
        Column("event_date", "DATE", "The day at whose end they hold, UTC", nullable=False),
        Column("name", "VARCHAR", "Online feature, as in product.user_features", nullable=False),
        Column("bin", "VARCHAR", "Its value, or the number of its bin; missing where it is null", nullable=False),
        Column("n", "BIGINT", "Users; a sample of days before the first that was scored", nullable=False, minimum=1),
    ),
)

DATA_DRIFT = Table(
    schema="monitoring",
    name="data_drift",
    description="Has what comes in, what is predicted, or how well, moved beyond chance, and by how much",
    grain="one row per monitored thing and day",
    key=("event_date", "kind", "feature", "name"),
    partition_column="event_date",
    build=Build(
        "scoring",
        inputs=(
            "monitoring.event_sketch_counts",
            "monitoring.user_feature_sketches",
            "ml.risk_training_set",
            "ml.risk_scores",
            "ml.score_ledger",
        ),
    ),
    columns=(
        Column("event_date", "DATE", "The day that is judged", nullable=False),
        Column(
            "kind",
            "VARCHAR",
            "Data, prediction, or performance on matured labels: never mixed",
            nullable=False,
            allowed=DRIFT_KINDS,
        ),
        Column("feature", "VARCHAR", "Product feature; empty where all traffic is meant", nullable=False),
        Column(
            "name",
            "VARCHAR",
            "What is monitored: a model input, an event column, a rate, the score, a grade; user_features.NAME is an "
            "online feature of users",
            nullable=False,
        ),
        Column(
            "statistic",
            "VARCHAR",
            "w1: Wasserstein-1 in typical sizes; binomial_z: of a rate, overdispersion removed; total_variation: of a "
            "mix; mean_shift: of a grade, in deviations",
            nullable=False,
            allowed=DRIFT_STATISTICS,
        ),
        Column("observed", "DOUBLE", "The statistic; null where unknown"),
        Column(
            "threshold",
            "DOUBLE",
            "Above it chance is not enough: from the null at these sample sizes, or the least that matters",
        ),
        Column("null_median", "DOUBLE", "The statistic between days of the reference"),
        Column("null_mad", "DOUBLE", "Its median absolute deviation there"),
        Column("p_value", "DOUBLE", "Chance of as much with no drift, from the null", minimum=0, maximum=1),
        Column(
            "q_value",
            "DOUBLE",
            "After Benjamini–Hochberg over the day's tests of one family: event columns, model inputs, missing inputs, "
            "online features of users, predictions, performance",
            minimum=0,
            maximum=1,
        ),
        Column("is_drifted", "BOOLEAN", "Above threshold and kept after false-discovery control; null where unknown"),
        Column("reference_value", "DOUBLE", "Median or rate of the reference"),
        Column("current_value", "DOUBLE", "Median of the day, or rate over the window"),
        Column("n_reference", "BIGINT", "Rows in the reference", nullable=False, unit="count", minimum=0),
        Column("n_current", "BIGINT", "Rows of the day, or of the window", nullable=False, unit="count", minimum=0),
        Column("reference_days", "INTEGER", "Days behind a day's reference", nullable=False, unit="days", minimum=0),
        Column(
            "window_days",
            "INTEGER",
            "Trailing days over which it moved most: rates only, since rare counts say little in a day; else 1",
            unit="days",
            minimum=1,
        ),
        Column(
            "effect_on_predictions",
            "DOUBLE",
            "Mean absolute shift of the score when this input alone is swapped in; null where it is no input",
            unit="probability",
            minimum=0,
            maximum=1,
        ),
        Column(
            "rank",
            "INTEGER",
            "1 matters most: drifted first, then effect on predictions, then excess over threshold",
            nullable=False,
            minimum=1,
        ),
        Column("status", "VARCHAR", "unknown is never ok", nullable=False, allowed=DRIFT_STATUSES),
        Column("verdict", "VARCHAR", "In words", nullable=False),
    ),
)

DRIFT_DISTRIBUTIONS = Table(
    schema="monitoring",
    name="drift_distributions",
    description="The last judged day beside its reference: how much of each fell into which bin or value",
    grain="one row per monitored distribution and bin, of the last day",
    key=("kind", "feature", "name", "bin"),
    build=Build("scoring", inputs=("monitoring.data_drift",), precedes_publication=False),
    columns=(
        Column("kind", "VARCHAR", "As in data_drift", nullable=False, allowed=DRIFT_KINDS),
        Column("feature", "VARCHAR", "Product feature; empty where all traffic is meant", nullable=False),
        Column("name", "VARCHAR", "What is monitored", nullable=False),
        Column("event_date", "DATE", "The day that is judged", nullable=False),
        Column("bin", "INTEGER", "Position, from 0", nullable=False, minimum=0),
        Column("label", "VARCHAR", "The value, of a mix; null for numbers"),
        Column("low", "DOUBLE", "Least value of the bin, in the column's unit; null where it is open, or of a mix"),
        Column("high", "DOUBLE", "Largest value; null where it is open, or of a mix"),
        Column(
            "reference_share", "DOUBLE", "Share of the reference", nullable=False, unit="fraction", minimum=0, maximum=1
        ),
        Column("current_share", "DOUBLE", "Share of the day", nullable=False, unit="fraction", minimum=0, maximum=1),
    ),
)

DRIFT_POWER = Table(
    schema="monitoring",
    name="drift_power",
    description="How large a change the drift monitor can see at the sample sizes at hand, and how often it errs",
    grain="one row per statistic, change and number of rows a day",
    key=("statistic", "change", "rows_per_day"),
    build=Build("training", inputs=("product.fact_feature_metrics",)),
    columns=(
        Column("statistic", "VARCHAR", "As in data_drift", nullable=False, allowed=DRIFT_STATISTICS),
        Column("change", "VARCHAR", "The injected change, in words", nullable=False),
        Column("rows_per_day", "BIGINT", "Sample size", nullable=False, unit="count", minimum=1),
        Column(
            "power",
            "DOUBLE",
            "Share of trials in which it was found; for no change: the false-alarm rate",
            nullable=False,
            unit="fraction",
            minimum=0,
            maximum=1,
        ),
        Column("trials", "INTEGER", "Simulated days", nullable=False, unit="count", minimum=1),
    ),
)
