"""The events of one day as arrays: sessions, what happens in them, and how well it goes.

`simulate_day` makes the clean events that HAPPEN on a day; when they arrive, what spoils them and how they
are written live in `dirt` and `writer`. Draws do not depend on incidents: with and without an incident, the
untouched events are the same, id by id, so that an effect can be measured by comparison.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.simulate import catalogue, changes, incidents, profile
from quality_assets.simulate.incidents import Effect
from quality_assets.simulate.journeys import Extras, build_extras, draw_extra_events, spoil_outcomes, stamp_arms
from quality_assets.simulate.people import People, PeopleDay
from quality_assets.simulate.plan import SimulationPlan
from quality_assets.simulate.population import Population, Users
from quality_assets.simulate.streams import Ids, Stream, generator, unique_ids
from quality_assets.simulate.world import CRASH, DAY_MS, ERROR, NO_USER, OK, EventBatch, World

_EVENTS_PER_SESSION = 6.0
# With what people take up, the quiz, and first days on which everybody comes.
_EVENTS_PER_PERSON_SESSION = 12.0
_GAP_S = 25.0
_HOME_FEATURE_SHARE = 0.45
_ANONYMOUS_SHARE = 0.02
_PROPERTIES_SHARE = 0.04
_MISSING_LATENCY_SHARE = 0.004
_LONGEST_LATENCY_MS = 120_000.0
_EVENT_ID, _SESSION_ID = 1, 2


def build_world(plan: SimulationPlan) -> World:
    """Draw what stays the same over the plan. Raises ValueError for incidents that cannot happen in it."""
    features = catalogue.product_features(plan.features)
    calendar = profile.release_calendar(plan.seed, incidents.calendar_horizon_days(plan.days))
    people = extras = None
    if plan.people is not None:
        sessions_per_day = plan.events_per_day / _EVENTS_PER_PERSON_SESSION
        people = People(plan.seed, plan.days, plan.start_date.weekday(), sessions_per_day, plan.people)
        extras = build_extras(people, plan.features, len(catalogue.PROPERTIES))
    return World(
        plan=plan,
        features=features if extras is None else (*features, *extras.features),
        profiles=profile.feature_profiles(plan.seed, plan.features, len(extras.features) if extras else 0),
        calendar=calendar,
        incidents=incidents.plan_incidents(plan, features, calendar),
        population=Population(plan.seed, plan.events_per_day, plan.growth_per_day),
        people=people,
        extras=extras,
        changes=changes.plan_changes(plan, features),
    )


@dataclass(frozen=True)
class _Sessions:
    """Sessions as parallel arrays; `length` is the number of events, `start_ms` counts from midnight UTC."""

    session_id: Ids
    user: Ints
    person: Ints
    length: Ints
    start_ms: Floats
    latency_factor: Floats
    home_feature_draw: Floats
    device: Ints
    platform: Ints
    version: Ints
    country: Ints


def simulate_day(world: World, day: int) -> EventBatch:
    """Return the clean events that happen on a day index, by session; the same whatever came before.

    People live their days in order: with them, ValueError for a day that is not the next, or the first again.
    """
    plan = world.plan
    feature_volume = expected_events(world, day)
    came = world.people.live(day) if world.people is not None else None
    sessions = _draw_sessions(world, day, float(feature_volume.sum()), came)
    session = np.repeat(np.arange(len(sessions.length)), sessions.length)
    rng = generator(plan.seed, Stream.EVENTS, day)
    count = len(session)
    feature = _draw_feature(feature_volume, sessions.home_feature_draw[session], rng)
    event = np.searchsorted(np.cumsum(catalogue.EVENT_NAME_SHARES)[:-1], rng.random(count))
    ms_of_day = _event_times_ms(sessions, session, rng)
    drawn = _Happening(session, feature, event, ms_of_day, _draw_properties(count, rng), np.zeros(count, np.int64))
    if world.people is not None and world.extras is not None and came is not None:
        drawn = _with_journeys(world, world.people, world.extras, day, came, sessions, drawn)
    session, count = drawn.session, len(drawn.session)
    midnight_ms = (plan.date_of(day).toordinal() - 719_163) * DAY_MS
    batch = EventBatch(
        event_id=unique_ids(plan.seed, _EVENT_ID, day, count),
        event_ms=drawn.ms_of_day + midnight_ms,
        user=sessions.user[session],
        session_id=sessions.session_id[session],
        feature=drawn.feature,
        event=drawn.event,
        latency_ms=np.empty(0),
        status=np.empty(0, np.int64),
        feedback=np.empty(0, np.int64),
        device=sessions.device[session],
        platform=sessions.platform[session],
        version=sessions.version[session],
        country=sessions.country[session],
        properties=drawn.properties,
        variant=drawn.variant,
        is_broken=np.zeros(count, bool),
        arrival_days=_draw_arrival(plan, day, count),
    )
    batch, latency_factor = changes.with_shifted_mix(world, day, batch, sessions.latency_factor[session])
    done = _with_outcomes(world, day, batch, latency_factor)
    return changes.with_new_names(world, day, done) if world.changes else done


@dataclass(frozen=True)
class _Happening:
    """Events as they are drawn, before who and how well: session by position, the others as in `EventBatch`."""

    session: Ints
    feature: Ints
    event: Ints
    ms_of_day: Ints
    properties: Ints
    variant: Ints


def _with_journeys(
    world: World, people: People, extras: Extras, day: int, came: PeopleDay, sessions: _Sessions, drawn: _Happening
) -> _Happening:
    """Add what people do beside ordinary events, and the arms that they see."""
    seed, person, is_known = world.plan.seed, sessions.person, sessions.user != NO_USER
    more = draw_extra_events(people, extras, seed, day, came, person, is_known)
    _, first = np.unique(drawn.session, return_index=True)
    ms_of_day = (drawn.ms_of_day[first][more.session] + more.offset_ms).clip(max=DAY_MS - 1)
    session = np.concatenate([drawn.session, more.session])
    feature = np.concatenate([drawn.feature, more.feature])
    properties = np.concatenate([drawn.properties, more.properties])
    seen_by = np.where(is_known, person, NO_USER)
    variant, properties = stamp_arms(people, extras, seed, day, seen_by, session, feature, properties)
    people.end(came)
    return _Happening(
        session,
        feature,
        np.concatenate([drawn.event, more.event]),
        np.concatenate([drawn.ms_of_day, ms_of_day]),
        properties,
        variant,
    )


def expected_events(world: World, day: int) -> Floats:
    """Expected number of events per product feature on a day, before incidents."""
    plan, profiles = world.plan, world.profiles
    rng = generator(plan.seed, Stream.VOLUME, day)
    common = np.exp(0.02 * plan.noise * rng.standard_normal())
    own = np.exp(profiles.day_noise * plan.noise * rng.standard_normal(len(profiles.day_noise)))
    weekday = plan.date_of(day).weekday()
    trend = (1 + profiles.trend_per_day) ** day * (1 + plan.growth_per_day) ** day
    return np.asarray(
        plan.events_per_day * profiles.usage_share * profiles.weekday_factor[:, weekday] * trend * own * common
    )


def _draw_sessions(world: World, day: int, events: float, came: PeopleDay | None) -> _Sessions:
    rng = generator(world.plan.seed, Stream.SESSIONS, day)
    if came is not None and world.people is not None:
        users = world.people.traits
        index = np.repeat(came.person, came.sessions)
        count = len(index)
    else:
        count = int(rng.poisson(events / _EVENTS_PER_SESSION))
        users, frequency = world.population.active(day)
        cumulative = np.cumsum(frequency)
        index = np.searchsorted(cumulative, rng.random(count) * cumulative[-1])
    who = Users(**{f.name: getattr(users, f.name)[index] for f in fields(Users)})
    is_anonymous = (who.platform == 2) & (rng.random(count) < _ANONYMOUS_SHARE / catalogue.PLATFORM_SHARES[2])
    return _Sessions(
        session_id=unique_ids(world.plan.seed, _SESSION_ID, day, count),
        user=np.where(is_anonymous, NO_USER, who.user),
        person=index,
        length=rng.geometric(1 / _EVENTS_PER_SESSION, count),
        start_ms=_start_times_ms(who.country, rng),
        latency_factor=np.exp(profile.SESSION_LATENCY_SIGMA * rng.standard_normal(count)),
        home_feature_draw=rng.random(count),
        device=who.device,
        platform=who.platform,
        version=_current_version(world.calendar, who, day),
        country=who.country,
    )


def _start_times_ms(country: Ints, rng: np.random.Generator) -> Floats:
    cumulative = np.concatenate([[0.0], np.cumsum(catalogue.HOURLY_USE)]) / sum(catalogue.HOURLY_USE)
    local_hour = np.interp(rng.random(len(country)), cumulative, np.arange(25))
    offset_h = np.array([c.utc_offset_h for c in catalogue.COUNTRIES])[country]
    return np.asarray((local_hour - offset_h) % 24 * 3_600_000)


def _current_version(calendar: profile.ReleaseCalendar, who: Users, day: int) -> Ints:
    """The newest release each user has installed: adoption follows 1 - exp(-t / lag) after each release."""
    version = np.empty(len(who.user), np.int64)
    for platform, release_days in enumerate(calendar.days_by_platform):
        own = np.flatnonzero(who.platform == platform)
        # One day of grace: part of the users update on the day of the release.
        installed = np.searchsorted(release_days, day + 1 - who.update_lag_days[own], side="right") - 1
        newest = np.searchsorted(release_days, day, side="right") - 1
        version[own] = calendar.first_code[platform] + np.clip(installed, 0, newest)
    return version


def _draw_feature(feature_volume: Floats, home_draw: Floats, rng: np.random.Generator) -> Ints:
    """Pick a product feature per event; part of a session's events stay on the one it was opened for."""
    draw = np.where(rng.random(len(home_draw)) < _HOME_FEATURE_SHARE, home_draw, rng.random(len(home_draw)))
    cumulative = np.cumsum(feature_volume)
    feature: Ints = np.searchsorted(cumulative, draw * cumulative[-1], side="right").clip(max=len(cumulative) - 1)
    return feature


def _event_times_ms(sessions: _Sessions, session: Ints, rng: np.random.Generator) -> Ints:
    elapsed = np.cumsum(rng.standard_exponential(len(session))) * (_GAP_S * 1000)
    if not len(session):
        return np.empty(0, np.int64)
    last = np.cumsum(sessions.length) - 1
    first = last - sessions.length + 1
    duration = elapsed[last] - elapsed[first]
    # Sessions do not cross midnight UTC: those that would are moved to end just before it.
    start = np.maximum(0.0, np.minimum(sessions.start_ms, DAY_MS - 1 - duration))
    times = (start - elapsed[first])[session] + elapsed
    ms_of_day: Ints = times.astype(np.int64).clip(0, DAY_MS - 1)
    return ms_of_day


def _draw_properties(count: int, rng: np.random.Generator) -> Ints:
    properties = np.zeros(count, np.int64)
    filled = np.flatnonzero(rng.random(count) < _PROPERTIES_SHARE)
    properties[filled] = rng.integers(1, len(catalogue.PROPERTIES), len(filled))
    return properties


def _draw_arrival(plan: SimulationPlan, day: int, count: int) -> Ints:
    rng = generator(plan.seed, Stream.ARRIVAL, day)
    arrival_days = np.zeros(count, np.int64)
    late = np.flatnonzero(rng.random(count) < plan.late_share)
    arrival_days[late] = 1 + (rng.random(len(late)) < 0.3)
    return arrival_days


@dataclass
class _Outcomes:
    """Working arrays that incidents act on, one entry per event."""

    latency_ms: Floats
    crash_rate: Floats
    error_rate: Floats
    feedback_loss: Floats
    survival: Floats


def _with_outcomes(world: World, day: int, batch: EventBatch, session_latency: Floats) -> EventBatch:
    count = len(batch)
    rng = generator(world.plan.seed, Stream.OUTCOMES, day)
    outcomes = _healthy_outcomes(world, batch, session_latency, rng)
    effects = incidents.effects_on(day, world.plan, world.incidents, world.feature_index, world.calendar)
    _apply_effects(effects, batch, len(world.features), outcomes)
    draw = rng.random(count)
    status = np.where(draw < outcomes.crash_rate, CRASH, OK)
    status[(status == OK) & (draw < outcomes.crash_rate + outcomes.error_rate)] = ERROR
    unmeasured = (status == CRASH) | (rng.random(count) < _MISSING_LATENCY_SHARE)
    latency_ms = outcomes.latency_ms.clip(1.0, _LONGEST_LATENCY_MS).round(1)
    latency_ms[unmeasured] = np.nan
    effect_rng = generator(world.plan.seed, Stream.INCIDENT_EFFECTS, day)
    feedback = _draw_feedback(world, batch.feature, outcomes.feedback_loss, rng, effect_rng)
    is_broken = batch.is_broken
    if world.people is not None and world.extras is not None:
        crashes, is_broken = spoil_outcomes(
            world.people, world.extras, world.plan.seed, day, batch.variant, batch.feature, batch.event
        )
        status = np.where(crashes, CRASH, status)
        latency_ms = np.where(crashes, np.nan, latency_ms)
    done = replace(batch, latency_ms=latency_ms, status=status, feedback=feedback, is_broken=is_broken)
    if not any(effect.metric == "events" for effect in effects):
        return done
    return done.take(effect_rng.random(count) < outcomes.survival)


def _healthy_outcomes(world: World, batch: EventBatch, session_latency: Floats, rng: np.random.Generator) -> _Outcomes:
    profiles, noise, features = world.profiles, world.plan.noise, len(world.features)
    count, feature = len(batch), batch.feature
    day_latency = np.exp(profiles.day_noise * noise * rng.standard_normal(features))
    day_crash = np.exp(0.1 * noise * rng.standard_normal(features))
    day_error = np.exp(0.1 * noise * rng.standard_normal(features))
    country_factor = np.array([c.latency_factor for c in catalogue.COUNTRIES])
    latency_ms = np.exp(profiles.latency_sigma[feature] * rng.standard_normal(count)) * session_latency
    latency_ms *= (profiles.latency_median_ms * day_latency)[feature]
    latency_ms *= np.array(catalogue.PLATFORM_LATENCY_FACTORS)[batch.platform]
    latency_ms *= country_factor[batch.country] * world.calendar.latency_factor[batch.version]
    tail = np.flatnonzero(rng.random(count) < profiles.tail_share[feature])
    latency_ms[tail] *= 1.5 + rng.pareto(1.6, len(tail))
    crash_rate = (profiles.crash_rate * day_crash)[feature] * world.calendar.crash_factor[batch.version]
    crash_rate *= np.array(catalogue.PLATFORM_CRASH_FACTORS)[batch.platform]
    return _Outcomes(
        latency_ms=latency_ms,
        crash_rate=crash_rate,
        error_rate=(profiles.error_rate * day_error)[feature],
        feedback_loss=np.zeros(count),
        survival=np.ones(count),
    )


def _apply_effects(effects: list[Effect], batch: EventBatch, features: int, outcomes: _Outcomes) -> None:
    """Change the outcomes in place, each effect on the rows of its own feature and slice."""
    if not effects:
        return
    is_affected = np.zeros(features, bool)
    is_affected[[effect.feature for effect in effects]] = True
    rows = np.flatnonzero(is_affected[batch.feature])
    rows = rows[np.argsort(batch.feature[rows], kind="stable")]
    ordered = batch.feature[rows]
    for effect in effects:
        low, high = np.searchsorted(ordered, (effect.feature, effect.feature + 1))
        _apply_effect(effect, _slice_rows(effect, batch, rows[low:high]), outcomes)


def _slice_rows(effect: Effect, batch: EventBatch, rows: Ints) -> Ints:
    for column, code in (
        (batch.platform, effect.platform),
        (batch.version, effect.version),
        (batch.country, effect.country),
        (batch.event, effect.event),
    ):
        if code is not None:
            rows = rows[column[rows] == code]
    return rows


def _apply_effect(effect: Effect, rows: Ints, outcomes: _Outcomes) -> None:
    if effect.metric == "feedback_mean":
        outcomes.feedback_loss[rows] -= effect.size
        return
    values = {
        "latency_p95_ms": outcomes.latency_ms,
        "crash_rate": outcomes.crash_rate,
        "error_rate": outcomes.error_rate,
        "events": outcomes.survival,
    }[effect.metric]
    values[rows] = values[rows] * (1 + effect.size) if effect.size_unit == "relative" else values[rows] + effect.size


def _draw_feedback(
    world: World, feature: Ints, loss: Floats, rng: np.random.Generator, effect_rng: np.random.Generator
) -> Ints:
    """Draw scores for the few events that carry one; a loss is rounded at random to keep its mean."""
    profiles = world.profiles
    feedback = np.zeros(len(feature), np.int64)
    rated = np.flatnonzero(rng.random(len(feature)) < profiles.feedback_share[feature])
    day_shift = 0.05 * world.plan.noise * rng.standard_normal(len(world.features))
    mean = (profiles.feedback_mean + day_shift)[feature[rated]]
    score = np.clip(np.round(mean + 1.1 * rng.standard_normal(len(rated))), 1, 5)
    score -= np.floor(loss[rated] + effect_rng.random(len(rated)))
    feedback[rated] = np.clip(score, 1, 5).astype(np.int64)
    return feedback
