"""The asset graph as rows, for pages that show lineage. Defines no asset."""

from collections.abc import Iterator
from typing import Any


def graph_rows() -> Iterator[dict[str, Any]]:
    """The rows of ops.asset_graph, upstream first."""
    # The definitions import every asset, this module's callers among them.
    from quality_assets.definitions import defs

    graph = defs().resolve_asset_graph()
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        yield {
            "asset": ".".join(key.path),
            "schema": node.group_name,
            "kinds": sorted(node.kinds),
            "description": (node.description or "").split("\n")[0],
            "owner": node.owners[0] if node.owners else None,
            "upstream": sorted(".".join(parent.path) for parent in node.parent_keys),
            "is_partitioned": node.is_partitioned,
        }
