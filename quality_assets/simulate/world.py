"""What stays the same over the days of a plan, and the clean events of one day as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.simulate import catalogue, profile
from quality_assets.simulate.change_plan import Change
from quality_assets.simulate.journeys import Extras
from quality_assets.simulate.people import People
from quality_assets.simulate.plan import Incident, SimulationPlan
from quality_assets.simulate.population import Population
from quality_assets.simulate.streams import Ids

DAY_MS = 86_400_000
OK, ERROR, CRASH = 0, 1, 2
STATUSES = ("ok", "error", "crash")
NO_USER = -1


@dataclass(frozen=True)
class EventBatch:
    """Clean events as parallel arrays of one length.

    event_ms: epoch milliseconds, UTC. user: number, `NO_USER` = anonymous. latency_ms: NaN = not measured.
    feedback: 1-5, 0 = none. arrival_days: 0, 1 or 2 days after event_date. The others are codes: feature
    (rank), event (position in the feature's family), status (`STATUSES`), device, platform, country,
    properties (catalogue), version (release calendar), variant (0 = none). is_broken: the row arrives spoilt.
    """

    event_id: Ids
    event_ms: Ints
    user: Ints
    session_id: Ids
    feature: Ints
    event: Ints
    latency_ms: Floats
    status: Ints
    feedback: Ints
    device: Ints
    platform: Ints
    version: Ints
    country: Ints
    properties: Ints
    variant: Ints
    is_broken: Bools
    arrival_days: Ints

    def __len__(self) -> int:
        return len(self.event_id)

    def take(self, index: Ints | Bools | slice) -> EventBatch:
        """Return the events at the given positions."""
        return EventBatch(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @staticmethod
    def concatenate(batches: list[EventBatch]) -> EventBatch:
        """Return all events of one or more batches, in order."""
        return EventBatch(**{f.name: np.concatenate([getattr(b, f.name) for b in batches]) for f in fields(EventBatch)})


@dataclass(frozen=True)
class World:
    """Everything that stays the same from day to day; `telemetry.build_world` makes it."""

    plan: SimulationPlan
    features: tuple[catalogue.ProductFeature, ...]
    profiles: profile.FeatureProfiles
    calendar: profile.ReleaseCalendar
    incidents: tuple[Incident, ...]
    population: Population
    people: People | None = None
    extras: Extras | None = None
    changes: tuple[Change, ...] = ()

    @cached_property
    def feature_index(self) -> dict[str, int]:
        """Position of each product feature by name."""
        return {feature.name: feature.index for feature in self.features}
