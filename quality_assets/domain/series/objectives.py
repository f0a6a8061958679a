"""Objectives: how much bad is allowed, how fast the allowance is used up, and whether it is breached.

A breach says nothing of a series' own past: what was bad from its first day is told here, and only here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.scale import deviance_residual
from quality_assets.domain.series.settings import ObjectiveSettings


@dataclass(frozen=True)
class ObjectiveStates:
    """Objectives of S series over D days.

    limit: S, in the metric's unit, NaN where there is none. is_default: S. is_breach: S × D. begin: S × D, index of the
    breach's first day. burn_short, burn_long: S × D, used ÷ allowed over the two windows, NaN without events.
    budget_left: S × D, of the long window's allowance, negative where overspent.
    """

    limit: Floats
    is_default: Bools
    is_breach: Bools
    begin: Ints
    burn_short: Floats
    burn_long: Floats
    budget_left: Floats


@dataclass(frozen=True)
class Held:
    """Of S series at the end of the day at index `day`: whether a breach goes on, and the index of its first day."""

    day: int
    active: Bools
    since: Ints


def judge_objective(
    bad: Floats, total: Floats, allowed: Floats, limit: Floats, is_default: Bools, settings: ObjectiveSettings,
    before: Held | None = None,
) -> ObjectiveStates:  # fmt: skip
    """Whether S series breach an objective on each of D days.

    bad, total: S × D, NaN or 0 where nothing came. allowed: S, share of `total` that may be bad. Breached from the day
    on which the short window uses its allowance faster than allowed (Google's SRE workbook, chapter 5, by days) while
    it, or the long window, does so beyond chance; until the short one does no more. `before`: what was held at the end
    of a day; earlier ones then are as if there was no breach.
    """
    known = np.isfinite(bad) & (total > 0)
    bad, total = np.where(known, bad, 0.0), np.where(known, total, 0.0)
    allowed = np.maximum(allowed, settings.least_allowed)[:, None]
    burn_short, burn_long = np.full(bad.shape, np.nan), np.full(bad.shape, np.nan)
    is_beyond = np.zeros(bad.shape, bool)
    # Where the short window is empty, the shortest that is not stands in.
    for days in (settings.long_days, 14, 7, settings.short_days):
        spent, made = _trailing(bad, days), _trailing(total, days)
        own = _burn(spent, made, allowed)
        burn_long = own if days == settings.long_days else burn_long
        burn_short = np.where(np.isfinite(own), own, burn_short)
        if days in (settings.long_days, settings.short_days):
            excess = np.nan_to_num(deviance_residual(spent, np.nan_to_num(allowed) * made))
            is_beyond |= (np.nan_to_num(own) > 1) & (excess > settings.chance_sd)
    with np.errstate(invalid="ignore"):
        leaves = ~(burn_short > 1)
    enters = is_beyond & ~leaves
    is_breach, begin = _hold(enters, leaves, np.isfinite(burn_long), before)
    return ObjectiveStates(limit, is_default, is_breach, begin, burn_short, burn_long, 1 - burn_long)


def _trailing(values: Floats, days: int) -> Floats:
    """S × D: the sum over the last `days` days. Adds shifted copies: so it rounds alike however long the past is."""
    out = np.zeros(values.shape)
    for lag in range(min(days, values.shape[1])):
        out[:, lag:] += values[:, : values.shape[1] - lag]
    return out


def _burn(bad: Floats, total: Floats, allowed: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, bad / (allowed * total), np.nan)


def _hold(enters: Bools, leaves: Bools, known: Bools, before: Held | None = None) -> tuple[Bools, Ints]:
    """From the day that enters to the one before the day that leaves, and the index of each breach's first day."""
    held, begin = np.zeros(enters.shape, bool), np.zeros(enters.shape, dtype=np.int64)
    active, since, first = np.zeros(len(enters), bool), np.zeros(len(enters), dtype=np.int64), 0
    if before is not None:
        active, since, first = before.active, before.since, before.day + 1
    for day in range(first, enters.shape[1]):
        starts = enters[:, day] & ~active
        since = np.where(starts, day, since)
        active = (active & ~leaves[:, day] & known[:, day]) | enters[:, day]
        held[:, day], begin[:, day] = active, since
    return held, begin
