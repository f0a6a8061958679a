"""What an experiment says, in one sentence that can be quoted as it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from quality_assets.contracts.metric_names import MetricName
from quality_assets.domain.impact.experiments import ArmResult
from quality_assets.domain.wording import count_text

_MINUS = "−"


@dataclass(frozen=True)
class Spoken:
    """A metric of one arm, as far as a sentence needs it."""

    metric: MetricName
    arm: str
    role: str
    mean: float
    control_mean: float
    result: ArmResult
    verdict: str


def signed(value: float, is_share: bool) -> str:
    """`+3.4`, `−1.2`: points of a share, else the value with three digits."""
    shown = _points(abs(value)) if is_share else _three_digits(abs(value))
    return (_MINUS if value < 0 else "+") + shown


def level(value: float, is_share: bool) -> str:
    """`22.1 %`, `4.31`."""
    return f"{_points(value)} %" if is_share else _three_digits(value)


def _three_digits(value: float) -> str:
    size = abs(value)
    # Of a sum of money the last digits say nothing, but `1.23e+03` says nothing to most.
    if size >= 99.95:
        return f"{value:,.0f}"
    # An estimate and the ends of its interval are of one kind: `+0.55, +0.11 to +1.00`.
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}" if size >= 0.095 else f"{value:.2g}"


def _points(share: float) -> str:
    # A crash rate is a fraction of a percent, of which one digit says nothing.
    return f"{100 * share:.2f}" if abs(share) < 0.01 else f"{100 * share:.1f}"


def difference(spoken: Spoken, is_final: bool) -> str:
    """`−1.3 points, −2.0 to −0.6`."""
    result, is_share = spoken.result, spoken.metric.is_share
    low, high = (result.low, result.high) if is_final else (result.always_low, result.always_high)
    unit = " points" if is_share else ""
    return f"{signed(result.diff, is_share)}{unit}, {signed(low, is_share)} to {signed(high, is_share)}"


def final_sentence(spoken: Sequence[Spoken], grade: str, reasons: Sequence[str]) -> str:
    """The verdict at the end: the primary metrics, then guardrails that are not safe, then the grade."""
    parts = [_primary_text(each, many=_several_arms(spoken)) for each in spoken if each.role == "primary"]
    parts += [
        f"Guardrail {each.metric.label.lower()} {each.verdict} in {each.arm}."
        for each in spoken
        if each.role == "guardrail" and each.verdict in ("breached", "not shown to be safe")
    ]
    why = f": {reasons[0]}" if reasons else "."
    return " ".join([*parts, f"Grade {grade}{why}"])


def adjusted_note(rows: Iterable[Mapping[str, Any]]) -> str:
    """Why differences are not those of the values beside them, of rows of impact.experiment_results; '' where they are.

    A reader subtracts.
    """
    if not any(row["is_cuped"] and row["diff"] is not None for row in rows):
        return ""
    return "Differences hold the arms' past alike (CUPED): they are not those of the values, which are as counted."


def _several_arms(spoken: Sequence[Spoken]) -> bool:
    return len({each.arm for each in spoken}) > 1


def _primary_text(spoken: Spoken, *, many: bool) -> str:
    label = spoken.metric.label
    who = f"{spoken.arm}: " if many else ""
    if spoken.verdict == "not measured":
        return f"Not measured: {who}too few people, or nothing that varies, for {label}."
    is_share = spoken.metric.is_share
    told, counted = (level(mean, is_share) for mean in (spoken.control_mean + spoken.result.diff, spoken.mean))
    text = f"{who}{label} {told} instead of {level(spoken.control_mean, is_share)} ({difference(spoken, True)})"
    if spoken.result.is_cuped and told != counted:
        # Tables show what was counted, which a reader holds against this.
        text += f", the arms' past held alike; {counted} as counted"
    return f"{spoken.verdict[0].upper()}{spoken.verdict[1:]}: {text}."


def running_sentence(spoken: Sequence[Spoken], day: int, days: int, waits_until: date | None, open_: int) -> str:
    """Before the end: what is told already, else to keep running."""
    primary = [each for each in spoken if each.role == "primary"]
    many = _several_arms(spoken)
    texts = [
        (f"{each.arm}: " if many else "") + f"{each.metric.label} always-valid {_always_text(each)}"
        for each in primary
        if each.verdict != "not measured"
    ]
    told = [each for each in primary if each.verdict in ("better", "worse")]
    head = "Keep running"
    if told:
        head = f"{told[0].verdict[0].upper()}{told[0].verdict[1:]} already"
    elif waits_until is not None:
        head = "Ended, and still open"
    where = (
        f"day {day} of {days}"
        if waits_until is None
        else f"{count_text(open_)} people have days left, until {waits_until}"
    )
    rest = "; " + "; ".join(texts) if texts else "; nobody's window is over yet"
    return f"{head}: {where}{rest}."


def _always_text(spoken: Spoken) -> str:
    result, is_share = spoken.result, spoken.metric.is_share
    unit = " points" if is_share else ""
    return f"{signed(result.always_low, is_share)} to {signed(result.always_high, is_share)}{unit}"


def void_sentence(reasons: Sequence[str]) -> str:
    """Why there are no numbers."""
    return f"Void: {reasons[0]}" if reasons else "Void."


def no_exposures_sentence(start: date, through: date | None) -> str:
    """Declared, and nobody saw it."""
    if through is not None and through < start:
        return f"Planned: it begins on {start}."
    return f"No exposures since {start}."


def undeclared_sentence(counts: Mapping[str, int], excluded: Mapping[str, int]) -> str:
    """Seen in events, and declared nowhere: health only. All who saw it are in an arm, or left out for a reason."""
    people = [", ".join(f"{count_text(n)} in {arm}" for arm, n in counts.items())]
    people += [f"{count_text(n)} left out ({reason})" for reason, n in excluded.items() if n]
    return f"Not declared: {', '.join(filter(None, people))}. Without a file in data/experiments it gets no verdict."
