"""The contract of facts beside the risk that was seen in them and what then came: what people take away as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quality_assets.contracts.ml import DEGRADATION_LABELS, RISK_SCORES
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.table import Build, Column, Table

_SCORE_COLUMNS = {
    "risk_probability": "risk_probability",
    "risk_low": "low",
    "risk_high": "high",
    "risk_rank": "rank",
    "score_kind": "score_kind",
    "model_version": "model_version",
    "is_backfilled": "is_backfilled",
}
_LABEL_COLUMNS = ("label_any", "days_to_degradation")

SCORE_SOURCES = _SCORE_COLUMNS
"""Names in this table of columns of ml.risk_scores."""

OUTCOME_COLUMNS = _LABEL_COLUMNS
"""Columns of ml.degradation_labels that say what came."""


def _taken() -> Iterator[Column]:
    for name, source in _SCORE_COLUMNS.items():
        yield replace(RISK_SCORES.column(source), name=name, nullable=True)
    for name in _LABEL_COLUMNS:
        yield DEGRADATION_LABELS.column(name)


FEATURE_METRICS_WITH_RISK = Table(
    schema="product",
    name="feature_metrics_with_risk",
    description=(
        "The facts of each feature and day, the risk as it stood at the day's end, and what came within its days; risk"
        " is null where no model could have told"
    ),
    grain=FACT_FEATURE_METRICS.grain,
    key=FACT_FEATURE_METRICS.key,
    partition_column="event_date",
    build=Build(
        "publication",
        inputs=("product.fact_feature_metrics", "ml.risk_scores", "ml.degradation_labels", "product.incidents"),
    ),
    columns=(
        *FACT_FEATURE_METRICS.columns,
        *_taken(),
        Column(
            "incident_ahead",
            "VARCHAR",
            "incident_id of the first incident of the feature that began within the days that the score looks ahead",
        ),
    ),
)

TABLES = (FEATURE_METRICS_WITH_RISK,)
