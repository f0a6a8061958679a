"""One state per feature, day and metric: the detector runs once over everything that is watched.

Incidents, labels and model inputs are made from what `watch` gives, or from what `state_rows` stored of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.contracts.metrics import METRIC_GROUPS, METRICS_BY_NAME, TREND_METRICS
from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.carrying import Carried
from quality_assets.domain.series.detection import Detections, detect_on
from quality_assets.domain.series.objectives import Held, ObjectiveStates, judge_objective
from quality_assets.domain.series.panel import (
    MONITORED_METRICS,
    Grid,
    Panel,
    build_grid,
    columns_behind,
    has_metric,
    panel_of,
)
from quality_assets.domain.series.settings import (
    DEFAULT_OBJECTIVES,
    DEFAULT_SETTINGS,
    DetectionSettings,
    ObjectiveSettings,
)

# What states read of product.fact_feature_metrics, beside its key.
STATE_FACTS = columns_behind(TREND_METRICS)
PARTS = ("event_name", "platform")
_OBJECTIVES = {
    "crash_rate": "slo_crash_rate",
    "error_rate": "slo_error_rate",
    "latency_p95_ms": "slo_latency_p95_ms",
    "feedback_mean": "slo_feedback_mean",
}
ALL_METRICS = "all"
GONE_DAYS = 14
# Eleven times what was expected, or more: beyond that a ratio says nothing, least of all to an expected 0.
MOST_CHANGE = 10.0


@dataclass(frozen=True)
class Watched:
    """A metric of all features, or of all events or platforms of them: where they have rows, and what was found.

    part: empty, event_name or platform. is_counted: S, whether it makes incidents and labels. objective: of whole
    features only, None where the metric has none. known: S × D, whether anything can be told; None = by the panel.
    """

    grid: Grid
    found: Detections
    is_counted: Bools
    objective: ObjectiveStates | None = None
    known: Bools | None = None

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.found.panel.metric

    @property
    def part(self) -> str:
        """What of a feature each series is of; empty where it is the whole."""
        return "" if isinstance(self.grid.key, str) else self.grid.key[1]

    @property
    def features(self) -> list[str]:
        """S: the feature of each series."""
        return [str(key if self.part == "" else key[0]) for key in self.grid.keys]

    @property
    def is_bad(self) -> Bools:
        """S × D: worse than its own past, or beyond its objective; whether or not it counts."""
        bad = self.found.is_bad if self.found.is_bad is not None else self.found.is_active
        return np.asarray(bad | self.is_breached)

    @property
    def is_known(self) -> Bools:
        """S × D: whether anything can be told."""
        return np.asarray(words_of(self)[0] != "unknown") if self.known is None else self.known

    @property
    def is_breached(self) -> Bools:
        """S × D: beyond its objective, on days of which anything is known."""
        known = np.isfinite(self.found.panel.value)
        return np.zeros(known.shape, bool) if self.objective is None else self.objective.is_breach & known


@dataclass(frozen=True)
class Described:
    """What feature_metadata.csv says that states go by: objectives, tiers, and what does not count; all may be absent.

    uncounted: feature to names of metrics. probes: features whose rhythm is that of a probe.
    """

    objectives: pd.DataFrame | None = None
    uncounted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    probes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, descriptions: pd.DataFrame | None, probes: Iterable[str] = ()) -> Described:
        """From rows of raw.feature_descriptions."""
        if descriptions is None or not len(descriptions):
            return cls(probes=frozenset(probes))
        named = descriptions.get("uncounted_metrics")
        pairs = zip(descriptions["feature"], named if named is not None else [None] * len(descriptions), strict=True)
        uncounted = {str(feature): frozenset(names.split()) for feature, names in pairs if isinstance(names, str)}
        return cls(descriptions, uncounted, frozenset(probes))

    def is_counted(self, feature: str, metric: str) -> bool:
        """Whether a metric of a feature makes incidents and labels."""
        off = self.uncounted.get(feature, frozenset())
        is_probed = feature in self.probes and METRIC_GROUPS.get(metric) == "volume"
        return metric in MONITORED_METRICS and not is_probed and not off & {metric, ALL_METRICS}


def watch(
    facts: pd.DataFrame,
    *,
    event_counts: pd.DataFrame | None = None,
    platform_counts: pd.DataFrame | None = None,
    described: Described | None = None,
    known_dates: Iterable[date] | None = None,
    through: date | None = None,
    metrics: Sequence[str] = MONITORED_METRICS,
    settings: DetectionSettings = DEFAULT_SETTINGS,
    objectives: ObjectiveSettings = DEFAULT_OBJECTIVES,
) -> list[Watched]:
    """Run the detector over features, over single events (for silence) and over platforms (for crashes).

    `facts` are rows of product.fact_feature_metrics; `event_counts` has event_date, feature, event_name, events;
    `platform_counts` event_date, feature, platform, events, crashes. Each state is made from its own day and earlier.
    """
    described = described or Described()
    grid = build_grid(facts, columns_behind(metrics), known_dates=known_dates, through=through)
    known = grid.dates[~grid.is_gap].tolist() if known_dates is None else known_dates
    asked = whole_panels(grid, described, metrics, settings, objectives)
    for part, rows in _parts(event_counts, platform_counts).items():
        columns = columns_behind([PART_METRICS[part]])
        parts = build_grid(rows, columns, key=("feature", part), known_dates=known, through=through)
        asked.append(part_panel(parts, described, settings, objectives))
    return [watched_on(each)[0] for each in asked]


@dataclass(frozen=True)
class Asked:
    """A panel that the detector is to go over: its grid, its rules, what of it counts, and what it is promised."""

    grid: Grid
    panel: Panel
    rules: DetectionSettings
    is_counted: Bools
    described: Described
    objectives: ObjectiveSettings

    @property
    def name(self) -> str:
        """Which of all it is: the metric, and what of a feature each series is of."""
        return self.panel.metric if isinstance(self.panel.key, str) else f"{self.panel.metric} by {self.panel.key[1]}"


def whole_panels(
    grid: Grid,
    described: Described,
    metrics: Sequence[str] = MONITORED_METRICS,
    settings: DetectionSettings = DEFAULT_SETTINGS,
    objectives: ObjectiveSettings = DEFAULT_OBJECTIVES,
) -> list[Asked]:
    """The panels of a grid of features."""
    return [
        Asked(grid, panel_of(grid, name), settings, _counted(grid.keys, name, described), described, objectives)
        for name in metrics
        if has_metric(grid, name)
    ]


def part_panel(
    grid: Grid,
    described: Described,
    settings: DetectionSettings = DEFAULT_SETTINGS,
    objectives: ObjectiveSettings = DEFAULT_OBJECTIVES,
) -> Asked:
    """The panel of a grid of events of features, for silence, or of platforms of them, for crashes."""
    part = grid.key[1]
    rules = settings.of_silence if part == "event_name" else settings
    metric = PART_METRICS[part]
    counted = _counted([key[0] for key in grid.keys], metric, described)
    return Asked(grid, panel_of(grid, metric), rules, counted, described, objectives)


PART_METRICS = {"event_name": "events", "platform": "crash_rate"}


def _counted(features: Iterable[object], metric: str, described: Described) -> Bools:
    return np.array([described.is_counted(str(feature), metric) for feature in features], bool)


def watched_on(
    asked: Asked, start: Carried | None = None, keep: Collection[date] = ()
) -> tuple[Watched, dict[date, Carried]]:
    """The detector's word on a panel, from the day after `start` on; and what it carries at the end of days."""
    found, kept = detect_on(asked.panel, asked.rules, start, keep)
    objective = None
    if isinstance(asked.grid.key, str):
        before = None if start is None else _held(asked.grid, start)
        objective = _objective(asked.grid, asked.panel.metric, asked.described, asked.objectives, before)
    if objective is not None:
        kept = {day: _with_breaches(each, asked.grid, objective) for day, each in kept.items()}
    return Watched(asked.grid, found, asked.is_counted, objective), kept


def _with_breaches(carried: Carried, grid: Grid, objective: ObjectiveStates) -> Carried:
    day = int((carried.day - grid.dates[0]).astype(np.int64))
    since = objective.begin[:, day] + grid.dates[0].astype("datetime64[D]").astype(np.int64)
    return replace(
        carried, values={**carried.values, "breach.active": objective.is_breach[:, day], "breach.since": since}
    )


def _held(grid: Grid, start: Carried) -> Held | None:
    if "breach.active" not in start.values:
        return None
    first = grid.dates[0].astype("datetime64[D]")
    since = start.values["breach.since"] - first.astype(np.int64)
    return Held(int((start.day - first).astype(np.int64)), start.values["breach.active"], since)


def _parts(event_counts: pd.DataFrame | None, platform_counts: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    out = {}
    if event_counts is not None and len(event_counts):
        out["event_name"] = event_counts
    if platform_counts is not None and len(platform_counts):
        own = platform_counts[_has_two_platforms(platform_counts)]
        if len(own):
            out["platform"] = own.assign(crash_rate=own["crashes"] / own["events"])
    return out


def _has_two_platforms(counts: pd.DataFrame) -> pd.Series:
    """Rows of the days from which on a feature is known to have more than one platform.

    Of a single one the whole says it all. A second one that comes later must not change what is said of the days
    before: series of a panel share what is usual of them all.
    """
    first_seen = counts.groupby(["feature", "platform"])["event_date"].min().sort_values()
    second = first_seen.groupby(level="feature").nth(1).droplevel("platform").to_dict()
    since = pd.to_datetime(counts["feature"].map(second))
    return pd.to_datetime(counts["event_date"]) >= since


def _objective(
    grid: Grid, metric: str, described: Described, settings: ObjectiveSettings, before: Held | None
) -> ObjectiveStates | None:
    if metric not in _OBJECTIVES:
        return None
    limit, is_default = _limits(grid, metric, described.objectives, settings)
    if not np.isfinite(limit).any():
        return None
    info = METRICS_BY_NAME[metric]
    if info.unit == "fraction":
        bad, total = grid.column(str(info.numerator)), grid.column(str(info.denominator))
        return judge_objective(bad, total, limit, limit, is_default, settings, before)
    value = grid.column(metric)
    beyond = value < limit[:, None] if info.bad_direction == "down" else value > limit[:, None]
    known = np.isfinite(value) & np.isfinite(limit)[:, None]
    allowed = np.where(np.isfinite(limit), settings.allowed_days, np.nan)
    missed = np.where(known, beyond, np.nan)
    return judge_objective(missed, known.astype(float), allowed, limit, is_default, settings, before)


def _limits(
    grid: Grid, metric: str, descriptions: pd.DataFrame | None, settings: ObjectiveSettings
) -> tuple[Floats, Bools]:
    """The objective of each feature, the stricter where two are given, and whether it is the default of its tier."""
    given, tier = np.full(len(grid.keys), np.nan), np.full(len(grid.keys), np.nan)
    if descriptions is not None and len(descriptions):
        own = descriptions.drop_duplicates("feature").set_index("feature").reindex(grid.keys)
        given = _numbers(own, _OBJECTIVES[metric])
        tier = _numbers(own, "tier")
        if metric == "crash_rate":
            given = np.fmin(given, np.round(1 - _numbers(own, "slo_availability"), 12))
    by_tier = settings.by_tier.get(metric, (np.nan,) * 3)
    default = np.array(by_tier)[np.where(np.isfinite(tier), tier - 1, 2).astype(int)]
    is_default = ~np.isfinite(given) & np.isfinite(default)
    return np.where(np.isfinite(given), given, default), is_default


def _numbers(frame: pd.DataFrame, column: str) -> Floats:
    if column not in frame.columns:
        return np.full(len(frame), np.nan)
    return pd.to_numeric(frame[column], errors="coerce").to_numpy(float, na_value=np.nan)


def words_of(each: Watched, settings: DetectionSettings = DEFAULT_SETTINGS) -> tuple[np.ndarray, np.ndarray]:
    """State and reason of every cell, as texts; the reason is empty where the state is known."""
    found, grid = each.found, each.grid
    bad = found.is_bad if found.is_bad is not None else found.is_active
    reason = _reasons(each, settings)
    state = np.select(
        [bad, each.is_breached, reason != "", found.is_active],
        ["worse", "breached", "unknown", "recovering"],
        "ok",
    ).astype(object)
    reason[state != "unknown"] = ""
    state[~grid.is_seen] = "unknown"
    return state, reason


def _reasons(each: Watched, settings: DetectionSettings) -> np.ndarray:
    found, grid, panel = each.found, each.grid, each.found.panel
    shape, known = panel.value.shape, np.isfinite(panel.value)
    gone = np.zeros(shape, bool)
    few = np.zeros(shape, bool)
    if panel.family == "count":
        silent = run_length((panel.value == 0) | ~known)
        gone = (silent >= GONE_DAYS) & ~found.is_active & (np.nan_to_num(found.expected) < 0.5)
    if panel.family in ("count", "rate") and found.days_pooled is not None and settings.rare is not None:
        few = (found.days_pooled > settings.rare.longest_days) & ~found.is_active
    least = settings.least_sample(panel.metric, panel.family)
    with np.errstate(invalid="ignore"):
        is_thin = known & (panel.sample < least)
    has_events = grid.column("events") > 0 if "events" in grid.values else known
    return np.select(
        [
            np.broadcast_to(grid.is_gap[None, :], shape),
            gone,
            ~known & ~has_events,
            ~known,
            is_thin,
            ~np.isfinite(found.z),
            few,
        ],
        [
            "no_data_that_day",
            "gone",
            "no_events",
            "no_values",
            "too_few_values",
            "too_little_history",
            "too_few_events",
        ],
        "",
    ).astype(object)


def run_length(mask: Bools) -> Ints:
    """S × D: how many days in a row, up to and including each, the mask holds."""
    index = np.arange(mask.shape[1])[None, :]
    last_false = np.maximum.accumulate(np.where(mask, -1, index), axis=1) if mask.size else np.zeros(mask.shape, int)
    return np.asarray(np.where(mask, index - last_false, 0), dtype=np.int64)
