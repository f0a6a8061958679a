"""Daily partitions that begin where a root's data begin: overrides fields and a method that Dagster's own code asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

import dagster as dg
from dagster._core.definitions.timestamp import TimestampWithTimezone


class EventDates(dg.DailyPartitionsDefinition):
    """Whole days from the first on, which may be moved; their keys are listed by counting.

    Dagster fixes the first day when a process loads the graph. A process that reads logs and then builds what they
    touched learns of the first day in between, so this one is asked for it each time.

    Dagster works out the window of each day by the calendar, every time that a step depends on all of them: of years of
    days, that costs each such step and each of its checks more than most of them do themselves.
    """

    def begin_at(self, first: date) -> None:
        """Let `first` be the first day from now on, in this process."""
        # `start` is a cached property of a tuple, which has no other place for what changes.
        self.__dict__["start"] = datetime.combine(first, time(), UTC)

    @property
    def start_ts(self) -> TimestampWithTimezone:  # type: ignore[override]
        """When the first day begins."""
        moved: datetime | None = self.__dict__.get("start")
        return TimestampWithTimezone(moved.timestamp(), self.timezone) if moved else super().start_ts

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> Sequence[str]:
        """All keys in order, as ISO dates."""
        if current_time is not None:
            return super().get_partition_keys(current_time, dynamic_partitions_store)
        last = self.get_last_partition_key()
        if last is None:
            return []
        return list(_dates(self.start.date(), date.fromisoformat(last)))


@lru_cache(maxsize=8)
def _dates(first: date, last: date) -> tuple[str, ...]:
    return tuple((first + timedelta(days=day)).isoformat() for day in range((last - first).days + 1))
