"""What the detector knows at the end of a day, taken out of it and put back: so a day costs what a day holds.

All that a later day is judged by is here, beside the last `KEPT_DAYS` days of the series themselves. Days are counted
from 1970 on, so that a window that begins on another day takes it as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quality_assets.domain.series.baseline import Baseline
from quality_assets.domain.series.settings import DEFAULT_RARE

DAYS_BEFORE = 10
"""So many days before the smoothed deviation left normal are looked at for the beginning of an episode."""
KEPT_DAYS = DEFAULT_RARE.window_days
"""Of so many days it is known which of them say what is normal; no window looks further back."""


class _Carrier(Protocol):
    """A part of the detector; the attributes that it carries from day to day, and those of them that are days."""

    CARRIED: tuple[str, ...]
    DAYS: tuple[str, ...]


@dataclass(frozen=True)
class Carried:
    """What is known of S series at the end of `day`: arrays by name, of which an axis is S."""

    day: np.datetime64
    values: Mapping[str, NDArray[Any]]

    @property
    def begun(self) -> NDArray[np.datetime64]:
        """S: since when each has been in an episode; NaT where it is in none."""
        begin = self.values["walk.begin"].astype("datetime64[D]")
        return np.where(self.values["walk.active"], begin, np.datetime64("NaT"))

    @property
    def needs_from(self) -> np.datetime64:
        """The first day whose values are still asked for: of what is normal, and of what may turn out to have begun."""
        begins = [self.values[name] for name in ("walk.begin", "rare._since") if name in self.values]
        days = [self.day - np.timedelta64(KEPT_DAYS, "D"), *(each.min().astype("datetime64[D]") for each in begins)]
        return min(days) - np.timedelta64(DAYS_BEFORE, "D")


def taken(parts: Mapping[str, _Carrier | None], baselines: Mapping[str, Baseline], first: int) -> dict[str, Any]:
    """The arrays of the parts that there are, and of baselines; `first`: the day at index 0, since 1970."""
    out: dict[str, Any] = {}
    for name, part in parts.items():
        if part is not None:
            for each in part.CARRIED:
                value = getattr(part, each)
                out[f"{name}.{each}"] = value + first if each in part.DAYS else value
    for name, baseline in baselines.items():
        out |= {f"{name}.{each.name}": getattr(baseline, each.name) for each in fields(Baseline)}
    return {name: np.array(value) for name, value in out.items()}


def put_back(parts: Mapping[str, _Carrier | None], values: Mapping[str, NDArray[Any]], first: int) -> None:
    """Give the parts what `taken` took out of others like them."""
    for name, part in parts.items():
        if part is not None:
            for each in part.CARRIED:
                value = values[f"{name}.{each}"]
                setattr(part, each, value - first if each in part.DAYS else value.copy())


def baseline_of(values: Mapping[str, NDArray[Any]], name: str) -> Baseline:
    """A baseline that `taken` took."""
    return Baseline(**{each.name: values[f"{name}.{each.name}"] for each in fields(Baseline)})
