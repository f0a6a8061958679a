"""What a run's tags say of it: which event dates it covers, and whether the command line follows it up."""

from collections.abc import Mapping
from datetime import date

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PROCESS_TAG = "quality/process"
"""The process of the command line that runs it, and goes on with what follows from it."""


def range_tags(start: date, end: date) -> dict[str, str]:
    """The tags that make a run cover the event dates from `start` to `end`."""
    return {RANGE_START: start.isoformat(), RANGE_END: end.isoformat()}


def run_partition(tags: Mapping[str, str]) -> str:
    """The event dates that a run covers, by its tags; empty where it covers none."""
    start = tags.get(RANGE_START) or tags.get("dagster/partition") or ""
    end = tags.get(RANGE_END) or start
    return start if start == end else f"{start}...{end}"
