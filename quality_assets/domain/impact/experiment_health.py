"""Whether an experiment's counts can be trusted, asked before its results are looked at. Pure functions over counts.

Each gives `Finding`s; the grade of an experiment is the worst that any of them leaves. D is void: no effect is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from quality_assets.domain.impact.srm import (
    SRM_VOID,
    SRM_WARNS,
    PartCounts,
    asked_parts,
    missing_people,
    part_findings,
    ratio_p,
)
from quality_assets.domain.wording import count_text, share_text

MIXED_VOID = 0.10
MIXED_WARNS = 0.01
LOSS_VOID_P = 0.001
LOSS_DOUBTFUL = 0.05
PAST_DIFFERS_P = 0.001
LEAST_DAYS = 7
# An arm of which so many people were due on a day, and none came, was not there.
LEAST_DUE_A_DAY = 10
# An arm that no file names changes an experiment when it is more than a stray.
LEAST_STRAY_SHARE = 0.01


@dataclass(frozen=True)
class Finding:
    """What a check found: a value against a threshold, what follows, and the words for it."""

    check: str
    subject: str
    status: str
    detail: str
    value: float | None = None
    threshold: float | None = None
    grade: str | None = None


def worst_grade(findings: Sequence[Finding]) -> str:
    """The grade that all findings leave together; A where none limits it."""
    return max((finding.grade for finding in findings if finding.grade), default="A")


def reasons_of(findings: Sequence[Finding]) -> list[str]:
    """The words of what limits the grade, the worst first."""
    limiting = [finding for finding in findings if finding.grade in ("B", "C", "D")]
    return [f.detail for f in sorted(limiting, key=lambda f: str(f.grade), reverse=True)]


def ratio_findings(
    counts: Mapping[str, int], weights: Mapping[str, float], parts: Sequence[PartCounts], is_declared: bool = True
) -> list[Finding]:
    """Sample ratio mismatch of everybody, then of each part that is large enough; the guilty part is named."""
    arms = list(weights)
    p = ratio_p([counts[arm] for arm in arms], list(weights.values()))
    if p is None:
        return [Finding("srm", "all", "unknown", "Nobody saw an arm that is declared.", threshold=SRM_VOID)]
    found = part_findings(parts, list(weights.values()))
    guilty = [finding for finding in found if finding.p < SRM_VOID]
    overall = _overall_ratio(counts, weights, p, is_declared)
    if guilty and overall.status == "void":
        overall = replace(overall, detail=f"{overall.detail} {_guilt(guilty[0].part, counts, weights)}")
    asked_dimensions = {part.dimension for part in asked_parts(parts)}
    named = []
    for dimension in sorted(asked_dimensions):
        worst = next(finding for finding in found if finding.part.dimension == dimension)
        is_void = worst.p < SRM_VOID
        split = _split(dict(zip(arms, worst.part.counts, strict=True)), weights)
        words = f"{_part_text(worst.part)}: {split}"
        if is_void:
            words += f"; {count_text(worst.missing)} are missing from {arms[worst.arm]}"
        named.append(
            Finding(
                "srm by " + dimension, _part_text(worst.part), "void" if is_void else "ok", words + ".",
                worst.p, SRM_VOID, "D" if is_void else None,
            )
        )  # fmt: skip
    return [overall, *named]


def _overall_ratio(counts: Mapping[str, int], weights: Mapping[str, float], p: float, is_declared: bool) -> Finding:
    split = _split(counts, weights)
    if not is_declared:
        words = f"{split}. No file says how people are dealt, so equal shares are held against it."
        is_odd = p < SRM_VOID
        return Finding("srm", "all", "warning" if is_odd else "info", words, p, SRM_VOID, "B")
    if p < SRM_VOID:
        return Finding("srm", "all", "void", f"{split}.", p, SRM_VOID, "D")
    if p < SRM_WARNS:
        words = f"{split}, which happens by chance once in {count_text(round(1 / p))} times."
        return Finding("srm", "all", "warning", words, p, SRM_WARNS, "B")
    return Finding("srm", "all", "ok", f"{split}.", p, SRM_VOID)


def _split(counts: Mapping[str, int], weights: Mapping[str, float]) -> str:
    """`3,110 people in test, 4,020 in control (1 : 1 planned)`."""
    ordered = [*list(weights)[1:], next(iter(weights))]
    people = ", ".join(
        f"{count_text(counts[arm])}{' people' if position == 0 else ''} in {arm}"
        for position, arm in enumerate(ordered)
    )
    least = min(weights.values())
    ratio = " : ".join(f"{weights[arm] / least:.3g}" for arm in ordered)
    return f"{people} ({ratio} planned)"


def _guilt(part: PartCounts, counts: Mapping[str, int], weights: Mapping[str, float]) -> str:
    arms = list(weights)
    arm, missing_in_all = missing_people(counts, weights)
    position = arms.index(arm)
    rest = sum(part.counts) - part.counts[position]
    missing = rest / (1 - weights[arm]) * weights[arm] - part.counts[position]
    where = f"on {_part_text(part)}"
    share = "All" if missing_in_all <= missing * 1.15 else "Most" if missing_in_all <= missing * 2 else "Part"
    never = f", which never shows {arm}" if part.counts[position] == 0 else ""
    return f"{share} of the missing ones are {where}{never}."


def _part_text(part: PartCounts) -> str:
    return f"{part.value} users" if part.dimension == "new or existing" else f"{part.dimension} {part.value}"


def mixed_finding(mixed: int, people: int) -> Finding:
    """People who saw more than one arm: they are left out, and too many of them void the rest."""
    share = mixed / people if people else 0.0
    words = f"{count_text(mixed)} of {count_text(people)} people saw more than one arm ({share_text(share)})"
    if share > MIXED_VOID:
        return Finding("several arms", "all", "void", f"{words}; more than 10 % void it.", share, MIXED_VOID, "D")
    if share > MIXED_WARNS:
        return Finding("several arms", "all", "warning", f"{words}; they are left out.", share, MIXED_WARNS, "B")
    return Finding("several arms", "all", "ok", f"{words}.", share, MIXED_WARNS)


def left_out_finding(check: str, subject: str, count: int, words: str) -> Finding:
    """Something that was left out and is told of; it limits no grade."""
    return Finding(check, subject, "info" if count else "ok", words, float(count))


def loss_findings(
    event: str, lost: Mapping[str, int], arrived: Mapping[str, int], unreadable: int, asked: int
) -> list[Finding]:
    """Whether one arm loses more of an event than another; `asked` is how many events are asked about, for Bonferroni.

    A share of 5 % and more that is lost of all arms alike leaves results in doubt, and no more.
    """
    arms = [arm for arm in arrived if arrived[arm] + lost.get(arm, 0)]
    table = np.array([[lost.get(arm, 0), arrived[arm]] for arm in arms])
    total = int(table.sum()) if arms else 0
    share = float(table[:, 0].sum() / total) if total else 0.0
    unread = f"; of {count_text(unreadable)} more no arm can be read" if unreadable else ""
    if len(arms) < 2 or not table[:, 0].sum():
        words = (
            f"{event}: {count_text(int(table[:, 0].sum()) if arms else 0)} of {count_text(total)} rows refused{unread}."
        )
        return [Finding("loss by arm", event, "ok", words, 1.0, LOSS_VOID_P)]
    p = min(1.0, _independence_p(table) * asked)
    worst = int(np.argmax(table[:, 0] / table.sum(axis=1)))
    each = ", ".join(
        f"{share_text(lost.get(arm, 0) / (lost.get(arm, 0) + arrived[arm]))} of {event} lost in {arm}" for arm in arms
    )
    found = []
    if p < LOSS_VOID_P:
        words = f"Rows of one arm arrive broken: {each}; {arms[worst]} loses more{unread}."
        found.append(Finding("loss by arm", event, "void", words, p, LOSS_VOID_P, "D"))
    else:
        found.append(Finding("loss by arm", event, "ok", f"{each}{unread}.", p, LOSS_VOID_P))
    if share > LOSS_DOUBTFUL:
        words = f"{share_text(share)} of {event} arrive broken."
        found.append(Finding("loss", event, "warning", words, share, LOSS_DOUBTFUL, "C"))
    return found


def _independence_p(table: np.ndarray) -> float:
    from scipy.stats import chi2_contingency, fisher_exact

    if table.shape == (2, 2) and table.min() < 10:
        return float(fisher_exact(table).pvalue)
    return float(chi2_contingency(table, correction=False).pvalue)


def past_finding(metric: str, label: str, p: float | None, difference: str, asked: int) -> Finding:
    """Whether arms differed before exposure, when no arm can have done anything; `label` is the metric in words."""
    if p is None:
        return Finding("past by arm", metric, "unknown", f"{label}: nobody has a past.", threshold=PAST_DIFFERS_P)
    corrected = min(1.0, p * asked)
    if corrected < PAST_DIFFERS_P:
        words = f"{label}: arms differed before anybody saw one: {difference}."
        return Finding("past by arm", metric, "warning", words, corrected, PAST_DIFFERS_P, "C")
    return Finding("past by arm", metric, "ok", f"{label}: alike before anybody saw an arm.", corrected, PAST_DIFFERS_P)


def changed_arms_findings(
    daily: Mapping[date, Mapping[str, int]], weights: Mapping[str, float], first: date, last: date
) -> list[Finding]:
    """Whether arms were added, or taken away, while it ran: void from that day on.

    `daily` is new people per day and arm, of arms that no file names as well.
    """
    days = sorted(day for day in daily if first <= day <= last)
    found = []
    for arm, weight in weights.items():
        due = {day: sum(daily[day].get(other, 0) for other in weights) for day in days}
        missing = [day for day in days if due[day] * weight >= LEAST_DUE_A_DAY and not daily[day].get(arm)]
        seen = [day for day in days if daily[day].get(arm)]
        if not seen or not missing:
            continue
        gone, late = [d for d in missing if d > seen[-1]], [d for d in missing if d < seen[0]]
        if gone:
            found.append(_changed(gone[0], f"nobody sees {arm} any more"))
        if late:
            found.append(_changed(seen[0], f"{arm} was added"))
    total = sum(sum(arms.values()) for arms in daily.values())
    for arm in sorted({arm for arms in daily.values() for arm in arms} - set(weights)):
        counted = [(day, daily[day].get(arm, 0)) for day in days]
        appeared = next((day for day, count in counted if count), None)
        if appeared and appeared > first and sum(n for _, n in counted) > LEAST_STRAY_SHARE * total:
            found.append(_changed(appeared, f"{arm} was added, which is not declared"))
    return found


def _changed(day: date, what: str) -> Finding:
    return Finding(
        "arms changed", day.isoformat(), "void", f"Arms changed on {day}: {what}. Void from that day.", grade="D"
    )


def length_findings(first: date, through: date, planned_last: date) -> list[Finding]:
    """Whether it ran for a whole week at least."""
    days = (min(through, planned_last) - first).days + 1
    if days < LEAST_DAYS:
        words = f"It has run for {days} days, which is no whole week."
        return [Finding("length", "all", "warning", words, float(days), float(LEAST_DAYS), "B")]
    return [Finding("length", "all", "ok", f"It has run for {days} days.", float(days), float(LEAST_DAYS))]


def size_findings(people: int, planned: int | None, is_final: bool) -> list[Finding]:
    """Whether as many people came as were planned, once it is over."""
    if planned is None:
        return []
    words = f"{count_text(people)} of {count_text(planned)} planned people saw it"
    if is_final and people < planned:
        return [Finding("size", "all", "warning", f"{words}.", float(people), float(planned), "C")]
    return [
        Finding("size", "all", "ok", f"{words} so far." if not is_final else f"{words}.", float(people), float(planned))
    ]


def weights_findings(has_weights: bool) -> list[Finding]:
    """Whether its file says how people are dealt among arms."""
    if has_weights:
        return []
    return [Finding("weights", "all", "warning", "No weights are declared; equal ones are assumed.", grade="B")]


def red_checks_findings(red: Sequence[tuple[str, str]]) -> list[Finding]:
    """Blocking checks that fail of days that results are made from: (day, what)."""
    if not red:
        return [Finding("checks", "all", "ok", "No blocking check fails in its window.", 0.0)]
    words = f"{len(red)} blocking checks fail in its window, such as {red[0][1]} on {red[0][0]}."
    return [Finding("checks", "all", "warning", words, float(len(red)), 0.0, "C")]
