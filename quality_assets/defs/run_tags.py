"""What a run's tags say of it: which event dates it covers."""

from collections.abc import Mapping


def run_partition(tags: Mapping[str, str]) -> str:
    """The event dates that a run covers, by its tags; empty where it covers none."""
    start = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition") or ""
    end = tags.get("dagster/asset_partition_range_end") or start
    return start if start == end else f"{start}...{end}"
