"""What each product feature and each release is like when healthy: drawn once from the seed.

Per-feature rates, latencies, seasons; the release calendar; the metadata and SLOs derived from them. What
happens on a day lives in `telemetry`, faults in `incidents`.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.simulate.catalogue import MAX_FEATURES, PLATFORMS, ProductFeature
from quality_assets.simulate.streams import Stream, generator

SESSION_LATENCY_SIGMA = 0.2
RELEASE_HISTORY_DAYS = 120
_RELEASE_INTERVAL_DAYS = ((12, 18), (12, 18), (6, 9))
_MAJOR_VERSIONS = (7, 6, 5)


@dataclass(frozen=True)
class FeatureProfiles:
    """Healthy behaviour, one entry per product feature (`weekday_factor`: one row each, Monday first).

    usage_share sums to 1; trend_per_day is a relative drift of use; latency is log-normal with the given
    median and sigma of the logarithm, and `tail_share` of it is stretched by a Pareto tail; rates are shares
    of events.
    """

    usage_share: Floats
    weekday_factor: Floats
    trend_per_day: Floats
    latency_median_ms: Floats
    latency_sigma: Floats
    tail_share: Floats
    crash_rate: Floats
    error_rate: Floats
    feedback_mean: Floats
    feedback_share: Floats
    day_noise: Floats

    def latency_p95_ms(self) -> Floats:
        """The healthy 95th percentile of latency: the log-normal formula with an allowance for the tail."""
        spread = np.sqrt(self.latency_sigma**2 + SESSION_LATENCY_SIGMA**2)
        return np.asarray(self.latency_median_ms * np.exp(1.645 * spread) * 1.08)


def feature_profiles(seed: int, features: int, extra: int = 0) -> FeatureProfiles:
    """Draw the rates and habits of the first `features` product features, and of `extra` that nobody uses by chance.

    Apart from its share of use, a feature's profile does not depend on how many there are.
    """
    rng = generator(seed, Stream.PROFILE)
    n = MAX_FEATURES
    usage = 1 / (np.arange(n) + 2.7) ** 0.95 * rng.lognormal(0, 0.15, n)
    weekend = np.array([0.55, 1.6, 0.97])[rng.choice(3, n, p=(0.3, 0.25, 0.45))]
    weekday_factor = np.ones((n, 7)) * rng.uniform(0.97, 1.03, (n, 7))
    weekday_factor[:, 5:] *= (weekend * rng.uniform(0.9, 1.1, n))[:, None]
    weekday_factor /= weekday_factor.mean(axis=1, keepdims=True)
    drawn = {
        "weekday_factor": weekday_factor,
        "trend_per_day": rng.normal(0, 0.0006, n),
        "latency_median_ms": rng.lognormal(np.log(240), 0.55, n),
        "latency_sigma": rng.uniform(0.4, 0.65, n),
        "tail_share": rng.uniform(0.005, 0.02, n),
        "crash_rate": rng.lognormal(np.log(0.004), 0.5, n),
        "error_rate": rng.lognormal(np.log(0.015), 0.5, n),
        "feedback_mean": rng.uniform(3.7, 4.6, n),
        "feedback_share": rng.uniform(0.02, 0.05, n),
        "day_noise": rng.uniform(0.02, 0.05, n),
    }
    share = np.concatenate([usage[:features] / usage[:features].sum(), np.zeros(extra)])
    chosen = np.concatenate([np.arange(features), MAX_FEATURES - 1 - np.arange(extra)])
    return FeatureProfiles(usage_share=share, **{name: values[chosen] for name, values in drawn.items()})


@dataclass(frozen=True)
class Release:
    """One app version on one platform; `day` counts from the plan's start and is negative before it."""

    platform: int
    app_version: str
    day: int


@dataclass(frozen=True)
class ReleaseCalendar:
    """All releases, ordered by platform and day; a release's code is its position here.

    days_by_platform[p] holds the release days of platform p, whose first release has code first_code[p].
    crash_factor and latency_factor (per code) are the small, harmless differences between versions.
    """

    releases: tuple[Release, ...]
    days_by_platform: tuple[Ints, ...]
    first_code: tuple[int, ...]
    crash_factor: Floats
    latency_factor: Floats

    def of_platform(self, platform: int) -> tuple[Release, ...]:
        """The releases of a platform, oldest first."""
        first = self.first_code[platform]
        return self.releases[first : first + len(self.days_by_platform[platform])]

    def code_of(self, app_version: str) -> int | None:
        """The code of a version, or None when there is no such version."""
        return next((code for code, release in enumerate(self.releases) if release.app_version == app_version), None)


def release_calendar(seed: int, days: int) -> ReleaseCalendar:
    """Draw the releases from `RELEASE_HISTORY_DAYS` before the start up to day `days`.

    A longer calendar begins with the same releases.
    """
    releases: list[Release] = []
    days_by_platform: list[Ints] = []
    first_code: list[int] = []
    factors: list[tuple[float, float]] = []
    for platform, (shortest, longest) in enumerate(_RELEASE_INTERVAL_DAYS):
        rng = generator(seed, Stream.RELEASES, platform)
        first_code.append(len(releases))
        day, number, own_days = -RELEASE_HISTORY_DAYS, 0, []
        while day < days:
            own_days.append(day)
            releases.append(Release(platform, f"{_MAJOR_VERSIONS[platform]}.{number}.0", day))
            factors.append((float(rng.lognormal(0, 0.08)), float(rng.lognormal(0, 0.008))))
            day, number = day + int(rng.integers(shortest, longest + 1)), number + 1
        days_by_platform.append(np.array(own_days, dtype=np.int64))
    crash_factor, latency_factor = np.array(factors).T
    return ReleaseCalendar(tuple(releases), tuple(days_by_platform), tuple(first_code), crash_factor, latency_factor)


RELEASE_COLUMNS = ("app_version", "platform", "release_date")


def release_rows(calendar: ReleaseCalendar, start_date: date, days: int) -> list[tuple[str, ...]]:
    """Rows of releases.csv: what has been released by the last simulated day, oldest first."""
    known = sorted((r.day, r.platform, r.app_version) for r in calendar.releases if r.day < days)
    return [
        (version, PLATFORMS[platform], (start_date + timedelta(days=day)).isoformat())
        for day, platform, version in known
    ]


METADATA_COLUMNS = (
    "feature",
    "display_name",
    "owner",
    "team",
    "lifecycle_stage",
    "tier",
    "launched_on",
    "slo_latency_p95_ms",
    "slo_crash_rate",
    "slo_error_rate",
    "apdex_threshold_ms",
)


def is_described(index: int, features: int) -> bool:
    """Whether a product feature has metadata: a few are used but described nowhere, as happens in life."""
    if features < 18:
        return features < 3 or index != features - 1
    return index % 19 != 17


def metadata_rows(
    features: tuple[ProductFeature, ...], profiles: FeatureProfiles, start_date: date
) -> list[tuple[object, ...]]:
    """Rows of feature_metadata.csv; the SLOs leave a healthy feature some room."""
    p95_ms = profiles.latency_p95_ms()
    return [
        (
            feature.name,
            feature.name[0].upper() + feature.name[1:],
            feature.owner,
            feature.team,
            _lifecycle_stage(feature.index),
            1 if feature.index < 6 else 2 if feature.index < 24 else 3,
            (start_date - timedelta(days=200 + feature.index * 37 % 1500)).isoformat(),
            int(np.ceil(p95_ms[feature.index] * 1.35 / 10) * 10),
            round(float(profiles.crash_rate[feature.index]) * 2 + 0.001, 4),
            round(float(profiles.error_rate[feature.index]) * 2 + 0.002, 4),
            int(np.ceil(profiles.latency_median_ms[feature.index] * 1.6 / 10) * 10),
        )
        for feature in features
        if is_described(feature.index, len(features))
    ]


def _lifecycle_stage(index: int) -> str:
    if index < 6:
        return "ga"
    return {3: "beta", 7: "experimental", 11: "deprecated"}.get(index % 13, "ga")
