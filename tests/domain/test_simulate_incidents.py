"""What incidents do to the simulated events, and what is healthy about the rest."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality_assets.simulate import Incident, SimulationPlan, simulate
from quality_assets.simulate.catalogue import COUNTRY_CODES, PLATFORMS
from quality_assets.simulate.incidents import strength_on
from quality_assets.simulate.plan import INCIDENT_KINDS
from quality_assets.simulate.telemetry import build_world, simulate_day
from quality_assets.simulate.world import CRASH, ERROR, NO_USER, EventBatch, World
from tests.examples import dear

START = date(2026, 1, 1)
PLAN = SimulationPlan(days=30, features=5, events_per_day=40_000, seed=3, incidents=())
DAY = 12


def incident(**change: Any) -> Incident:
    values: dict[str, Any] = {
        "incident_id": "INC-1",
        "feature": "Search",
        "kind": "latency_creep",
        "metric": "latency_p95_ms",
        "start_date": START + timedelta(days=10),
        "end_date": START + timedelta(days=20),
        "size": 0.5,
    }
    return Incident(**{**values, **change})


def days_with_and_without(fault: Incident, day: int = DAY) -> tuple[EventBatch, EventBatch, World]:
    healthy = simulate_day(build_world(PLAN), day)
    world = build_world(replace(PLAN, incidents=(fault,)))
    return of_search(healthy), of_search(simulate_day(world, day)), world


def of_search(batch: EventBatch) -> EventBatch:
    return batch.take(batch.feature == 0)


def p95_ms(batch: EventBatch) -> float:
    return float(np.nanquantile(batch.latency_ms, 0.95))


def rate(batch: EventBatch, status: int) -> float:
    return float(np.mean(batch.status == status))


def mean_feedback(batch: EventBatch) -> float:
    return float(batch.feedback[batch.feedback > 0].mean())


def test_latency_creep_grows_to_its_size() -> None:
    fault = incident(ramp_days=10, size=0.8)
    for day, size in ((9, 0.0), (10, 0.08), (14, 0.4), (19, 0.8), (20, 0.8), (21, 0.0)):
        healthy, faulty, _ = days_with_and_without(fault, day)
        assert p95_ms(faulty) / p95_ms(healthy) == pytest.approx(1 + size, rel=0.01)
        assert strength_on(fault, PLAN.date_of(day)) == pytest.approx(size / 0.8)


def test_latency_regression_hits_one_version_from_the_day_of_its_release() -> None:
    release = next(r for r in build_world(PLAN).calendar.releases if r.platform == 1 and 5 <= r.day < 25)
    fault = incident(
        kind="release_regression",
        platform="Android",
        app_version=release.app_version,
        start_date=PLAN.date_of(release.day),
        end_date=None,
    )
    healthy, faulty, world = days_with_and_without(fault, release.day)
    hit = healthy.version == world.calendar.code_of(release.app_version)
    assert 0.02 < hit.mean() < 0.5
    assert p95_ms(faulty.take(hit)) / p95_ms(healthy.take(hit)) == pytest.approx(1.5, rel=0.02)
    np.testing.assert_array_equal(faulty.latency_ms[~hit], healthy.latency_ms[~hit])


def test_crash_spike_on_a_platform() -> None:
    fault = incident(kind="crash_spike", metric="crash_rate", size=8.0, platform="iOS")
    healthy, faulty, _ = days_with_and_without(fault)
    hit = healthy.platform == PLATFORMS.index("iOS")
    ratio = rate(faulty.take(hit), CRASH) / rate(healthy.take(hit), CRASH)
    assert ratio == pytest.approx(9, rel=0.5)
    np.testing.assert_array_equal(faulty.status[~hit], healthy.status[~hit])


def test_error_burst_adds_its_absolute_size() -> None:
    fault = incident(kind="error_burst", metric="error_rate", size=0.2, size_unit="absolute")
    healthy, faulty, _ = days_with_and_without(fault)
    assert rate(faulty, ERROR) - rate(healthy, ERROR) == pytest.approx(0.2, abs=0.02)


def test_feedback_drop_takes_about_its_size() -> None:
    fault = incident(kind="feedback_drop", metric="feedback_mean", size=-0.8, size_unit="absolute")
    healthy, faulty, _ = days_with_and_without(fault)
    assert mean_feedback(healthy) - mean_feedback(faulty) == pytest.approx(0.8, abs=0.15)


def test_volume_loss_in_a_country() -> None:
    fault = incident(kind="volume_loss", metric="events", size=-0.6, country="IN")
    healthy, faulty, _ = days_with_and_without(fault)
    code = COUNTRY_CODES.index("IN")
    assert (faulty.country == code).sum() / (healthy.country == code).sum() == pytest.approx(0.4, abs=0.06)
    assert (faulty.country != code).sum() == (healthy.country != code).sum()


@pytest.mark.parametrize(("event_name", "left"), [("", 0.0), ("use", 0.5)])
def test_dead_event_is_gone(event_name: str, left: float) -> None:
    fault = incident(kind="dead_event", metric="events", size=-1.0, event_name=event_name)
    healthy, faulty, _ = days_with_and_without(fault)
    assert len(faulty) / len(healthy) == pytest.approx(left, abs=0.03)
    assert 0 not in faulty.event


def test_other_features_are_untouched() -> None:
    fault = incident(kind="volume_loss", metric="events", size=-0.6)
    healthy = simulate_day(build_world(PLAN), DAY)
    faulty = simulate_day(build_world(replace(PLAN, incidents=(fault,))), DAY)
    others = healthy.take(healthy.feature != 0)
    np.testing.assert_array_equal(others.event_id, faulty.event_id[faulty.feature != 0])
    np.testing.assert_array_equal(others.feedback, faulty.feedback[faulty.feature != 0])


def test_effect_is_measurable_in_the_files(tmp_path: Path) -> None:
    fault = incident(start_date=START + timedelta(days=2), end_date=None, size=1.0)
    plan = replace(PLAN, days=4, events_per_day=15_000, dirt_share=0.0, incidents=(fault,))
    by_day = []
    for path in simulate(plan, tmp_path, format="csv").log_files:
        table = pa_csv.read_csv(path)
        is_search = np.array(table["feature"].to_pylist()) == "Search"
        latency_ms = table["latency_ms"].to_numpy()
        by_day.append(np.nanquantile(latency_ms[is_search], 0.95))
    assert np.mean(by_day[2:]) / np.mean(by_day[:2]) == pytest.approx(2, rel=0.15)


def test_drawn_incidents_cover_every_kind_and_fit_the_world() -> None:
    plan = SimulationPlan(days=200, features=30, events_per_day=100, seed=8)
    world = build_world(plan)
    kinds = Counter(fault.kind for fault in world.incidents)
    assert set(kinds) == set(INCIDENT_KINDS)
    assert 30 * 200 / 91 * 0.7 < len(world.incidents) <= 30 * 3
    released = {(r.app_version, plan.date_of(r.day)) for r in world.calendar.releases}
    for fault in world.incidents:
        assert plan.date_of(plan.healthy_days_at_start) <= fault.start_date <= plan.end_date
        if fault.kind == "release_regression":
            assert (fault.app_version, fault.start_date) in released
    build_world(replace(plan, incidents=world.incidents))


def test_drawn_incidents_of_one_feature_do_not_overlap() -> None:
    world = build_world(SimulationPlan(days=300, features=4, events_per_day=50, seed=1))
    for feature in world.features:
        own = [fault for fault in world.incidents if fault.feature == feature.name]
        for earlier, later in pairwise(own):
            assert earlier.end_date is not None
            assert later.start_date > earlier.end_date


@settings(max_examples=dear(25), deadline=None)
@given(days=st.integers(1, 250), features=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_incidents_lie_inside_the_plan_and_do_not_depend_on_its_length(days: int, features: int, seed: int) -> None:
    plan = SimulationPlan(days=days, features=features, events_per_day=10, seed=seed)
    drawn = build_world(plan).incidents
    for fault in drawn:
        assert plan.start_date <= fault.start_date <= (fault.end_date or plan.end_date) <= plan.end_date
    longer = build_world(replace(plan, days=days + 100)).incidents
    assert [replace(f, end_date=None) for f in drawn] == [replace(f, end_date=None) for f in longer[: len(drawn)]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": "Teleport"}, "not among the 5 simulated"),
        ({"start_date": START - timedelta(days=1)}, "start_date"),
        ({"end_date": START + timedelta(days=30)}, "after the plan's end"),
        ({"platform": "Symbian"}, "unknown platform"),
        ({"app_version": "0.0.1"}, "unknown app_version"),
        ({"country": "XX"}, "unknown country"),
        ({"event_name": "explode"}, "unknown event_name"),
    ],
)
def test_incident_must_fit_the_world(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_world(replace(PLAN, incidents=(incident(**change),)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "flood"}, "unknown kind"),
        ({"metric": "mood"}, "unknown metric"),
        ({"size_unit": "dozens"}, "unknown size_unit"),
        ({"size": float("nan")}, "finite"),
        ({"size": -1.5}, "below -1"),
        ({"ramp_days": -1}, "ramp_days"),
        ({"end_date": START}, "before start_date"),
        ({"metric": "events", "size": 0.5}, "only be lost"),
        ({"metric": "feedback_mean", "size": -0.5}, "absolute number of points"),
    ],
)
def test_incident_must_make_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        incident(**change)


def test_a_session_has_one_user_one_device_and_several_features() -> None:
    batch = simulate_day(build_world(PLAN), 0)
    _, session = np.unique(batch.session_id, return_inverse=True)
    for column in (batch.user, batch.platform, batch.version, batch.country, batch.device):
        pairs = np.unique(np.stack([session, column]), axis=1)
        assert pairs.shape[1] == session.max() + 1
    assert 4.5 < len(batch) / (session.max() + 1) < 7.5
    assert np.unique(np.stack([session, batch.feature]), axis=1).shape[1] > 1.5 * session.max()


def test_users_return_join_and_leave() -> None:
    world = build_world(PLAN)
    first, later = (set(simulate_day(world, day).user.tolist()) - {NO_USER} for day in (0, 25))
    newest = max(first)
    assert 0.3 < len(first & later) / len(later) < 0.9
    assert max(later) > newest
    users, _ = world.population.active(25)
    assert len(users.user) == pytest.approx(PLAN.events_per_day / 8, rel=0.25)
    assert len(users.user) < users.user.max()


def test_versions_are_used_from_their_release_on_and_spread() -> None:
    world = build_world(PLAN)
    release = next(
        (code, r.day) for code, r in enumerate(world.calendar.releases) if r.platform == 0 and 2 < r.day < 20
    )
    code, release_day = release
    shares = []
    for day in (release_day - 1, release_day, release_day + 3, release_day + 9):
        batch = simulate_day(world, day)
        shares.append(float(np.mean(batch.version[batch.platform == 0] == code)))
    assert shares[0] == 0 < shares[1] < shares[2] < shares[3]


def test_use_is_zipf_like_weekly_and_follows_the_local_clock() -> None:
    world = build_world(replace(PLAN, features=40, noise=0.0))
    week = [simulate_day(world, day) for day in range(7)]
    counts = np.bincount(np.concatenate([batch.feature for batch in week]), minlength=40)
    assert counts[:4].sum() > 5 * counts[-4:].sum()
    per_weekday = np.stack([np.bincount(batch.feature, minlength=40) for batch in week])
    weekend = per_weekday[[2, 3]].mean(axis=0) / per_weekday[[0, 1, 4, 5, 6]].mean(axis=0)
    assert weekend.min() < 0.75
    assert weekend.max() > 1.3
    batch = week[0]
    india_evening = batch.take(batch.country == COUNTRY_CODES.index("IN")).event_ms // 3_600_000 % 24
    america_evening = batch.take(batch.country == COUNTRY_CODES.index("US")).event_ms // 3_600_000 % 24
    assert np.mean((india_evening >= 12) & (india_evening < 17)) > 0.25
    assert np.mean((america_evening >= 12) & (america_evening < 17)) < 0.25


def test_volume_is_near_the_plan() -> None:
    world = build_world(PLAN)
    mean = np.mean([len(simulate_day(world, day)) for day in range(7)])
    assert mean == pytest.approx(PLAN.events_per_day, rel=0.08)
