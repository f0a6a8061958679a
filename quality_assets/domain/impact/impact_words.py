"""What numbers of use say, in a sentence each: funnels, retention, adoption, segments. Counts in, words out.

No rate stands without how many it is of, nor before its time is over, nor where nothing was there to be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import erfc, nan, sqrt
from typing import Any

from quality_assets.contracts.definitions import Happening
from quality_assets.domain.impact.settings import FRESH_DAYS, LEFT_TRUNCATED_DAYS, MOST_WITHOUT_UNIT
from quality_assets.domain.stats.discoveries import benjamini_hochberg
from quality_assets.domain.wording import duration_text, plural, share_text

WAITS = "waits: "
"""Begins the reason where nothing of what a definition names was ever seen: of another product, or early."""

ALREADY_THERE = "people already there"
"""Begins the verdict on a cohort of the first days of the data."""

LEAST_ENTRIES = 30
"""Of fewer entries a share says little; the interval says how little, the sentence that it is few."""
LEAST_CHANGE = 0.02
"""A smaller change of a share, in points as a fraction, is not told as one."""
ODD_CHANGE = 2.58
"""Nor is one of fewer standard errors: of a hundred lists of shares in which none changed, one would be told (99 %)."""


@dataclass(frozen=True)
class Step:
    """One step of a funnel in a period: its events in words, how many reached it, and when its event was last seen."""

    words: str
    reached: int
    last_seen: date | None
    without_unit: float | None = None
    """Share of its events that no user or session is known of."""


def step_words(step: Happening) -> str:
    """A step as people read it: `Quiz: quiz_started (kind long)`."""
    said = ": ".join(part for part in (step.feature, step.event_name) if part)
    asked = ", ".join(f"{key} {value}" for key, value in step.where.items())
    return f"{said} ({asked})" if asked else said


def dead_text(last_seen: date | None) -> str:
    """Why a step has no rate: its event does not happen any more, or never did."""
    return "never seen" if last_seen is None else f"no such event since {day_text(last_seen)}"


def day_text(day: date) -> str:
    """`3 May 2026`."""
    return f"{day:%-d %b %Y}"


def is_dead(step: Step, through: date) -> bool:
    """Whether nobody made a step's event in the last 28 days: what it says of people is not known."""
    return step.last_seen is None or (through - step.last_seen).days >= FRESH_DAYS


def unknown_text(step: Step, through: date, unit: str) -> str:
    """Why nobody knows how many reached a step: its event is dead, or mostly nobody's; '' of one that is known."""
    if is_dead(step, through):
        return dead_text(step.last_seen)
    if (step.without_unit or 0) > MOST_WITHOUT_UNIT:
        return f"{share_text(step.without_unit or 0)} of its events have no {unit}"
    return ""


def funnel_row_verdict(row: dict[str, Any], last_seen: date | None) -> str:
    """What one row of impact.funnel_days says of itself: final, still open, or why it has no rate."""
    if not row["is_final"]:
        return f"still open: {row['open']:,} of {row['entered']:,} entries have days left"
    if row["from_start"] is None:
        if last_seen is None or last_seen < row["entry_date"]:
            return dead_text(last_seen)
        return "unknown: most of its events have no user"
    return "final"


def funnel_sentence(steps: Sequence[Step], start: date, end: date, unit: str, through: date) -> str:
    """How a funnel stands: `Of 936 users who began between 1 May and 8 Jun, 376 (40 %) reached the last step, …`."""
    entered = steps[0].reached
    dead = [step for step in steps if is_dead(step, through)]
    if dead:
        first = dead[0]
        return (
            f"Unknown beyond step {steps.index(first)}: step {steps.index(first) + 1}, {first.words}:"
            f" {dead_text(first.last_seen)}."
        )
    blind = [step for step in steps if (step.without_unit or 0) > MOST_WITHOUT_UNIT]
    if blind:
        nobody = f"{share_text(blind[0].without_unit or 0)} of the events of {blind[0].words} have no {unit}"
        return f"Unknown: {nobody}." + (" A funnel by session may say more (unit: session)." if unit == "user" else "")
    if not entered:
        return "Nobody has entered whose window is over."
    done = steps[-1].reached
    text = (
        f"Of {plural(entered, unit)} who began between {day_text(start)} and {day_text(end)}, {done:,}"
        f" ({share_text(done / entered)}) reached the last step, {steps[-1].words}."
    )
    pairs = enumerate(pairwise(steps), start=2)
    losses = [(1 - after.reached / before.reached, n, after) for n, (before, after) in pairs if before.reached]
    lost, number, step = max(losses, key=lambda each: each[0])
    if lost > 0:
        text += f" Most are lost before step {number}, {step.words}: {share_text(lost)} of those before it."
    if entered < LEAST_ENTRIES:
        text += f" Only {plural(entered, unit)}: too few to say much."
    return text


def counted_sentence(unit: str) -> str:
    """Whom the sentence of a funnel counts: `Each user counts once, by the first entry of those days.`"""
    return f"Each {unit} counts once, by the first entry of those days."


def open_sentence(waiting: int, entered: int, end: date) -> str:
    """`Still open: 412 of 1,930 entries after 8 Jun 2026 have days left, and are not counted above.`

    `end` is the last day whose windows are over: the entries are later than those of `funnel_sentence`.
    """
    if not entered:
        return ""
    entries = plural(entered, "entry", "entries")
    return f"Still open: {waiting:,} of {entries} after {day_text(end)} have days left; none of these is counted above."


def coverage_sentence(events: int, without_unit: int, automated: int, unit: str) -> str:
    """What of a funnel's events no funnel can use; nothing where all can be used."""
    parts = []
    if without_unit:
        parts.append(f"{share_text(without_unit / events)} of its events have no {unit}")
    if automated:
        parts.append(f"{automated:,} of automated users are left out")
    return f"{'; '.join(parts)}." if parts else ""


Share = tuple[float, float]
"""How many, of how many."""


def are_changes(pairs: Sequence[tuple[Share, Share]]) -> list[bool]:
    """Whether shares now and before differ by more than matters and more than chance, where all are asked together.

    Of a hundred such lists in which none changed, one tells any: asked one by one, of forty that did not change one
    would be told every other time.
    """
    p_values = [erfc(_errors_apart(now, before) / sqrt(2)) if _is_enough(now, before) else nan for now, before in pairs]
    chance = erfc(ODD_CHANGE / sqrt(2))
    return [
        _matters(now, before) and bool(q <= chance)
        for (now, before), q in zip(pairs, benjamini_hochberg(p_values), strict=True)
    ]


def _is_enough(now: Share, before: Share) -> bool:
    return min(now[1], before[1]) >= LEAST_ENTRIES


def _matters(now: Share, before: Share) -> bool:
    return _is_enough(now, before) and abs(now[0] / now[1] - before[0] / before[1]) >= LEAST_CHANGE


def _errors_apart(now: Share, before: Share) -> float:
    """How many standard errors two shares are apart."""
    pooled = (now[0] + before[0]) / (now[1] + before[1])
    error = sqrt(pooled * (1 - pooled) * (1 / now[1] + 1 / before[1]))
    return abs(now[0] / now[1] - before[0] / before[1]) / error if error else 0.0


def split_sentence(split: str, value: str | None, now: tuple[int, int], before: tuple[int, int]) -> str:
    """How one part of a split changed, as (reached, entered) now and before.

    `platform tablet: 12 % instead of 41 % reach the last step`.
    """
    name = value if value is not None else "unknown"
    new, old = share_text(now[0] / now[1]), share_text(before[0] / before[1])
    return f"{split} {name}: {new} instead of {old} reach the last step"


def retention_sentence(kind: str, day_n: int, returned: int, eligible: int, cohorts: int) -> str:
    """`31 % of 1,204 new users returned on day 7 exactly (28 cohorts).`"""
    if not eligible:
        return f"No cohort is old enough to say who returned {kind_words(kind, day_n)}."
    few = f" Only {eligible:,}: too few to say much." if eligible < LEAST_ENTRIES else ""
    return (
        f"{share_text(returned / eligible)} of {plural(eligible, 'new user')} returned {kind_words(kind, day_n)}"
        f" ({plural(cohorts, 'day')} of first use).{few}"
    )


def kind_words(kind: str, day_n: int) -> str:
    """What counts as a return: no rate of return stands without it."""
    return {
        "exact": f"on day {day_n} exactly",
        "within_30": f"between day {day_n} and day 30",
        "on_or_after": f"on day {day_n} or later, as far as observed",
    }[kind]


def retention_row_verdict(row: dict[str, Any], first_date: date) -> str:
    """What one row of impact.retention says of itself."""
    if (row["cohort_date"] - first_date).days < LEFT_TRUNCATED_DAYS:
        return f"{ALREADY_THERE}: within the first 28 days of the data everybody is new"
    return "final" if row["is_final"] else f"still open: {plural(row['observed_days'], 'day')} observed so far"


NOBODY_NAMED = "Unknown: no event names its user."
"""What is said of people where events name none: nobody is not what is known."""


def segment_sentence(row: dict[str, Any], through: date) -> str:
    """`312 members on 14 Jun 2026: 12 came, 9 went.`"""
    members = f"{plural(row['members'], 'member')} on {day_text(row['event_date'])}"
    text = f"{members}: {row['entered']:,} came, {row['left']:,} went."
    late = (through - row["event_date"]).days
    return text if late <= 0 else f"{text} As of then: {plural(late, 'day')} of data have come since."


def adoption_sentence(name: str, now: Share, before: Share, *, has_incident: bool) -> str:
    """That a feature is used by more or fewer than a month before, as (users, all users).

    Where it has an open incident, a fall says so: it may be the reason.
    """
    new, old = now[0] / now[1], before[0] / before[1]
    shares = f"{share_text(new)} of all in 28 days instead of {share_text(old)}"
    text = f"{name}: {'more' if new > old else 'fewer'} people use it, {shares} ({now[0]:,.0f})."
    return f"{text} It has an open incident." if has_incident and new < old else text


def conversion_sentence(name: str, now: Share, before: Share, *, has_incident: bool) -> str:
    """That more or fewer finish a funnel than in the period before, as (finished, entered); as `adoption_sentence`."""
    new, old = now[0] / now[1], before[0] / before[1]
    text = (
        f"{name}: {'more' if new > old else 'fewer'} finish it, {share_text(new)} instead of {share_text(old)}"
        f" ({now[1]:,.0f} entered)."
    )
    return f"{text} A feature of its steps has an open incident." if has_incident and new < old else text


def time_text(seconds: float | None) -> str:
    """How long something took; a dash where nobody knows."""
    return "–" if seconds is None else duration_text(1000 * seconds)
