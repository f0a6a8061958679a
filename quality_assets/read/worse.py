"""Whether a metric is worse, for queries of trends: by the one state, as `domain/features/status` words it."""

from __future__ import annotations

from quality_assets.domain.features.status import is_worse_sql, state_join_sql
from quality_assets.read.reader import Reader

STATES = "product.feature_states"


def worse_by(reader: Reader) -> dict[str, str]:
    """SQL of `is_worse` and of the join behind it (`states`), for a query of trends under the name `trend`.

    A snapshot of before there were states has the band of the trend alone.
    """
    if not reader.has(STATES):
        return {"is_worse": "trend.is_worse", "states": ""}
    return {"is_worse": is_worse_sql("trend", "state"), "states": state_join_sql("trend", "state")}
