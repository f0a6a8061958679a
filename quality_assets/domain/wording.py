"""Names and numbers in sentences: incidents, drift verdicts and reports say a value in its unit, and say it alike."""

from __future__ import annotations

_SAID = {
    "latency_ms": "latency",
    "latency_ms above its usual p95": "share of events slower than the usual p95",
    "feedback_score": "feedback",
    "app_version": "mix of app versions",
    "platform": "mix of platforms",
    "country": "mix of countries",
    "brier_score": "squared error of the scores",
    "calibration_bias": "score less outcome",
    "risk_probability": "risk probability",
}


def name_in_words(name: str) -> str:
    """What is monitored, as people say it: `crash_rate` is `crash rate`, `platform` is `mix of platforms`."""
    return _SAID.get(name) or name.replace("_", " ")


def value_text(value: float, unit: str) -> str:
    """A value in a unit of the metric registry or of a model input: `0.42 %`, `1,204 ms`, `45 s`, `3.44`, `12`."""
    if unit in ("fraction", "probability"):
        return share_text(value)
    if unit == "ms":
        return _signed(duration_text(value))
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


def count_text(value: float) -> str:
    """A count, or a mean of counts: `12,345`, `3.4`, `0`."""
    return _signed(f"{value:,.0f}" if abs(value) >= 10 or float(value).is_integer() else f"{value:.2g}")


def _signed(text: str) -> str:
    if not any(c in "123456789" for c in text):
        text = text.removeprefix("-")
    return text.replace("-", "−")


def duration_text(milliseconds: float) -> str:
    """A duration with the unit in which a person would say it: ms up to ten seconds, then s, min and h."""
    for limit, unit, size in ((10_000, "ms", 1), (120_000, "s", 1_000), (7_200_000, "min", 60_000)):
        if abs(milliseconds) < limit:
            return f"{milliseconds / size:,.0f} {unit}"
    return f"{milliseconds / 3_600_000:,.1f} h"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count and its noun: `1 file`, `1,204 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
