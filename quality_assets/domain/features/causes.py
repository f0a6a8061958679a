"""Is it real, or the measurement? The change of an incident, taken apart by holding fixed what is measured.

A switch holds one thing fixed: who uses the feature, the versions, platforms, countries and events that its rows come
from, rows that came twice, late, or not at all (they lie in quarantine), and how many rows a user has. What goes away
with a switch is that switch's part, by Shapley over all of them, so that the parts add up to the change; what remains
with all of them on is real. Of a fall of volume only rows are put right: whoever lost events has fewer of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats, Ints

DIMENSIONS = ("app_version", "platform", "country", "event_name")
ROW_SWITCHES = {"repeated_rows": "is_repeated", "late_rows": "is_late", "quarantined_rows": "is_quarantined"}


@dataclass(frozen=True)
class CauseSettings:
    """Every limit, with its reason.

    least_rows: fewer on either side tell nothing. least_users, least_shared: below, what the same users did says
    nothing of the whole. least_moved: a mix that has moved by less than this share of the rows is what it was.
    least_flagged: share of rows put right from which on it can matter. most_weight: no row stands for more others.
    groups: of users, left out in turn for the intervals. t: quantile for 90 % intervals with as many groups.
    measurement_below, real_from: shares of the change that remains.
    """

    least_rows: int = 40
    least_users: int = 20
    least_shared: float = 0.15
    least_moved: float = 0.03
    least_flagged: float = 0.002
    most_weight: float = 20.0
    groups: int = 10
    t: float = 1.833
    measurement_below: float = 0.5
    real_from: float = 0.75


DEFAULT_CAUSES = CauseSettings()


@dataclass(frozen=True)
class Part:
    """One part of a change, with its 90 % interval, in the metric's unit."""

    name: str
    size: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What a change is made of. `parts` add up to now - before; the last is what is real. Empty where unknown."""

    verdict: str
    before: float = float("nan")
    now: float = float("nan")
    parts: tuple[Part, ...] = ()
    rows: int = 0

    @property
    def change(self) -> float:
        return self.now - self.before

    @property
    def real_share(self) -> float | None:
        """What remains of the change, as a share of it, within 0 and 1."""
        if not self.parts or not self.change:
            return None
        return float(np.clip(self.parts[-1].size / self.change, 0.0, 1.0))


@dataclass(frozen=True)
class EventRows:
    """Rows of one incident, before and now.

    is_now, value: n. user: n, codes, -1 where nobody is named. mix: n each, codes by dimension. flags: n each, by the
    name of their switch. is_new_version: n, of versions that came only as it began. quantile: None for means.
    """

    is_now: Bools
    value: Floats
    user: Ints
    mix: Mapping[str, Ints]
    flags: Mapping[str, Bools]
    is_new_version: Bools
    quantile: float | None = None
    groups: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, frame: pd.DataFrame, quantile: float | None = None) -> EventRows:
        """From a frame with is_now, value, user_id, `DIMENSIONS`, flags of `ROW_SWITCHES` and is_new_version."""
        user = pd.factorize(frame["user_id"])[0].astype(np.int64)
        code = np.where(user >= 0, user, np.arange(len(user)))
        return cls(
            frame["is_now"].to_numpy(bool),
            frame["value"].to_numpy(float),
            user,
            {name: pd.factorize(frame[name], use_na_sentinel=False)[0].astype(np.int64) for name in DIMENSIONS},
            {name: frame[column].to_numpy(bool) for name, column in ROW_SWITCHES.items()},
            frame["is_new_version"].to_numpy(bool),
            quantile,
            code % DEFAULT_CAUSES.groups,
        )


def take_apart(rows: EventRows, worse: int, settings: CauseSettings = DEFAULT_CAUSES) -> Verdict:
    """The parts of the change of a metric of single events; unknown where rows do not show it. worse: +1 or -1."""
    counted = ~rows.flags["quarantined_rows"]
    sides = [int((counted & (rows.is_now == side)).sum()) for side in (False, True)]
    if min(sides) < settings.least_rows:
        return Verdict("unknown", rows=sum(sides))
    switches = _switches(rows, settings)
    keep = np.ones(len(rows.value), bool)
    sizes, before, now = _shapley(rows, switches, keep, settings)
    without = [_shapley(rows, switches, rows.groups != group, settings)[0] for group in range(settings.groups)]
    spread = settings.t * _jackknife_sd(np.array(without))
    parts = tuple(
        Part(name, float(size), float(size - off), float(size + off))
        for name, size, off in zip([*switches, "real"], sizes, spread, strict=True)
    )
    change_sd = _jackknife_sd(np.array(without).sum(axis=1, keepdims=True))[0]
    return Verdict(_verdict(parts, worse, float(change_sd), settings), before, now, parts, sum(sides))


def _verdict(parts: Sequence[Part], worse: int, change_sd: float, settings: CauseSettings) -> str:
    change = worse * sum(part.size for part in parts)
    if not change > max(change_sd, 0.0):
        return "unknown"
    share, real = worse * parts[-1].size / change, parts[-1]
    low, high = sorted((worse * real.low / change, worse * real.high / change))
    if low <= 0 and high >= 1 and share < settings.real_from:
        return "unknown"
    if share >= settings.real_from:
        return "real"
    return "measurement" if share < settings.measurement_below else "partly"


def _jackknife_sd(without: Floats) -> Floats:
    """The deviation of each column, from its values with one group of users left out at a time."""
    groups = len(without)
    return np.asarray(np.sqrt((groups - 1) / groups * ((without - without.mean(axis=0)) ** 2).sum(axis=0)))


def _switches(rows: EventRows, settings: CauseSettings) -> list[str]:
    """The switches that can matter; the rest has no part."""
    counted = ~rows.flags["quarantined_rows"]
    before, now = counted & ~rows.is_now, counted & rows.is_now
    out = ["users"] if _is_shared(rows, before, now, settings) else []
    for name in DIMENSIONS:
        codes = rows.mix[name]
        size = int(codes.max()) + 1
        held = ~rows.is_new_version if name == "app_version" else np.ones(len(codes), bool)
        shares = [np.bincount(codes[side & held], minlength=size) for side in (before, now)]
        moved = np.abs(np.subtract(*(share / max(share.sum(), 1) for share in shares))).sum() / 2
        if moved >= settings.least_moved:
            out.append(name)
    out += [name for name in ROW_SWITCHES if rows.flags[name].mean() >= settings.least_flagged]
    named = counted & (rows.user >= 0)
    if named.any() and abs(_top_share(rows.user[named & now]) - _top_share(rows.user[named & before])) > _TOP_MOVED:
        out.append("rows_per_user")
    return out


_TOP_MOVED = 0.05


def _top_share(users: Ints) -> float:
    """The share of rows that the three busiest users have."""
    counts = np.sort(np.bincount(users))[::-1] if len(users) else np.zeros(1)
    return float(counts[:3].sum() / max(counts.sum(), 1))


def _is_shared(rows: EventRows, before: Bools, now: Bools, settings: CauseSettings) -> bool:
    named = rows.user >= 0
    both = np.intersect1d(rows.user[before & named], rows.user[now & named])
    is_both = np.isin(rows.user, both)
    shares = [is_both[side].mean() for side in (before, now)]
    return len(both) >= settings.least_users and min(shares) >= settings.least_shared


def _shapley(
    rows: EventRows, switches: Sequence[str], keep: Bools, settings: CauseSettings
) -> tuple[Floats, float, float]:
    """Parts of each switch and of what remains, and the metric before and now without any switch."""
    count = len(switches)
    before, now = _levels(rows, (), keep, settings)
    left: dict[frozenset[str], float] = {frozenset(): now - before}
    for size in range(1, count + 1):
        for chosen in combinations(switches, size):
            low, high = _levels(rows, chosen, keep, settings)
            left[frozenset(chosen)] = high - low
    parts = np.zeros(count + 1)
    for index, name in enumerate(switches):
        for others, value in left.items():
            if name not in others:
                weight = factorial(len(others)) * factorial(count - len(others) - 1) / factorial(count)
                parts[index] += weight * (value - left[others | {name}])
    parts[count] = left[frozenset(switches)]
    return parts, before, now


def _levels(rows: EventRows, chosen: Sequence[str], keep: Bools, settings: CauseSettings) -> tuple[float, float]:
    """The metric before and now with some switches on."""
    weight = keep.astype(float)
    weight[rows.flags["quarantined_rows"]] *= float("quarantined_rows" in chosen)
    for name in ("repeated_rows", "late_rows"):
        if name in chosen:
            weight[rows.flags[name]] = 0.0
    if "rows_per_user" in chosen:
        weight *= _per_user(rows, weight)
    for name in DIMENSIONS:
        if name in chosen:
            held = ~rows.is_new_version if name == "app_version" else None
            weight *= _as_before(rows.mix[name], weight, rows.is_now, held, settings)
    if "users" in chosen:
        weight *= _as_before(rows.user, weight, rows.is_now, None, settings, is_paired=True)
    return _statistic(rows, weight, ~rows.is_now), _statistic(rows, weight, rows.is_now)


def _per_user(rows: EventRows, weight: Floats) -> Floats:
    """One vote a user and period; rows without one vote as a user of the usual number of rows."""
    code = (rows.user + 1) * 2 + rows.is_now
    totals = np.bincount(code, weight)
    own = np.where(totals[code] > 0, 1 / np.maximum(totals[code], 1e-9), 0.0)
    named = rows.user >= 0
    usual = float(np.median(own[named])) if named.any() else 1.0
    return np.where(named, own, usual)


def _as_before(
    codes: Ints, weight: Floats, is_now: Bools, held: Bools | None, settings: CauseSettings, *, is_paired: bool = False
) -> Floats:
    """Factors that give each category now the share that it had before, among what is there on both sides.

    held: rows that take part; others keep their weight. is_paired: rows of one side only, or of nobody, drop out.
    """
    part = np.ones(len(codes), bool) if held is None else held
    part = part & (codes >= 0)
    size = int(codes.max()) + 1 if len(codes) else 0
    past = np.bincount(codes[part & ~is_now], weight[part & ~is_now], minlength=size)
    present = np.bincount(codes[part & is_now], weight[part & is_now], minlength=size)
    both = (past > 0) & (present > 0)
    if not both.any():
        return np.ones(len(codes))
    scale = present[both].sum() / past[both].sum()
    ratio = np.where(both, np.minimum(past * scale / np.where(both, present, 1.0), settings.most_weight), 0.0)
    factor = np.where(part & is_now, ratio[np.maximum(codes, 0)], 1.0)
    factor = np.where(part & ~is_now, both[np.maximum(codes, 0)].astype(float), factor)
    return np.where(codes >= 0, factor, 0.0) if is_paired else factor


def _statistic(rows: EventRows, weight: Floats, side: Bools) -> float:
    used = side & (weight > 0)
    value, own = rows.value[used], weight[used]
    if not len(value):
        return float("nan")
    if rows.quantile is None:
        return float((value * own).sum() / own.sum())
    order = np.argsort(value)
    reached = np.cumsum(own[order])
    return float(value[order][min(np.searchsorted(reached, rows.quantile * reached[-1]), len(value) - 1)])


def take_volume_apart(days: pd.DataFrame, renamed_a_day: float, settings: CauseSettings = DEFAULT_CAUSES) -> Verdict:
    """The parts of a change of events a day, from a row a day: is_now, weekday, events, repeated, late, quarantined.

    Only weekdays that there are now are held against it. renamed_a_day: events under names that came in its place.
    """
    now = days[days["is_now"]]
    before = days[~days["is_now"] & days["weekday"].isin(now["weekday"])]
    if not len(now) or not len(before):
        return Verdict("unknown")
    level = {name: (before[name].mean(), now[name].mean()) for name in ("events", *_COUNTED)}
    change = level["events"][1] - level["events"][0]
    sizes = {name: sign * (level[column][1] - level[column][0]) for name, (column, sign) in _VOLUME_PARTS.items()}
    sizes["renamed"] = -min(renamed_a_day, abs(change)) if change < 0 else 0.0
    sizes = {name: size for name, size in sizes.items() if size}
    sizes["real"] = change - sum(sizes.values())
    spread = {name: settings.t * _mean_sd(before, now, name) for name in sizes}
    parts = tuple(Part(n, float(s), float(s - spread[n]), float(s + spread[n])) for n, s in sizes.items())
    used = int(before["events"].sum() + now["events"].sum())
    return Verdict(
        _verdict(parts, -1, 0.0, settings), float(level["events"][0]), float(level["events"][1]), parts, used
    )


_COUNTED = ("repeated", "late", "quarantined")
# What came twice is too much, what waits in quarantine too little.
_VOLUME_PARTS = {"repeated_rows": ("repeated", 1), "late_rows": ("late", 1), "quarantined_rows": ("quarantined", -1)}


def _mean_sd(before: pd.DataFrame, now: pd.DataFrame, name: str) -> float:
    """The deviation of a difference of means of daily counts, at least that of Poisson counts."""
    column = _VOLUME_PARTS.get(name, ("events", 1))[0] if name != "renamed" else "events"
    return float(np.sqrt(sum(max(side[column].var(ddof=0), side[column].mean()) / len(side) for side in (before, now))))


CAUSE_WORDS: Mapping[str, str] = {
    "users": "other users",
    "app_version": "another mix of versions",
    "platform": "another mix of platforms",
    "country": "another mix of countries",
    "event_name": "another mix of events",
    "repeated_rows": "rows that came twice",
    "late_rows": "rows that come late",
    "quarantined_rows": "rows in quarantine",
    "rows_per_user": "a few users with many rows",
    "renamed": "events under a new name",
    "real": "real",
}


def verdict_sentence(verdict: Verdict) -> str | None:
    """The verdict as one would say it: how much is real, and what the rest is made of."""
    share = verdict.real_share
    if verdict.verdict == "unknown" or share is None:
        return "Whether it is real cannot be told: too few events on either side, or they do not show it."
    low, high = sorted(
        float(np.clip(end / verdict.change, 0, 1)) for end in (verdict.parts[-1].low, verdict.parts[-1].high)
    )
    much, is_sure = _share_text(share), low >= _HARDLY or high <= 1 - _HARDLY
    between = f"{100 * low:.0f}", f"{100 * high:.0f}"
    remains = f"{much} ({between[0]} to {between[1]} %)" if is_sure and between[0] != between[1] else much
    more, less = _parts_text(verdict, 1), _parts_text(verdict, -1)
    if verdict.verdict == "measurement":
        took = f", {less} took from it" if less else ""
        against = -verdict.parts[-1].size / verdict.change
        # Parts that made more than all of it would be read as an error without what stands against them.
        left = f", what remains went the other way ({100 * against:.0f} %)" if against >= _WORTH_TELLING else ""
        return f"Measurement: {more or 'what was measured'} made it{took}{left}; {remains} is real."
    # Where some parts stand against the change, the others and what is real are more than all of it.
    if more and less:
        rest = f"; {more} added to it, {less} took from it"
    elif less:
        rest = f"; {less} hid more of it"
    elif verdict.verdict == "real" and not more:
        rest = ", no change of users or mix that events show explains it"
    else:
        rest = f"; {more or 'what was measured'} made the rest"
    word = "Partly real" if verdict.verdict != "real" else "Real" if is_sure else "Real, as far as can be told"
    return f"{word}: {remains} remains{rest}."


_HARDLY = 0.005


def _share_text(share: float) -> str:
    """How much of a change is real; beside parts that stand against it that is more than all of it."""
    if share >= 1 - _HARDLY:
        return "all of it"
    return "none of it" if share < _HARDLY else f"{100 * share:.0f} % of it"


def _parts_text(verdict: Verdict, sign: int) -> str:
    """The two largest parts that go with the change, or with -1 against it, and are worth telling."""
    shares = [(part.name, sign * part.size / verdict.change) for part in verdict.parts[:-1]]
    told = sorted((each for each in shares if each[1] >= _WORTH_TELLING), key=lambda each: -each[1])[:2]
    return " and ".join(f"{CAUSE_WORDS[name]} ({100 * share:.0f} %)" for name, share in told)


_WORTH_TELLING = 0.05
_WORTH_A_BAR = 0.02


def is_worth_a_bar(part: str, size: float, change: float) -> bool:
    """Whether a part is drawn: what is real always, the others where they can be seen."""
    return part == "real" or abs(size) >= _WORTH_A_BAR * abs(change)


def cause_rows(row: Mapping[str, Any], verdict: Verdict) -> list[dict[str, Any]]:
    """Rows of product.incident_causes of one incident."""
    shares = [part.size / verdict.change if verdict.change else None for part in verdict.parts]
    return [
        {
            "incident_id": row["incident_id"],
            "feature": row["feature"],
            "part": part.name,
            "metric": row["metric"],
            "unit": row["unit"],
            "size": part.size,
            "low": part.low,
            "high": part.high,
            "share": share,
            "value_before": verdict.before,
            "value_now": verdict.now,
            "rows_used": verdict.rows,
        }
        for part, share in zip(verdict.parts, shares, strict=True)
    ]
