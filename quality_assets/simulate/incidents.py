"""Faults with a label: which happen in a plan, how strong each is on a day, and their ground-truth table.

What an effect does to the events of a day lives in `telemetry`.
"""

from dataclasses import dataclass, replace
from datetime import date
from math import ceil

import numpy as np

from quality_assets.simulate.catalogue import (
    COUNTRY_CODES,
    EVENT_NAME_FAMILIES,
    PLATFORMS,
    ProductFeature,
    event_name_family,
)
from quality_assets.simulate.plan import (
    INCIDENT_KINDS,
    Incident,
    IncidentKind,
    Metric,
    SimulationPlan,
    SizeUnit,
)
from quality_assets.simulate.profile import ReleaseCalendar
from quality_assets.simulate.streams import Stream, generator

QUARTER_DAYS = 91
_GAP_DAYS = 7
_TRIES_PER_INCIDENT = 6

INCIDENT_COLUMNS = (
    "incident_id",
    "feature",
    "kind",
    "metric",
    "start_date",
    "end_date",
    "size",
    "size_unit",
    "platform",
    "app_version",
    "country",
    "description",
    "event_name",
    "ramp_days",
)


@dataclass(frozen=True)
class Effect:
    """An incident as it acts on one day: codes for names (None = all), `size` already scaled by the ramp."""

    feature: int
    metric: Metric
    size: float
    size_unit: SizeUnit
    platform: int | None
    version: int | None
    country: int | None
    event: int | None


@dataclass(frozen=True)
class _Fault:
    """A drawn fault without feature and id; days count from the plan's start, `end_day` is inclusive."""

    start_day: int
    end_day: int
    metric: Metric
    size: float
    size_unit: SizeUnit = "relative"
    platform: str = ""
    app_version: str = ""
    country: str = ""
    event_name: str = ""
    ramp_days: int = 0


def plan_incidents(
    plan: SimulationPlan, features: tuple[ProductFeature, ...], calendar: ReleaseCalendar
) -> tuple[Incident, ...]:
    """Return the plan's own incidents, checked against the simulated world, or draw them from the seed.

    Drawn incidents that begin within the plan are the same however long the plan is; only the end may be
    unknown. Raises ValueError when an explicit incident names something that does not exist.
    """
    if plan.incidents is None:
        return _draw_incidents(plan, features, calendar)
    for incident in plan.incidents:
        _check_incident(incident, plan, features, calendar)
    return plan.incidents


def calendar_horizon_days(days: int) -> int:
    """How many days of releases must be known to draw the incidents of a plan of `days` days."""
    return ceil(days / QUARTER_DAYS) * QUARTER_DAYS + 60


def effects_on(
    day: int,
    plan: SimulationPlan,
    incidents: tuple[Incident, ...],
    feature_index: dict[str, int],
    calendar: ReleaseCalendar,
) -> list[Effect]:
    """Return the effects that are active on a day index, in the order of the incidents."""
    today = plan.date_of(day)
    return [
        Effect(
            feature=feature_index[incident.feature],
            metric=incident.metric,
            size=incident.size * strength_on(incident, today),
            size_unit=incident.size_unit,
            platform=PLATFORMS.index(incident.platform) if incident.platform else None,
            version=calendar.code_of(incident.app_version) if incident.app_version else None,
            country=COUNTRY_CODES.index(incident.country) if incident.country else None,
            event=_event_code(feature_index[incident.feature], incident.event_name) if incident.event_name else None,
        )
        for incident in incidents
        if strength_on(incident, today) > 0
    ]


def strength_on(incident: Incident, day_date: date) -> float:
    """The share of its full size (0-1) that an incident has on a date; 0 outside its window."""
    if day_date < incident.start_date or (incident.end_date is not None and day_date > incident.end_date):
        return 0.0
    if not incident.ramp_days:
        return 1.0
    return min(1.0, ((day_date - incident.start_date).days + 1) / incident.ramp_days)


def incident_rows(incidents: tuple[Incident, ...]) -> list[tuple[object, ...]]:
    """Rows of incidents.csv in `INCIDENT_COLUMNS` order; an empty end_date means still open."""
    return [
        tuple("" if getattr(incident, column) is None else getattr(incident, column) for column in INCIDENT_COLUMNS)
        for incident in incidents
    ]


def _event_code(feature: int, event_name: str) -> int:
    return EVENT_NAME_FAMILIES[event_name_family(feature)].index(event_name)


def _check_incident(
    incident: Incident, plan: SimulationPlan, features: tuple[ProductFeature, ...], calendar: ReleaseCalendar
) -> None:
    name = f"incident {incident.incident_id!r}"
    feature = next((f for f in features if f.name == incident.feature), None)
    if feature is None:
        raise ValueError(f"{name}: feature {incident.feature!r} is not among the {len(features)} simulated")
    if not plan.start_date <= incident.start_date <= plan.end_date:
        raise ValueError(f"{name}: start_date {incident.start_date} lies outside the plan")
    if incident.end_date is not None and incident.end_date > plan.end_date:
        raise ValueError(f"{name}: end_date {incident.end_date} lies after the plan's end; None means still open")
    released = [r.app_version for r in calendar.releases if r.day < plan.days]
    for field, value, allowed in (
        ("platform", incident.platform, PLATFORMS),
        ("app_version", incident.app_version, released),
        ("country", incident.country, COUNTRY_CODES),
        ("event_name", incident.event_name, EVENT_NAME_FAMILIES[event_name_family(feature.index)]),
    ):
        if value and value not in allowed:
            raise ValueError(f"{name}: unknown {field} {value!r}; one of {', '.join(allowed)}")


def _draw_incidents(
    plan: SimulationPlan, features: tuple[ProductFeature, ...], calendar: ReleaseCalendar
) -> tuple[Incident, ...]:
    busy: dict[int, list[tuple[int, int]]] = {}
    drawn: list[tuple[int, int, IncidentKind, _Fault]] = []
    for quarter in range(ceil(plan.days / QUARTER_DAYS)):
        rng = generator(plan.seed, Stream.INCIDENTS, quarter)
        count = int(len(features) * plan.incidents_per_feature_quarter + rng.random())
        first_day = max(quarter * QUARTER_DAYS, plan.healthy_days_at_start)
        if first_day >= (quarter + 1) * QUARTER_DAYS:
            continue
        # A shuffled cycle, not independent draws: every kind appears once there are enough incidents.
        kinds = [INCIDENT_KINDS[k] for k in rng.permutation(len(INCIDENT_KINDS))]
        for number in range(count):
            kind = kinds[number % len(kinds)]
            for _ in range(_TRIES_PER_INCIDENT):
                feature = int(rng.integers(len(features)))
                start_day = int(rng.integers(first_day, (quarter + 1) * QUARTER_DAYS))
                fault = _draw_fault(kind, start_day, feature, calendar, rng)
                if _is_free(busy.get(feature, []), fault):
                    busy.setdefault(feature, []).append((fault.start_day, fault.end_day))
                    drawn.append((fault.start_day, feature, kind, fault))
                    break
    drawn += _draw_lasting(plan, features, busy, calendar)
    begun = sorted((d for d in drawn if d[0] < plan.days), key=lambda d: d[:2])
    return tuple(
        _to_incident(f"INC-{number:04d}", features[feature], kind, fault, plan)
        for number, (_, feature, kind, fault) in enumerate(begun, start=1)
    )


def _draw_lasting(
    plan: SimulationPlan,
    features: tuple[ProductFeature, ...],
    busy: dict[int, list[tuple[int, int]]],
    calendar: ReleaseCalendar,
) -> list[tuple[int, int, IncidentKind, _Fault]]:
    """Faults that begin before the middle of the plan and go on beyond its end, each on a feature that is free then."""
    rng, out = generator(plan.seed, Stream.LASTING), []
    kinds: tuple[IncidentKind, ...] = ("latency_creep", "crash_spike", "feedback_drop", "volume_loss", "error_burst")
    first, last = plan.healthy_days_at_start, max(plan.days // 2, plan.healthy_days_at_start + 1)
    for number in range(plan.lasting_faults):
        kind = kinds[number % len(kinds)]
        for _ in range(_TRIES_PER_INCIDENT):
            feature, start_day = int(rng.integers(len(features))), int(rng.integers(first, last))
            drawn = _draw_fault(kind, start_day, feature, calendar, rng)
            # A version is left by its users long before.
            fault = replace(drawn, end_day=plan.days + QUARTER_DAYS, app_version="")
            if _is_free(busy.get(feature, []), fault):
                busy.setdefault(feature, []).append((fault.start_day, fault.end_day))
                out.append((start_day, feature, kind, fault))
                break
    return out


def _is_free(windows: list[tuple[int, int]], fault: _Fault) -> bool:
    return all(fault.start_day > end + _GAP_DAYS or fault.end_day < start - _GAP_DAYS for start, end in windows)


def _to_incident(
    incident_id: str, feature: ProductFeature, kind: IncidentKind, fault: _Fault, plan: SimulationPlan
) -> Incident:
    incident = Incident(
        incident_id=incident_id,
        feature=feature.name,
        kind=kind,
        metric=fault.metric,
        start_date=plan.date_of(fault.start_day),
        end_date=plan.date_of(fault.end_day) if fault.end_day < plan.days else None,
        size=round(fault.size, 4),
        size_unit=fault.size_unit,
        platform=fault.platform,
        app_version=fault.app_version,
        country=fault.country,
        event_name=fault.event_name,
        ramp_days=fault.ramp_days,
    )
    return replace(incident, description=_describe(incident))


def _describe(incident: Incident) -> str:
    change = f"{incident.size:+.0%}" if incident.size_unit == "relative" else f"{incident.size:+.3g} (absolute)"
    slices = [incident.platform, incident.app_version, incident.country, incident.event_name]
    where = ", ".join(value for value in slices if value) or "all traffic"
    ramp = f", growing over {incident.ramp_days} days" if incident.ramp_days else ""
    return f"{incident.kind.replace('_', ' ')}: {incident.metric} {change} on {where}{ramp}"


def _draw_fault(
    kind: IncidentKind, start_day: int, feature: int, calendar: ReleaseCalendar, rng: np.random.Generator
) -> _Fault:
    draw = {
        "latency_creep": _latency_creep,
        "release_regression": _release_regression,
        "crash_spike": _crash_spike,
        "feedback_drop": _feedback_drop,
        "volume_loss": _volume_loss,
        "dead_event": _dead_event,
        "error_burst": _error_burst,
    }[kind]
    return draw(start_day, feature, calendar, rng)


def _lasting(start_day: int, rng: np.random.Generator, shortest_days: int, longest_days: int) -> int:
    return start_day + int(rng.integers(shortest_days, longest_days + 1)) - 1


def _latency_creep(start_day: int, feature: int, calendar: ReleaseCalendar, rng: np.random.Generator) -> _Fault:
    ramp_days = int(rng.integers(10, 21))
    end_day = start_day + ramp_days - 1 + int(rng.integers(3, 11))
    return _Fault(start_day, end_day, "latency_p95_ms", float(rng.uniform(0.3, 1.0)), ramp_days=ramp_days)


def _release_regression(start_day: int, feature: int, calendar: ReleaseCalendar, rng: np.random.Generator) -> _Fault:
    platform = int(rng.integers(2))
    release = next(r for r in calendar.of_platform(platform) if r.day >= start_day)
    hits_latency = rng.random() < 0.6
    return _Fault(
        release.day,
        _lasting(release.day, rng, 8, 18),
        "latency_p95_ms" if hits_latency else "crash_rate",
        float(rng.uniform(0.4, 1.2) if hits_latency else rng.uniform(3, 9)),
        platform=PLATFORMS[platform],
        app_version=release.app_version,
    )


def _crash_spike(start_day: int, feature: int, calendar: ReleaseCalendar, rng: np.random.Generator) -> _Fault:
    platform = int(rng.choice(3, p=(0.4, 0.4, 0.2)))
    hits_one_version = rng.random() < 0.4
    current = [r for r in calendar.of_platform(platform) if r.day <= start_day - 3][-1]
    return _Fault(
        start_day,
        _lasting(start_day, rng, 2, 8),
        "crash_rate",
        float(rng.uniform(3, 10)),
        platform=PLATFORMS[platform],
        app_version=current.app_version if hits_one_version else "",
    )


def _feedback_drop(start_day: int, feature: int, calendar: ReleaseCalendar, rng: np.random.Generator) -> _Fault:
    end_day = _lasting(start_day, rng, 7, 21)
    return _Fault(start_day, end_day, "feedback_mean", -float(rng.uniform(0.4, 1.2)), "absolute")


def _volume_loss(start_day: int, feature: int, calendar: ReleaseCalendar, rng: np.random.Generator) -> _Fault:
    hits_one_country = rng.random() < 0.3
    return _Fault(
        start_day,
        _lasting(start_day, rng, 2, 7),
        "events",
        -float(rng.uniform(0.3, 0.8)),
        country=COUNTRY_CODES[int(rng.integers(5))] if hits_one_country else "",
    )


def _dead_event(start_day: int, feature: int, calendar: ReleaseCalendar, rng: np.random.Generator) -> _Fault:
    end_day = _lasting(start_day, rng, 2, 9)
    one_event = rng.random() < 0.6
    names = EVENT_NAME_FAMILIES[event_name_family(feature)]
    return _Fault(start_day, end_day, "events", -1.0, event_name=names[int(rng.integers(3))] if one_event else "")


def _error_burst(start_day: int, feature: int, calendar: ReleaseCalendar, rng: np.random.Generator) -> _Fault:
    return _Fault(start_day, _lasting(start_day, rng, 1, 3), "error_rate", float(rng.uniform(0.06, 0.3)), "absolute")
