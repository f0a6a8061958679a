"""Whose each part of the graph is: said once, for Dagster and for who is told of what goes wrong there."""

from __future__ import annotations

from collections.abc import Mapping

TEAM = "team:"
OWNERS: Mapping[str, str] = {
    "raw": "team:data-platform",
    "core": "team:data-platform",
    "product": "team:product-analytics",
    "impact": "team:product-analytics",
    "ml": "team:ml-platform",
    "monitoring": "team:ml-platform",
    "publish": "team:data-platform",
    "datasets": "team:data-platform",
}
"""By group, which is a table's schema and the beginning of an asset's key."""
HOUSE_OWNER = "team:data-platform"
"""Whose runs, publications, processes and channels are, where nothing says it otherwise."""


def owner_of(asset: str) -> str:
    """Whose an asset is, such as `core.valid_events`; empty for what is no part of the graph."""
    group, dot, _ = asset.partition(".")
    return OWNERS.get(group, "") if dot else ""
