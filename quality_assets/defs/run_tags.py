"""What a run's tags say of it: which event dates it covers, and whether the command line follows it up; and of which
parts the run is that makes several as one."""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from quality_assets.contracts.table import Stage

if TYPE_CHECKING:
    from dagster import DagsterRun

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PROCESS_TAG = "quality/process"
"""The process of the command line that runs it, and goes on with what follows from it."""

BRING_UP_TO_DATE = "bring_up_to_date"
"""The job of the daemon that does all that `quality run` does, in one process."""

BUILD_AND_REPORT = "build_and_report"
PARTS_OF_THE_CHAIN: dict[str, tuple[Stage, ...]] = {
    "build_days": ("days", "trends"),
    "build_impact": ("impact",),
    "score_and_report": ("model_inputs", "scoring", "report"),
}
"""The jobs whose tables `build_and_report` makes in one run, in order, and the stages of each (docs/adr/0024)."""


def process_of(run: "DagsterRun") -> str | None:
    """The process of the command line that makes a run; None where Dagster has launched it.

    What is executed again from the UI has the tags of what it repeats, and is another process's.
    """
    return None if run.parent_run_id else run.tags.get(PROCESS_TAG)


def range_tags(start: date, end: date) -> dict[str, str]:
    """The tags that make a run cover the event dates from `start` to `end`."""
    return {RANGE_START: start.isoformat(), RANGE_END: end.isoformat()}


def run_partition(tags: Mapping[str, str]) -> str:
    """The event dates that a run covers, by its tags; empty where it covers none."""
    start = tags.get(RANGE_START) or tags.get("dagster/partition") or ""
    end = tags.get(RANGE_END) or start
    return start if start == end else f"{start}...{end}"
