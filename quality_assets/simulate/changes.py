"""What changes without anything being worse: features renamed, split and removed, and who is measured.

A mix that shifts takes rows of a group that is slow all along, before as after: only its share grows. The truth is
changes.csv beside the logs. A plan without changes gives the bytes that it gave before there were any.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.simulate import catalogue
from quality_assets.simulate.change_plan import MIX_KINDS, NAME_KINDS, Change
from quality_assets.simulate.plan import SimulationPlan
from quality_assets.simulate.streams import Stream, generator
from quality_assets.simulate.world import EventBatch, World

CHANGE_COLUMNS = ("change_id", "feature", "kind", "start_date", "new_names", "share_before", "share_after", "factor")
_FIRST_SLOW_USER, _SLOW_USERS = 50_000_000, 300


def plan_changes(plan: SimulationPlan, features: tuple[catalogue.ProductFeature, ...]) -> tuple[Change, ...]:
    """The plan's own changes, checked, and those that are drawn from its seed, each of a feature of its own."""
    names = [feature.name for feature in features]
    for change in plan.changes:
        if change.feature not in names:
            raise ValueError(f"change {change.change_id!r}: feature {change.feature!r} is not among those simulated")
    rng = generator(plan.seed, Stream.CHANGES)
    free = [name for name in rng.permutation(names).tolist() if name not in {c.feature for c in plan.changes}]
    kinds = [NAME_KINDS[n % 3] for n in range(plan.renames)] + [MIX_KINDS[n % 4] for n in range(plan.mixes)]
    first, last = int(plan.days * 0.5), max(int(plan.days * 0.9), int(plan.days * 0.5) + 1)
    drawn = []
    for number, (kind, feature) in enumerate(zip(kinds, free, strict=False), start=1):
        new = {"rename": (f"{feature} 2",), "split": (f"{feature} basic", f"{feature} pro")}.get(kind, ())
        start = plan.date_of(int(rng.integers(first, last)))
        after, factor = float(rng.uniform(0.3, 0.5)), float(rng.uniform(2.0, 4.0))
        drawn.append(Change(f"CHG-{number:04d}", feature, kind, start, new, 0.05, round(after, 3), round(factor, 3)))
    return (*plan.changes, *drawn)


def change_rows(changes: tuple[Change, ...]) -> list[tuple[object, ...]]:
    """Rows of changes.csv in `CHANGE_COLUMNS` order; new names are joined by `|`."""
    return [
        (c.change_id, c.feature, c.kind, c.start_date, "|".join(c.new_names))
        + ((c.share_before, c.share_after, c.factor) if c.kind in MIX_KINDS else ("", "", ""))
        for c in changes
    ]


def new_names(changes: tuple[Change, ...]) -> tuple[str, ...]:
    """The names that features get, in the order of their codes, which follow those of the features."""
    return tuple(name for change in changes for name in change.new_names)


def with_shifted_mix(world: World, day: int, batch: EventBatch, latency: Floats) -> tuple[EventBatch, Floats]:
    """The events of a day with the rows of slow groups marked as theirs, and the latency factors of all rows."""
    today = world.plan.date_of(day)
    for number, change in enumerate(world.changes):
        if change.kind not in MIX_KINDS:
            continue
        rng = generator(world.plan.seed, Stream.CHANGES, 1 + day * len(world.changes) + number)
        share = change.share_after if today >= change.start_date else change.share_before
        rows = np.flatnonzero(batch.feature == world.feature_index[change.feature])
        rows = rows[rng.random(len(rows)) < share]
        latency = latency.copy()
        latency[rows] *= change.factor
        batch = _of_group(world, change, batch, rows)
    return batch, latency


def _of_group(world: World, change: Change, batch: EventBatch, rows: np.ndarray) -> EventBatch:
    user, device, version, country = (
        column.copy() for column in (batch.user, batch.device, batch.version, batch.country)
    )
    if change.kind == "mix_versions":
        # The same users, on the version that they should have left.
        version[rows] = np.array(world.calendar.first_code)[batch.platform[rows]]
        return replace(batch, version=version)
    named = rows[user[rows] >= 0]
    user[named] = _FIRST_SLOW_USER + user[named] % _SLOW_USERS
    if change.kind == "mix_devices":
        device[rows] = catalogue.DEVICE_TYPES.index("tablet")
    if change.kind == "mix_countries":
        country[rows] = len(catalogue.COUNTRIES) - 1
    return replace(batch, user=user, device=device, country=country)


def with_new_names(world: World, day: int, batch: EventBatch) -> EventBatch:
    """The events of a day under the names that their features have by then; those of removed features are gone."""
    today, code = world.plan.date_of(day), len(world.features)
    feature, keep = batch.feature.copy(), np.ones(len(batch), bool)
    for change in world.changes:
        own = batch.feature == world.feature_index[change.feature]
        if today >= change.start_date and change.kind == "remove":
            keep &= ~own
        elif today >= change.start_date and change.new_names:
            # One user keeps to one of the new names.
            feature[own] = code + np.abs(batch.user[own]) % len(change.new_names)
        code += len(change.new_names)
    return replace(batch, feature=feature).take(keep)
