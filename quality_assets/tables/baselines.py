"""Building what is normal for each feature and metric."""

from __future__ import annotations

import pandas as pd

from quality_assets.contracts.drift import BASELINE_STATS
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.facts import read_facts


def build_baseline_stats(session: WarehouseSession) -> pd.DataFrame:
    """Replace monitoring.baseline_stats by what the facts say now; the rows written."""
    from quality_assets.domain.series.normal import BASELINE_FACTS, baseline_stats

    stats = baseline_stats(read_facts(session.connection, BASELINE_FACTS))
    replace_rows(session, BASELINE_STATS, stats)
    return stats
