"""Daily partitions whose keys are listed by counting: overrides a method of Dagster's that its own code calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import dagster as dg


class EventDates(dg.DailyPartitionsDefinition):
    """Whole days, all of them from the first on, whose keys are listed by counting.

    Dagster works out the window of each by the calendar, every time that a step depends on all of them: of years of
    days, that costs each such step and each of its checks more than most of them do themselves.
    """

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
