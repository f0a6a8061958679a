"""Every number, date and word form that people read. No other module formats a number.

Narrow no-break spaces stand between number and unit, minus is a true minus, and what is unknown is an en dash: never
zero, never 100 %.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime

from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.domain import wording

NARROW = "\u202f"
MINUS = "\u2212"
UNKNOWN = "\u2013"

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_MINUS_BEFORE = re.compile(r"(?<![\w.])-(?=\d)")
# Less rounds to nought at one decimal.
_LEAST_POINTS = 0.05
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _is_missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _signless(number: float, digits: int) -> str:
    """`number` with thousands separated; a true minus, and none before a zero."""
    text = f"{abs(number):,.{digits}f}"
    is_zero = not any(c in "123456789" for c in text)
    return (MINUS if number < 0 and not is_zero else "") + text.replace(",", NARROW)


def duration(ms: float | None) -> str:
    """A duration given in milliseconds, as sentences say it: `4.2 ms`, `467 ms`, `1.04 s`, `2.5 min`."""
    if ms is None or _is_missing(ms):
        return UNKNOWN
    return wording.duration_text(ms).replace(",", NARROW).replace(" ", NARROW)


def seconds(value: float | None) -> str:
    """A duration given in seconds, as `duration` writes it."""
    return duration(None if value is None else value * 1000)


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with two to three significant figures: `0.85 %`, `12.4 %`, `>99.99 %`."""
    if fraction is None or _is_missing(fraction):
        return UNKNOWN
    points = fraction * 100
    size = abs(points)
    if 99.99 < size < 100:
        return f">{'' if points > 0 else MINUS}99.99{NARROW}%"
    digits = 0 if size in (0, 100) else 3 if size < 0.1 else 2 if size < 1 or size > 99 else 1
    return f"{_signless(points, digits)}{NARROW}%"


def share(fraction: float | None) -> str:
    """A share of a whole, in whole percent: `19 %`, `<1 %`, `>99 %`."""
    if fraction is None or _is_missing(fraction):
        return UNKNOWN
    if 0 < fraction < 0.01:
        return f"<1{NARROW}%"
    if 0.99 < fraction < 1:
        return f">99{NARROW}%"
    return f"{_signless(fraction * 100, 0)}{NARROW}%"


def probability(fraction: float | None) -> str:
    """A probability: as `share`, and never 0 % nor 100 %, since no model is that sure."""
    if fraction is None or _is_missing(fraction):
        return UNKNOWN
    return wording.probability_text(fraction).replace(" ", NARROW)


def change(fraction: float | None) -> str:
    """A relative change with its sign, as sentences say it: `+243 %`, `−0.8 %`, `±0 %`, `×12`."""
    return UNKNOWN if fraction is None or _is_missing(fraction) else wording.change_text(fraction).replace(" ", NARROW)


def points(difference: float | None, unit: str = "pts") -> str:
    """A difference with its sign, in `unit`: `−2.6 pts`."""
    if difference is None or _is_missing(difference):
        return UNKNOWN
    if is_nought(difference):
        return f"±0{NARROW}{unit}"
    digits = 1 if abs(difference) < 9.95 else 0
    return f"{'+' if difference > 0 else MINUS}{abs(difference):.{digits}f}{NARROW}{unit}"


def is_nought(difference: float) -> bool:
    """Whether `points` says nought of a difference."""
    return abs(difference) < _LEAST_POINTS


def count(number: float | None) -> str:
    """A count in three significant figures: `970`, `9.6k`, `213k`, `1.5M`; a mean below ten keeps a decimal."""
    if number is None or _is_missing(number):
        return UNKNOWN
    size = abs(number)
    for limit, divisor, suffix in (
        (1e3 - 0.5, 1, ""),
        (1e6 - 500, 1e3, "k"),
        (1e9 - 5e5, 1e6, "M"),
        (math.inf, 1e9, "B"),
    ):
        if size < limit:
            scaled = number / divisor
            whole = suffix == "" and (float(number).is_integer() or size >= 10)
            return _signless(scaled, 0 if whole or abs(scaled) >= 99.95 else 1) + suffix
    raise AssertionError("unreachable: the last limit is infinite")


def whole(number: float | None) -> str:
    """A count in full: `12 345`."""
    return UNKNOWN if number is None or _is_missing(number) else _signless(number, 0)


def decimal(number: float | None, digits: int = 2) -> str:
    """A plain number: a score, a mean rating, a statistic."""
    return UNKNOWN if number is None or _is_missing(number) else _signless(number, digits)


def number(value: float | None) -> str:
    """A number of no unit: with two decimals, from a thousand on as a count."""
    return count(value) if value is not None and abs(value) >= 1000 else decimal(value)


def score(number: float | None) -> str:
    """A quality score of 0 to 100: `96.4`; `100` only where it is exactly that."""
    if number is None or _is_missing(number):
        return UNKNOWN
    return "100" if number == 100 else f"{min(number, 99.9):.1f}"


def share_of_cells(number: float | None) -> str:
    """A score of data from 0 to 1, with the digits that tell days and batches apart: `0.9987`; 1 only where it is."""
    if number is None or _is_missing(number):
        return UNKNOWN
    return "1.0000" if number == 1 else f"{min(number, 0.9999):.4f}"


def metric(name: str, value: float | None) -> str:
    """The value of a registry metric in its own unit."""
    if name == "adoption_rate":
        return share(value)
    unit = METRICS_BY_NAME[name].unit if name in METRICS_BY_NAME else "score"
    return by_unit(unit, value)


def by_unit(unit: str, value: float | None) -> str:
    """A value in a unit of the metric registry: count, ms, fraction, score."""
    writers = {"count": count, "ms": duration, "fraction": percent}
    return writers.get(unit, decimal)(value)


def day(value: date | None, *, year: bool = False) -> str:
    """A date: `19 Nov`, or `19 Nov 2026`."""
    if value is None:
        return UNKNOWN
    return f"{value.day} {_MONTHS[value.month - 1]}" + (f" {value.year}" if year else "")


def moment(value: datetime | None) -> str:
    """An instant in UTC: `19 Nov, 06:04 UTC`."""
    return UNKNOWN if value is None else f"{day(value)}, {value:%H:%M} UTC"


def span(start: date, end: date | None) -> str:
    """From a day to a day, or to now: `14 Nov – now`; one day is that day."""
    return day(start) if start == end else f"{day(start)} {UNKNOWN} {'now' if end is None else day(end)}"


def false_alarms(q: float | None) -> str:
    """A q value: the share of false alarms to expect among alarms this strong. Never nought: `<0.01 %`."""
    if q is None or _is_missing(q):
        return UNKNOWN
    return f"<0.01{NARROW}%" if q < 1e-4 else percent(q)


def ago(days: int) -> str:
    """How long ago, in days: `today`, `yesterday`, `29 days ago`."""
    return "today" if days <= 0 else "yesterday" if days == 1 else f"{days} days ago"


def plural(number: int, one: str, many: str | None = None) -> str:
    """A count with its noun: `1 check`, `4 checks`."""
    return typeset(wording.plural(number, one, many))


def typeset(text: str) -> str:
    """A sentence of the domain as pages set it: thousands are kept together by a narrow blank, and minus is one."""
    return _MINUS_BEFORE.sub(MINUS, _THOUSANDS.sub(NARROW, text))


def person(address: str | None) -> str:
    """An owner as people say it: `ines.moreau@example.com` is `I. Moreau`; other text stays as it is."""
    if not address:
        return "no owner"
    local, at, _ = address.partition("@")
    parts = local.split(".")
    if at and len(parts) == 2 and all(part.isalpha() for part in parts):
        return f"{parts[0][0].upper()}. {parts[1].capitalize()}"
    return address


def words(identifier: str) -> str:
    """An identifier as words: `missing_event_time` is `Missing event time`."""
    text = identifier.replace("_", " ").strip()
    # p95 and the like are written small.
    return text if text[1:2].isdigit() else wording.capitalised(text)


_MODELS = {
    "hist_gradient_boosting": "Gradient boosting",
    "ewma_chart": "EWMA chart",
    "feature_base_rate": "Base rate per feature",
}
_MODEL_IDS = (*_MODELS, "random_forest", "logistic_regression", "persistence")


def model(name: str) -> str:
    """The name of a kind of model: `ewma_chart` is `EWMA chart`."""
    return _MODELS.get(name, words(name))


def about_models(text: str) -> str:
    """A sentence of the model's training, with its identifiers as names: `any: best candidate random_forest …`."""
    text = text.removeprefix("any: ")
    for name in _MODEL_IDS:
        text = text.replace(name, model(name) if name == "ewma_chart" else model(name).lower())
    return wording.capitalised(text)
