"""What vanished and what appeared the same day in its size: names that one thing may have got instead of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from difflib import SequenceMatcher
from itertools import combinations
from math import log
from typing import Any, NamedTuple

from quality_assets.domain.features.incident_words import as_day, is_missing, names_of

# Dating is right to a day or so, and a release reaches its users over days.
_DAYS_BEFORE, _DAYS_AFTER = 2, 3
_LEAST_SIZE, _MOST_SIZE = 0.5, 2.0
_LEAST_SUM, _MOST_SUM = 0.7, 1.4
_MOST_PARTS, _MOST_NAMES = 4, 8
_LIKENESS = 0.7


class Appeared(NamedTuple):
    """A name without a past: of a feature, or of an event of one. events_a_day: of its first week."""

    feature: str
    event_name: str | None
    first_seen: date
    events_a_day: float

    @property
    def name(self) -> str:
        return self.event_name or self.feature


def rename_candidates(
    incidents: Sequence[Mapping[str, Any]], appeared: Sequence[Appeared]
) -> dict[str, list[Appeared]]:
    """Of each incident_id of something dead, the names that came instead; one, or several that add up to it.

    A name goes to one incident only, the one that it fits best in size and spelling.
    """
    dead = [row for row in incidents if row["kind"] == "dead" and _usual(row) > 0]
    usual = {str(row["incident_id"]): _usual(row) for row in dead}
    pairs = sorted(
        (
            (_distance(row, new), str(row["incident_id"]), new)
            for row in dead
            for new in appeared
            if _is_near(row, new) and _LEAST_SIZE <= new.events_a_day / _usual(row) <= _MOST_SIZE
        ),
        key=lambda pair: (*pair[:2], pair[2].name),
    )
    out: dict[str, list[Appeared]] = {}
    taken: set[Appeared] = set()

    def take_single(least: float, most: float) -> None:
        for _, key, new in pairs:
            ratio = new.events_a_day / usual[key]
            if key not in out and new not in taken and least <= ratio <= most:
                out[key] = [new]
                taken.add(new)

    take_single(_LEAST_SUM, _MOST_SUM)
    for row in sorted(dead, key=lambda r: str(r["incident_id"])):
        if row["incident_id"] not in out:
            near = [new for new in appeared if _is_near(row, new) and new not in taken]
            parts = _all_at_once(row, near) or _split(row, near)
            if parts:
                out[row["incident_id"]] = sorted(parts, key=lambda new: new.name)
                taken.update(parts)
    take_single(_LEAST_SIZE, _MOST_SIZE)
    return out


def _usual(row: Mapping[str, Any]) -> float:
    return 0.0 if is_missing(row["baseline_value"]) else float(row["baseline_value"])


def _is_near(row: Mapping[str, Any], new: Appeared) -> bool:
    """Whether a name appeared as the other vanished: of a feature a feature, of an event one of the same feature."""
    is_alike = new.event_name is None if is_missing(row["event_name"]) else new.event_name is not None
    is_own = new.feature != row["feature"] if new.event_name is None else new.feature == row["feature"]
    days = (new.first_seen - as_day(row["start_date"])).days
    return is_alike and is_own and -_DAYS_BEFORE <= days <= _DAYS_AFTER and new.events_a_day > 0


def _distance(row: Mapping[str, Any], new: Appeared) -> float:
    old = row["feature"] if is_missing(row["event_name"]) else row["event_name"]
    likeness = SequenceMatcher(None, str(old).casefold(), new.name.casefold()).ratio()
    return abs(log(new.events_a_day / _usual(row))) - _LIKENESS * likeness


def _all_at_once(row: Mapping[str, Any], names: Sequence[Appeared]) -> tuple[Appeared, ...]:
    """Of several features that vanished together every name that came then, where these add up to them all."""
    several = len(names_of(row.get("features"))) > 1
    total = sum(new.events_a_day for new in names) / _usual(row)
    return tuple(names) if several and _LEAST_SUM <= total <= _MOST_SUM else ()


def _split(row: Mapping[str, Any], names: Sequence[Appeared]) -> tuple[Appeared, ...]:
    """The two to four names that add up to what vanished most nearly; none where nothing does."""
    largest = sorted(names, key=lambda new: (-new.events_a_day, new.name))[:_MOST_NAMES]
    tried = [part for count in range(2, _MOST_PARTS + 1) for part in combinations(largest, count)]
    fits = [
        (abs(log(sum(new.events_a_day for new in part) / _usual(row))), len(part), [new.name for new in part], part)
        for part in tried
        if _LEAST_SUM <= sum(new.events_a_day for new in part) / _usual(row) <= _MOST_SUM
    ]
    return min(fits, key=lambda fit: fit[:3])[3] if fits else ()
