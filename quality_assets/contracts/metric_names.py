"""Metrics by name, for experiments and lift: `return_7d`, `uses:FEATURE`, `count:EVENT`, or one of the registry.

What a name means and where it hurts; the SQL is in `domain/impact/metrics_by_name.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from quality_assets.contracts.metrics import METRICS_BY_NAME

MOST_RETURN_DAYS = 90
MetricKind = Literal["registry", "return", "uses", "completed", "converted", "count", "sum", "slow_share"]

_PREFIXES: dict[str, MetricKind] = {
    "uses": "uses", "completed": "completed", "converted": "converted", "count": "count", "sum": "sum",
}  # fmt: skip
_FORMS = "return_7d, uses:FEATURE, completed:FEATURE, converted:FUNNEL, count:EVENT, sum:properties.KEY, slow_share"
# What people of an arm do does not change how many there are, and a share of all users is no one user's.
_NOT_OF_A_USER = {"users": "return_7d or uses:FEATURE", "adoption_rate": "uses:FEATURE"}
QUANTILE_METRICS = ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")


class MetricNameError(ValueError):
    """A name means no metric; the message says which do."""


@dataclass(frozen=True)
class MetricName:
    """A metric by its name. `argument` is what stands behind the colon, `days` of a return; both as they apply."""

    name: str
    kind: MetricKind
    argument: str = ""
    days: int = 0

    @property
    def label(self) -> str:
        """As people say it."""
        if self.kind == "registry":
            return METRICS_BY_NAME[self.name].label
        return {
            "return": f"{self.days}-day return",
            "uses": f"Use of {self.argument}",
            "completed": f"Completion of {self.argument}",
            "converted": f"Conversion in {self.argument}",
            "count": f"{self.argument} per person",
            "sum": f"Sum of {self.argument} per person",
            "slow_share": "Share of events over the latency objective",
        }[self.kind]

    @property
    def is_share(self) -> bool:
        """Whether it is said in percent, and its differences in points."""
        if self.kind == "registry":
            return METRICS_BY_NAME[self.name].unit == "fraction"
        return self.kind in ("return", "uses", "completed", "converted", "slow_share")

    @property
    def is_tested(self) -> bool:
        """Whether arms are tested on it; quantiles are shown, not tested."""
        return self.name not in QUANTILE_METRICS

    @property
    def bad_direction(self) -> str:
        """Where it hurts: `up` or `down`."""
        if self.kind == "registry":
            return METRICS_BY_NAME[self.name].bad_direction or "down"
        return "up" if self.kind == "slow_share" else "down"


def parse_metric_name(name: str) -> MetricName:
    """What a name means; MetricNameError, which says what there is, where it means nothing."""
    prefix, colon, argument = name.partition(":")
    if colon and prefix in _PREFIXES:
        return _with_argument(name, _PREFIXES[prefix], argument.strip())
    returned = re.fullmatch(r"return_(\d{1,3})d", name)
    if returned:
        days = int(returned[1])
        if not 1 <= days <= MOST_RETURN_DAYS:
            raise MetricNameError(f"{name!r}: days of a return are 1 to {MOST_RETURN_DAYS}")
        return MetricName(name, "return", days=days)
    if name == "slow_share":
        return MetricName(name, "slow_share")
    if name in _NOT_OF_A_USER:
        raise MetricNameError(f"{name!r} is not measured of one user; use {_NOT_OF_A_USER[name]}")
    if name in METRICS_BY_NAME:
        return MetricName(name, "registry")
    allowed = [each for each in METRICS_BY_NAME if each not in _NOT_OF_A_USER]
    near = get_close_matches(name, [*allowed, "return_7d", "slow_share"], 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise MetricNameError(f"{name!r} is no metric: {_FORMS}, or one of {', '.join(allowed)}{hint}")


def _with_argument(name: str, kind: MetricKind, argument: str) -> MetricName:
    if not argument:
        raise MetricNameError(f"{name!r} names nothing behind the colon; {_FORMS}")
    if kind == "sum":
        key = argument.removeprefix("properties.")
        if key == argument or not key:
            raise MetricNameError(f"{name!r}: what is summed is a property, such as sum:properties.price")
    return MetricName(name, kind, argument)
