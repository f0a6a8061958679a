"""What models that are served have predicted, and what came of it."""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table

PREDICTIONS = Table(
    schema="ml",
    name="predictions",
    description="Every prediction that was asked of a model, by which release it was made, and what came of it",
    grain="one row per request and version that was asked",
    key=("request_id", "model_version"),
    columns=(
        Column("request_id", "VARCHAR", "Name that the answer told, by which its outcome comes", nullable=False),
        Column("event_date", "DATE", "Day of the request, UTC", nullable=False),
        Column("at", "TIMESTAMP", "When it was answered", nullable=False, unit="UTC"),
        Column("model", "VARCHAR", "Use case", nullable=False),
        Column("model_version", "VARCHAR", "Version that answered", nullable=False),
        Column("release_seq", "BIGINT", "Release that had put it in use", minimum=1),
        Column("role", "VARCHAR", "prod answers; a shadow is asked beside it", nullable=False),
        Column("prediction", "DOUBLE", "What was answered, in the unit of the target"),
        Column("p10", "DOUBLE", "One in ten is expected below"),
        Column("p90", "DOUBLE", "One in ten is expected above"),
        Column("interval_method", "VARCHAR", "How p10 and p90 were made"),
        Column("interval_status", "VARCHAR", "Whether they hold what they say", allowed=("ok", "off", "unknown")),
        Column("known", "VARCHAR", "Which inputs were given"),
        Column("outside_training", "VARCHAR[]", "Inputs whose value training has not seen"),
        Column("inputs", "VARCHAR", "What was asked with, as JSON"),
        Column("latency_us", "DOUBLE", "From the request to the prediction", unit="us", minimum=0),
        Column("y", "DOUBLE", "What came of it; null until it is told"),
        Column("outcome_at", "TIMESTAMP", "When that was told", unit="UTC"),
    ),
    build=Build("learning"),
)
