"""Contract of `product.feature_states`: what is worse, since when, and by how much, said once for everybody.

How a state is found lives in `domain/series/detection.py` and `domain/series/states.py`, objectives in
`domain/series/objectives.py`.
"""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table

STATES = ("ok", "worse", "recovering", "breached", "unknown")
"""Of a metric on a day: as usual; worse than its own past; in such an episode, but the day itself as usual; as usual
and beyond its objective; not known."""
REASONS_UNKNOWN = (
    "no_data_that_day",
    "no_events",
    "no_values",
    "too_few_values",
    "too_few_events",
    "too_little_history",
    "gone",
)
OBJECTIVE_SOURCES = ("given", "default")

FEATURE_STATES = Table(
    schema="product",
    name="feature_states",
    description="The state of each metric of each feature, day by day, as one could know it at the end of that day",
    grain="one row per feature, day and metric since the feature was first seen, and per event and platform watched",
    key=("event_date", "feature", "metric", "event_name", "platform"),
    partition_column="event_date",
    build=Build(
        "model_inputs",
        inputs=(
            "product.fact_feature_metrics",
            "monitoring.event_sketch_counts",
            "raw.feature_descriptions",
        ),
    ),
    columns=(
        Column("event_date", "DATE", "The UTC day", nullable=False),
        Column("feature", "VARCHAR", "Product feature", nullable=False),
        Column("metric", "VARCHAR", "Name in the metric registry", nullable=False),
        Column("event_name", "VARCHAR", "The event watched for silence; empty where the feature is", nullable=False),
        Column("platform", "VARCHAR", "The one platform watched for crashes; empty where the whole is", nullable=False),
        Column("state", "VARCHAR", "In one word", nullable=False, allowed=STATES),
        Column("reason_unknown", "VARCHAR", "Why it is not known; else null", allowed=REASONS_UNKNOWN),
        Column(
            "is_counted",
            "BOOLEAN",
            "Whether it makes incidents and counts for the feature's label; feature_metadata.csv may say no",
            nullable=False,
        ),
        Column("is_bad", "BOOLEAN", "Worse or breached, and counted: what labels are made of", nullable=False),
        Column("value", "DOUBLE", "The day's value; null where there is none"),
        Column("sample_size", "DOUBLE", "Events or values behind it; null for counts", unit="count"),
        Column("expected", "DOUBLE", "What was normal that day, in the metric's unit"),
        Column("size", "DOUBLE", "value - expected of the day, in the metric's unit"),
        Column("change", "DOUBLE", "Towards worse, as a fraction of expected, at most 10; of scores in points"),
        Column("z", "DOUBLE", "How far the day lies towards worse, in deviations of its own noise", unit="sd"),
        Column("drift", "DOUBLE", "z smoothed over the days, in its own deviations", unit="sd"),
        Column("noise", "DOUBLE", "One deviation, in the metric's unit"),
        Column("since", "DATE", "First day of the episode or breach that goes on, as dated now; else null"),
        Column("worst_date", "DATE", "Its worst day so far"),
        Column("worst_size", "DOUBLE", "value - expected of that day"),
        Column(
            "days_pooled",
            "DOUBLE",
            "Days that the verdict rests upon, or that a failure would take to be told; null where it never would",
            unit="days",
            minimum=1,
        ),
        Column(
            "events_to_tell",
            "DOUBLE",
            "Events (or values) a day from which on a failure would be told within four weeks",
            unit="count",
            minimum=0,
        ),
        Column("is_open", "BOOLEAN", "Inside an episode that is worse than its own past", nullable=False),
        Column("is_found", "BOOLEAN", "The episode was found that day", nullable=False),
        Column("is_silent", "BOOLEAN", "No events, beyond chance", nullable=False),
        Column("is_pooled", "BOOLEAN", "Told by the events of several days together", nullable=False),
        Column("is_adopted", "BOOLEAN", "From the next day on the new level is the normal one", nullable=False),
        Column("run_since", "DATE", "Day on which the smoothed deviation last left normal, as known then"),
        Column("silence_log_p", "DOUBLE", "Natural logarithm of the probability of this silence, were all as usual"),
        Column("objective", "DOUBLE", "The objective, in the metric's unit; null where the metric has none"),
        Column("objective_source", "VARCHAR", "From feature_metadata.csv, or by tier", allowed=OBJECTIVE_SOURCES),
        Column("is_objective_breach", "BOOLEAN", "Its objective is breached, whatever its own past; null without one"),
        Column(
            "burn_rate_3d", "DOUBLE", "Use of the error budget over 3 days, 1 = as allowed", unit="ratio", minimum=0
        ),
        Column("burn_rate_28d", "DOUBLE", "The same over 28 days", unit="ratio", minimum=0),
        Column(
            "budget_left",
            "DOUBLE",
            "Of the error budget of 28 days; below 0 overspent",
            unit="fraction",
            maximum=1,
        ),
    ),
)
