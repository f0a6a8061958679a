"""Contracts of the `product` schema: features described, measured per day, and held against their own past."""

from __future__ import annotations

from quality_assets.contracts.metrics import ADOPTION_RATE, MEASURES, METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.table import Build, Column, Table

DIM_FEATURE_METADATA = Table(
    schema="product",
    name="dim_feature_metadata",
    description="What is known of each product feature: owner, team, lifecycle, objectives, and when it was seen",
    grain="one row per feature, described or seen",
    key=("feature",),
    build=Build("publication", inputs=("product.fact_feature_metrics", "raw.feature_descriptions")),
    columns=(
        *FEATURE_DESCRIPTIONS.columns,
        Column(
            "is_described", "BOOLEAN", "False where events have it and feature_metadata.csv does not", nullable=False
        ),
        Column("first_seen_date", "DATE", "First day with events; null where never seen"),
        Column("last_seen_date", "DATE", "Last day with events; null where never seen"),
    ),
)

_FEATURE_DAY = (
    Column("event_date", "DATE", "The UTC day", nullable=False),
    Column("feature", "VARCHAR", "Product feature", nullable=False),
)

# A day's band needs the expectations of the 28 days before it, which need the 28 before those.
TREND_WINDOW_DAYS = 28
TREND_HISTORY_DAYS = 2 * TREND_WINDOW_DAYS

_MEASURE_NAMES = {measure.name for measure in MEASURES}

FACT_FEATURE_METRICS = Table(
    schema="product",
    name="fact_feature_metrics",
    description="Every metric of every feature, day by day, each ratio with its numerator and denominator",
    grain="one row per feature per day on which it has events",
    key=("event_date", "feature"),
    partition_column="event_date",
    build=Build(
        "days",
        inputs=("core.valid_events", "core.user_feature_days", "raw.feature_descriptions"),
        also_from=("apdex_thresholds",),
        is_audited=True,
        contract_checks=("key_unique",),
    ),
    columns=(
        *_FEATURE_DAY,
        *(Column(m.name, m.type, m.description, nullable=m.nullable, unit=m.unit, minimum=0) for m in MEASURES),
        *(
            Column(
                m.name,
                "DOUBLE",
                m.description,
                unit=m.unit,
                minimum=0,
                maximum=1 if m.unit == "fraction" or m.name == "apdex" else None,
            )
            for m in METRICS
            if m.name not in _MEASURE_NAMES
        ),
        Column("all_users", "BIGINT", "Distinct users of any feature that day", unit="count", minimum=0),
        Column(ADOPTION_RATE.name, "DOUBLE", ADOPTION_RATE.description, unit="fraction", minimum=0, maximum=1),
    ),
)

FEATURE_DAILY_TRENDS = Table(
    schema="product",
    name="feature_daily_trends",
    description="Each metric of each feature against its own past: baselines, same-weekday expectation, band, flags",
    grain="one row per feature, day and metric, also on days without events since the feature was first seen",
    key=("event_date", "feature", "metric"),
    partition_column="event_date",
    build=Build(
        "trends",
        inputs=("product.fact_feature_metrics",),
        version=2,
        history_days=TREND_HISTORY_DAYS,
        # A feature has a trend on every day since it was first seen, however long ago that is.
        also_from=("features_seen",),
        is_audited=True,
        contract_checks=("key_unique",),
    ),
    columns=(
        *_FEATURE_DAY,
        Column("metric", "VARCHAR", "Name in the metric registry", nullable=False),
        Column("value", "DOUBLE", "The day's value; null where there is no data"),
        Column("baseline_7d", "DOUBLE", "Mean of the 7 days before"),
        Column("baseline_28d", "DOUBLE", "Mean of the 28 days before"),
        Column(
            "expected", "DOUBLE", "Median of the same weekday in the 28 days before; of all days until there are three"
        ),
        Column("expected_low", "DOUBLE", "Lower edge of the expected band"),
        Column("expected_high", "DOUBLE", "Upper edge of the expected band"),
        Column("change", "DOUBLE", "value ÷ expected − 1", unit="fraction"),
        Column(
            "days_observed",
            "INTEGER",
            "Days with a value among the 28 before",
            nullable=False,
            unit="days",
            minimum=0,
            maximum=TREND_WINDOW_DAYS,
        ),
        Column("is_outside_band", "BOOLEAN", "Outside the expected band; null where there is no band"),
        Column("is_worse", "BOOLEAN", "Outside the band on the side that hurts; null where there is no band"),
    ),
)
