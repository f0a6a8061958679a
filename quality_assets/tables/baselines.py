"""Building what is normal for each feature and metric."""

from __future__ import annotations

import pandas as pd

from quality_assets.contracts.drift import BASELINE_STATS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.warehouse import WarehouseSession


def build_baseline_stats(session: WarehouseSession) -> pd.DataFrame:
    """Replace monitoring.baseline_stats by what the facts say now; the rows written."""
    from quality_assets.domain.series.normal import baseline_stats

    facts = read_frame(session, f"select * from {FACT_FEATURE_METRICS.qualified_name}")
    stats = baseline_stats(facts)
    replace_rows(session, BASELINE_STATS, stats)
    return stats
