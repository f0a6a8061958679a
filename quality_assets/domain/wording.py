"""Names and numbers in sentences: incidents, drift verdicts and reports say a value in its unit, and say it alike."""

from __future__ import annotations

import math
import re

_SAID = {
    "latency_ms": "latency",
    "latency_ms above its usual p95": "share of events slower than the usual p95",
    "feedback_score": "feedback",
    "app_version": "mix of app versions",
    "platform": "mix of platforms",
    "country": "mix of countries",
    "brier_score": "squared error of the scores",
    "calibration_bias": "score less outcome",
    "days_in_state": "days since it last turned bad or good",
    "degraded_days_7d": "bad days of the last 7",
    "degraded_days_28d": "bad days of the last 28",
    "onsets_90d": "degradations begun in 90 days",
    "own_degraded_share": "share of its days that were bad",
    "worst_ewma_z": "recent slide of the worst metric",
    "second_ewma_z": "recent slide of the second-worst metric",
    "worst_slope_z": "steepest two-week trend",
    "worst_two_weeks_z": "two weeks of the worst metric",
    "worst_run_days": "longest run of bad days",
    "open_z": "size of the open degradation",
    "open_days": "age of the open degradation",
    "open_calm_days": "calm days since the open degradation",
    "log_events": "events a day (logarithm)",
    "events_trend": "events of the week against the month",
    "is_open": "not yet recovered",
    "budget_burn": "use of the error budget over four weeks",
    "worst_drift_share": "how near a slide is to a degradation",
    "worst_spike_share": "how near a day is to a degradation",
    "peers_degraded_share": "share of other features that are bad",
    "peers_worst_share": "share of other features that slide",
    "age_days": "days since first seen",
    "active_days_28d": "days with events of the last 28",
    "releases_14d": "releases in 14 days",
    "top_platform_share": "share of the most used platform",
}
_SIGNALS = {
    "latency": "latency p95",
    "crash": "crash rate",
    "error": "error rate",
    "feedback": "feedback",
    "volume": "events",
}
_OF_SIGNAL = {
    "change": "{} of 3 days against usual",
    "z": "{} today against its noise",
    "ewma_z": "recent slide of {}",
    "slope_z": "two-week trend of {}",
}
# Platforms that no sentence begins with a capital letter.
_WRITTEN = {
    "ios": "iOS",
    "ipados": "iPadOS",
    "macos": "macOS",
    "tvos": "tvOS",
    "watchos": "watchOS",
    "visionos": "visionOS",
}
_IS_MISSING = " is missing"
# Below how many milliseconds a duration is said in which unit, with how many decimals.
_DURATIONS: tuple[tuple[float, str, int, int], ...] = (
    (9.95, "ms", 1, 1),
    (999.5, "ms", 1, 0),
    (9_995, "s", 1_000, 2),
    (59_950, "s", 1_000, 1),
    (5_400_000, "min", 60_000, 1),
    (172_800_000, "h", 3_600_000, 1),
    (math.inf, "days", 86_400_000, 1),
)


MILLISECONDS = {"ms": 1, "s": 1_000, "h": 3_600_000}
"""In units of durations, which are said in the unit that a person would choose."""

# Nobody thinks of months in hours.
_HOURS_SAID = 240
_OF_USERS = "user_features."


def name_in_words(name: str) -> str:
    """What is monitored, as people say it: `crash_rate` is `crash rate`, `platform` is `mix of platforms`."""
    if name.endswith(_IS_MISSING):
        return name_in_words(name.removesuffix(_IS_MISSING)) + _IS_MISSING
    if name.startswith(_OF_USERS):
        return f"{name_in_words(name.removeprefix(_OF_USERS))} of users"
    signal, _, what = name.partition("_")
    if signal in _SIGNALS and what in _OF_SIGNAL:
        return _OF_SIGNAL[what].format(_SIGNALS[signal])
    return _SAID.get(name) or name.replace("_", " ")


def value_text(value: float, unit: str) -> str:
    """A value in a unit of the metric registry or of a model input: `0.42 %`, `1.20 s`, `45.3 s`, `3.44`, `12`."""
    if unit in ("fraction", "probability"):
        return share_text(value)
    if unit in MILLISECONDS:
        return duration_text(value * MILLISECONDS[unit])
    if unit in ("score", "sd", "ratio", ""):
        return _signed(f"{value:.2f}")
    return count_text(value)


def share_text(value: float) -> str:
    """A fraction in percent, two digits where it is small: `0.42 %`, `3.1 %`, `19 %`; 100 % is exactly that."""
    points = 100 * value
    size = abs(points)
    if 99.5 <= size < 100:
        return _signed(f">{'-' if value < 0 else ''}99 %")
    return _signed(f"{points:.0f} %" if size >= 10 or size == 0 else f"{points:.2g} %" if size >= 0.01 else "0 %")


def probability_text(value: float) -> str:
    """A probability in whole percent, and never 0 % nor 100 %, since no model is that sure: `<1 %`, `19 %`, `>99 %`."""
    return "<1 %" if value < 0.01 else ">99 %" if value > 0.99 else f"{100 * value:.0f} %"


def change_text(fraction: float) -> str:
    """A relative change with its sign: `+243 %`, `−0.8 %`, `±0 %`; from eleven times on as a multiple, `×12`."""
    points = 100 * fraction
    if abs(points) < 0.05:
        return "±0 %"
    if points >= 999.5:
        return f"×{fraction + 1:.0f}"
    return f"{'+' if points > 0 else '−'}{abs(points):.{1 if abs(points) < 9.95 else 0}f} %"


def count_text(value: float) -> str:
    """A count, or a mean of counts: `12,345`, `3.4`, `0`."""
    return _signed(f"{value:,.0f}" if abs(value) >= 10 or float(value).is_integer() else f"{value:.2g}")


def _signed(text: str) -> str:
    if not any(c in "123456789" for c in text):
        text = text.removeprefix("-")
    return text.replace("-", "−")


def duration_text(milliseconds: float) -> str:
    """A duration in the unit in which a person would say it: `4.2 ms`, `467 ms`, `1.04 s`, `2.5 min`, `5.7 h`."""
    _, unit, unit_ms, digits = next(known for known in _DURATIONS if abs(milliseconds) < known[0])
    return _signed(f"{milliseconds / unit_ms:,.{digits if milliseconds else 0}f} {unit}")


def measure_text(value: float, unit: str, digits: int = 2) -> str:
    """What a check measured, to `digits` digits: `6 %` of a `fraction`, `0.57` without unit, else a counted noun."""
    if unit == "hour" and abs(value) >= _HOURS_SAID:
        value, unit = value / 24, "day"
    scaled = round(100 * value if unit == "fraction" else value, 9)
    # Digits before the point are never cut off: 123.4 to two digits is 123, not 1.2e+02.
    is_long = abs(scaled) >= 10**digits - 0.5
    number = f"{scaled:,.0f}" if scaled.is_integer() or is_long else f"{scaled:,.{digits}g}"
    noun = "%" if unit == "fraction" else unit if not unit or number == "1" else f"{unit}s"
    return f"{_signed(number)} {noun}".rstrip()


def measure_texts(observed: float | None, limit: float | None, unit: str) -> tuple[str, str]:
    """Both as texts that differ where the values do: rounding must not make a miss look like a hit."""
    known = {float(value) for value in (observed, limit) if value is not None}
    for digits in (2, 3, 4, 6, 9):
        said = {value: measure_text(value, unit, digits) for value in known}
        if len({*said.values()}) == len(said):
            break
    seen, held = ("unknown" if value is None else said[float(value)] for value in (observed, limit))
    return seen, held


def row_text(value: object) -> str:
    """A value of a row in a sentence; a row as its names and values: `event_date 2026-03-01, feature Search`."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {row_text(part)}" for name, part in value.items())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _signed(f"{value:,.15g}")
    return "null" if value is None else str(value)


def figure_text(value: float) -> str:
    """A figure whose unit is not known, to six digits; what stands before the point is never cut: `1,234,567`."""
    # Beyond that a float has no further digits to tell.
    is_large = 1e6 <= abs(value) < 1e15
    # A nought that was reckoned with is hardly ever one to the last bit.
    value = 0.0 if abs(value) < 1e-12 else value
    return _signed(f"{value:,.0f}" if is_large else f"{value:,.6g}")


def figure_texts(low: float, high: float) -> tuple[str, str]:
    """The ends of a band as texts that differ where the values do: `0.99999986` and `1.0000001`, not 1 to 1."""
    low_text, high_text = figure_text(low), figure_text(high)
    if low == high or low_text != high_text:
        return low_text, high_text
    for digits in range(7, 17):
        texts = _signed(f"{low:,.{digits}g}"), _signed(f"{high:,.{digits}g}")
        if texts[0] != texts[1]:
            return texts
    return _signed(f"{low!r}"), _signed(f"{high!r}")


def capitalised(text: str) -> str:
    """A text that begins a sentence; a first word with capitals of its own keeps them, and `ios` is `iOS`."""
    first = re.split(r"\W", text, maxsplit=1)[0]
    if first.lower() in _WRITTEN:
        return _WRITTEN[first.lower()] + text[len(first) :]
    return text if first != first.lower() else text[:1].upper() + text[1:]


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count and its noun: `1 file`, `1,204 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
