"""Which features are judged: all that have facts, unless an id in their names makes more of them than can be."""

from __future__ import annotations

from quality_assets.contracts.product import FACT_FEATURE_METRICS

MOST_WATCHED = 5_000
"""So many features at the most are judged: what is worked out of each past takes memory by features times days."""

_FACTS = FACT_FEATURE_METRICS.qualified_name

WATCHED = f"""(
  select feature from (
    select feature, count(*) over (order by days desc, events desc) as features_up_to
    from (select feature, count(*) as days, sum(events) as events from {_FACTS} group by feature)
  ) where features_up_to <= {MOST_WATCHED}
)"""
"""A query of `feature`: those with facts on most days, and of those the ones with most events. Of features that are
alike in both, all or none: names that are ids come on a day, once, and are no past to anything."""
