"""Contract of `product.incidents`: one fault of one feature, with a beginning and an end.

How incidents are found lives in `domain/series/detection.py` and `domain/features/incidents.py`.
"""

from __future__ import annotations

from quality_assets.contracts.states import OBJECTIVE_SOURCES
from quality_assets.contracts.table import Build, Column, Table

INCIDENT_KINDS = ("step", "creep", "spike", "dead", "objective")
INCIDENT_SEVERITIES = ("low", "medium", "high", "critical")
INCIDENT_SCOPES = ("feature", "product")
SLICE_STATUSES = ("found", "everything", "unknown")
END_KINDS = ("open", "recovered", "adopted", "silent")
"""Still going on; back to what was normal before; still off, and taken for the new normal; no events any more."""
VERDICTS = ("real", "partly", "measurement", "unknown")
"""Of an open incident: whether the product is worse, or who and what was measured is another."""
CAUSE_PARTS = (
    "users", "app_version", "platform", "country", "event_name", "repeated_rows", "late_rows", "quarantined_rows",
    "rows_per_user", "renamed", "real",
)  # fmt: skip

INCIDENTS = Table(
    schema="product",
    name="incidents",
    description="Degradations: what got worse, since when, by how much, for whom, and where it comes from",
    grain="one row per fault of a feature; metrics that moved together are one fault",
    key=("incident_id",),
    build=Build(
        "scoring",
        inputs=(
            "product.feature_states",
            "product.fact_feature_metrics",
            "core.valid_events",
            "core.quarantined_events",
            "monitoring.event_sketch_counts",
            "raw.feature_descriptions",
        ),
    ),
    columns=(
        Column(
            "incident_id",
            "VARCHAR",
            "From feature, metric and detection day: later days never change it",
            nullable=False,
        ),
        Column("feature", "VARCHAR", "Product feature", nullable=False),
        Column("event_name", "VARCHAR", "The one event that died; null where the whole feature is meant"),
        Column("metric", "VARCHAR", "The metric that gave it away, in the metric registry", nullable=False),
        Column(
            "metrics", "VARCHAR[]", "Every metric that moved in the same fault, the one above first", nullable=False
        ),
        Column(
            "kind",
            "VARCHAR",
            "Sudden and lasting, growing, one day only, no events at all, or beyond its objective",
            nullable=False,
            allowed=INCIDENT_KINDS,
        ),
        Column(
            "scope",
            "VARCHAR",
            "product where most features changed alike at once",
            nullable=False,
            allowed=INCIDENT_SCOPES,
        ),
        Column("start_date", "DATE", "First day that is worse, as dated afterwards", nullable=False),
        Column("end_date", "DATE", "Last day that is worse; null while it is open"),
        Column("detected_on", "DATE", "First day on which it could be told from chance", nullable=False),
        Column("unit", "VARCHAR", "Of the three values and of size: count, ms, fraction, score", nullable=False),
        Column("baseline_value", "DOUBLE", "What was normal, averaged over the incident's days"),
        Column("current_value", "DOUBLE", "On the incident's last day; null where there is no data"),
        Column("peak_value", "DOUBLE", "On its worst day; null where there is no data"),
        Column("size", "DOUBLE", "peak − baseline of that day, in unit"),
        Column("change", "DOUBLE", "peak ÷ baseline of that day − 1; null where the baseline is 0", unit="fraction"),
        Column(
            "score",
            "DOUBLE",
            "Strongest evidence, in standard deviations of the feature's own noise",
            nullable=False,
            unit="sd",
        ),
        Column(
            "affected_users",
            "BIGINT",
            "Users a day who met it, on its worst day; null where users are unknown",
            unit="count",
            minimum=0,
        ),
        Column("events", "BIGINT", "Events of the feature during it", nullable=False, unit="count", minimum=0),
        Column(
            "excess",
            "DOUBLE",
            "Crashes or errors beyond normal, or events missing, during it; null for other metrics",
            unit="count",
        ),
        Column(
            "slice_status",
            "VARCHAR",
            "Whether one slice explains it; everything = it does not",
            nullable=False,
            allowed=SLICE_STATUSES,
        ),
        Column(
            "slice_dimensions",
            "VARCHAR[]",
            "platform, app_version, country, or two of them; empty where none",
            nullable=False,
        ),
        Column("slice_values", "VARCHAR[]", "Their values, in the same order", nullable=False),
        Column(
            "slice_share", "DOUBLE", "Share of the change that lies in the slice", unit="fraction", minimum=0, maximum=1
        ),
        Column(
            "slice_traffic_share",
            "DOUBLE",
            "Share of the feature's events that the slice has, before",
            unit="fraction",
            minimum=0,
            maximum=1,
        ),
        Column(
            "severity",
            "VARCHAR",
            "By size, objective, users hit on the last day and tier",
            nullable=False,
            allowed=INCIDENT_SEVERITIES,
        ),
        Column("sentence", "VARCHAR", "The incident as one would say it", nullable=False),
        Column(
            "platform",
            "VARCHAR",
            "The one platform whose crash rate gave it away and whose values these are; null where the whole is meant",
        ),
        Column("worst_date", "DATE", "Its worst day"),
        Column("current_size", "DOUBLE", "value − baseline on the incident's last day, in unit"),
        Column(
            "real_change",
            "DOUBLE",
            "Towards worse, less what chance may add: of the last days while open, else of the worst; as change",
        ),
        Column(
            "users_today", "BIGINT", "Users who met it on its last day; null where unknown", unit="count", minimum=0
        ),
        Column("objective", "DOUBLE", "The metric's objective, in unit; null without one"),
        Column("objective_source", "VARCHAR", "From feature_metadata.csv, or by tier", allowed=OBJECTIVE_SOURCES),
        Column("is_objective_breach", "BOOLEAN", "Its objective is breached on its last day; null without one"),
        Column(
            "burn_rate_28d", "DOUBLE", "Use of the error budget over 28 days, 1 = as allowed", unit="ratio", minimum=0
        ),
        Column(
            "days_pooled",
            "DOUBLE",
            "Days whose events tell it together; null = each by itself",
            unit="days",
        ),
        Column(
            "end_kind",
            "VARCHAR",
            "How it ended: only recovered is back to what was normal; silent = renamed or removed",
            allowed=END_KINDS,
        ),
        Column("adopted_on", "DATE", "The day on which its level was taken for the new normal; null otherwise"),
        Column("still_off", "DOUBLE", "value − normal before it, of the last week, where adopted; in unit"),
        Column("features", "VARCHAR[]", "Every feature that it is of, where it is of most of the product; else null"),
        Column("renamed_to", "VARCHAR[]", "Names that appeared as this one vanished, in its size; null without any"),
        Column("peak_count", "DOUBLE", "How many crashes or errors on its worst day, where few are usual; else null"),
        Column("usual_most", "DOUBLE", "As many at most 99 of 100 times where all is as usual; null as peak_count"),
        Column("verdict", "VARCHAR", "Whether it is real, while it is open", allowed=VERDICTS),
        Column("real_share", "DOUBLE", "Share of the change that remains when all else is held; null where unknown"),
        Column("verdict_sentence", "VARCHAR", "The verdict as one would say it"),
        Column("counted_days", "INTEGER", "Of how many days together peak_count is; null where of its worst alone"),
    ),
)

INCIDENT_CAUSES = Table(
    schema="product",
    name="incident_causes",
    description="How much of the change of each open incident goes away when what is measured is held fixed",
    grain="one row per open incident and part; the parts add up to the change",
    key=("incident_id", "part"),
    build=Build("scoring", made_with="product.incidents"),
    columns=(
        Column("incident_id", "VARCHAR", "In product.incidents", nullable=False),
        Column("feature", "VARCHAR", "Product feature", nullable=False),
        Column("part", "VARCHAR", "What is held fixed; real = what remains", nullable=False, allowed=CAUSE_PARTS),
        Column("metric", "VARCHAR", "The incident's metric", nullable=False),
        Column("unit", "VARCHAR", "Of size, low and high: count, ms, fraction, score", nullable=False),
        Column("size", "DOUBLE", "Its part of the change, in unit", nullable=False),
        Column("low", "DOUBLE", "Lower end of the 90 % interval of size"),
        Column("high", "DOUBLE", "Upper end of the 90 % interval of size"),
        Column("share", "DOUBLE", "size ÷ change; null where nothing has changed", unit="fraction"),
        Column("value_before", "DOUBLE", "The metric over the days before, as measured"),
        Column("value_now", "DOUBLE", "The metric over the last days, as measured"),
        Column("rows_used", "BIGINT", "Events that it was told by", nullable=False, unit="count", minimum=0),
    ),
)
