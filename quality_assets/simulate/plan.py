"""What to simulate: the plan, an incident, and what came out of a run. Values and their validation only.

How incidents are drawn lives in `incidents`, what they do to events in `telemetry`.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

from quality_assets.simulate.catalogue import MAX_FEATURES
from quality_assets.simulate.change_plan import Change
from quality_assets.simulate.people_plan import PeoplePlan

FileFormat = Literal["csv", "jsonl", "parquet"]
IncidentKind = Literal[
    "latency_creep",
    "release_regression",
    "crash_spike",
    "feedback_drop",
    "volume_loss",
    "dead_event",
    "error_burst",
]
Metric = Literal["latency_p95_ms", "crash_rate", "error_rate", "feedback_mean", "events"]
SizeUnit = Literal["relative", "absolute"]

FILE_FORMATS: tuple[str, ...] = get_args(FileFormat)
INCIDENT_KINDS: tuple[IncidentKind, ...] = get_args(IncidentKind)
METRICS: tuple[str, ...] = get_args(Metric)
SIZE_UNITS: tuple[str, ...] = get_args(SizeUnit)
MAX_EVENTS_PER_DAY = 20_000_000


@dataclass(frozen=True)
class Incident:
    """One fault with a beginning and an end, as injected: the ground truth.

    `size` is the change at full strength inside the slice that is hit. In unit `relative` it is a fraction of
    the healthy value (0.4 = 40 % more, -0.6 = 60 % fewer, 3.0 = four times); in unit `absolute` it is in the
    metric's own unit (ms, share of events, points of score). `end_date` is inclusive; None = still open at
    the end. `ramp_days` > 0 lets the effect grow in equal steps and reach `size` on day `ramp_days` of the
    incident. An empty slice field (`platform`, `app_version`, `country`, `event_name`) means all.

    Raises ValueError for values that make no sense together.
    """

    incident_id: str
    feature: str
    kind: IncidentKind
    metric: Metric
    start_date: date
    end_date: date | None
    size: float
    size_unit: SizeUnit = "relative"
    platform: str = ""
    app_version: str = ""
    country: str = ""
    event_name: str = ""
    ramp_days: int = 0
    description: str = ""

    def __post_init__(self) -> None:
        name = f"incident {self.incident_id!r}"
        _require(self.kind in INCIDENT_KINDS, f"{name}: unknown kind {self.kind!r}")
        _require(self.metric in METRICS, f"{name}: unknown metric {self.metric!r}")
        _require(self.size_unit in SIZE_UNITS, f"{name}: unknown size_unit {self.size_unit!r}")
        _require(isfinite(self.size), f"{name}: size must be finite, not {self.size}")
        _require(self.ramp_days >= 0, f"{name}: ramp_days must not be negative")
        _require(
            self.end_date is None or self.end_date >= self.start_date,
            f"{name}: end_date lies before start_date",
        )
        _require(
            self.size_unit == "absolute" or self.size >= -1,
            f"{name}: a relative size below -1 would make {self.metric} negative",
        )
        if self.metric == "events":
            _require(
                self.size_unit == "relative" and self.size <= 0,
                f"{name}: events can only be lost (relative size between -1 and 0)",
            )
        if self.metric == "feedback_mean":
            _require(
                self.size_unit == "absolute" and self.size <= 0,
                f"{name}: feedback can only fall, by an absolute number of points (size <= 0)",
            )


@dataclass(frozen=True)
class SimulationPlan:
    """Everything that decides what is simulated: the same plan gives the same bytes.

    - days: number of days, one file each.
    - features: number of product features, used with Zipf-like frequency in catalogue order.
    - events_per_day: mean events a day (over a week) at the start, before growth, incidents and dirt.
    - seed: any non-negative integer.
    - start_date: first day, UTC.
    - dirt_share: dirty rows as a share of the rows of a file, 0 to 0.5.
    - late_share: share of events that arrive one or two days late, 0 to 0.5.
    - growth_per_day: relative growth of the volume a day (0.0007 = about 29 % a year).
    - noise: factor on all day-to-day noise; 1 = a few percent, 0 = none beyond sampling.
    - incidents: exactly these incidents (an empty tuple = none); None = draw them from the seed.
    - incidents_per_feature_quarter: mean number of drawn incidents per feature and 91 days.
    - healthy_days_at_start: days before the first drawn incident, so that a baseline exists.
    - people: with it, users are people with lives, who take up features, do a quiz and take part in experiments; how
      many come decides how much happens, events_per_day being about what it comes to. None = sessions of the day's
      users at random, without variants.
    - lasting_faults: faults drawn beside these that begin in the middle and go on to the end, for months.
    - changes: exactly these changes that are no faults; renames, mixes: how many more are drawn, of names (renamed,
      split, removed) and of who is measured.

    Raises ValueError for a value out of range.
    """

    days: int
    features: int
    events_per_day: int
    seed: int
    start_date: date = date(2026, 1, 1)
    dirt_share: float = 0.015
    late_share: float = 0.005
    growth_per_day: float = 0.0007
    noise: float = 1.0
    incidents: tuple[Incident, ...] | None = None
    incidents_per_feature_quarter: float = 1.0
    healthy_days_at_start: int = 14
    people: PeoplePlan | None = None
    lasting_faults: int = 0
    changes: tuple[Change, ...] = ()
    renames: int = 0
    mixes: int = 0

    def __post_init__(self) -> None:
        _require(1 <= self.days <= 3660, f"days must be 1 to 3660, not {self.days}")
        _require(1 <= self.features <= MAX_FEATURES, f"features must be 1 to {MAX_FEATURES}, not {self.features}")
        _require(self.events_per_day >= 1, f"events_per_day must be at least 1, not {self.events_per_day}")
        _require(self.seed >= 0, f"seed must not be negative, not {self.seed}")
        _require(0 <= self.dirt_share <= 0.5, f"dirt_share must be 0 to 0.5, not {self.dirt_share}")
        _require(0 <= self.late_share <= 0.5, f"late_share must be 0 to 0.5, not {self.late_share}")
        _require(
            -0.05 <= self.growth_per_day <= 0.05,
            f"growth_per_day must be -0.05 to 0.05, not {self.growth_per_day}",
        )
        peak = self.events_per_day * max(1.0, (1 + self.growth_per_day) ** self.days)
        _require(
            peak <= MAX_EVENTS_PER_DAY,
            f"events_per_day would reach {peak:.3g} with growth; at most {MAX_EVENTS_PER_DAY} are supported",
        )
        _require(0 <= self.noise <= 10, f"noise must be 0 to 10, not {self.noise}")
        _require(
            0 <= self.incidents_per_feature_quarter <= 5,
            f"incidents_per_feature_quarter must be 0 to 5, not {self.incidents_per_feature_quarter}",
        )
        for name in ("lasting_faults", "renames", "mixes"):
            _require(getattr(self, name) >= 0, f"{name} must not be negative")
        _require(self.healthy_days_at_start >= 0, "healthy_days_at_start must not be negative")
        _require(
            self.start_date.toordinal() + self.days <= date(2098, 1, 1).toordinal(),
            "the last day must lie before 2098: later times are used as dirt",
        )
        _require(self.start_date >= date(1980, 1, 1), "start_date must not lie before 1980")

    @property
    def end_date(self) -> date:
        """The last simulated day."""
        return self.date_of(self.days - 1)

    def date_of(self, day: int) -> date:
        """The date of a day index (0 = start_date)."""
        return self.start_date + timedelta(days=day)


@dataclass(frozen=True)
class SimulationResult:
    """What a run wrote: `rows` counts data rows in the log files, dirty ones and extra copies included."""

    out: Path
    log_files: tuple[Path, ...]
    rows: int
    dirty_rows: int
    bytes_written: int
    incidents: tuple[Incident, ...]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
