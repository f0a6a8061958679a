"""Changes that are no faults: names and mixes in the logs are those of the truth beside them."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from quality_assets.simulate import Change, SimulationPlan, simulate
from quality_assets.simulate.telemetry import build_world, simulate_day

START = date(2026, 1, 1)
PLAN = SimulationPlan(days=6, features=5, events_per_day=2_000, seed=3, incidents=(), dirt_share=0.0, late_share=0.0)


def plan_with(*changes: Change, **more: int) -> SimulationPlan:
    return SimulationPlan(**{**vars(PLAN), "changes": changes, **more})


def names_by_day(folder: Path) -> list[dict[str, int]]:
    out = []
    for path in sorted((folder / "logs").iterdir()):
        with path.open(newline="", encoding="utf-8") as file:
            names = [row["feature"] for row in csv.DictReader(file)]
        out.append({name: names.count(name) for name in sorted(set(names))})
    return out


def test_a_feature_has_its_new_names_from_its_day_on(tmp_path: Path) -> None:
    changes = (
        Change("c1", "Search", "rename", date(2026, 1, 4), ("Search 2",)),
        Change("c2", "Home feed", "split", date(2026, 1, 4), ("Feed a", "Feed b")),
        Change("c3", "One-tap pay", "remove", date(2026, 1, 4)),
    )
    simulate(PLAN, tmp_path / "plain")
    simulate(plan_with(*changes), tmp_path / "changed")
    plain, changed = names_by_day(tmp_path / "plain"), names_by_day(tmp_path / "changed")
    assert changed[:3] == plain[:3]
    for before, after in zip(plain[3:], changed[3:], strict=True):
        assert not {"Search", "Home feed", "One-tap pay"} & set(after)
        assert after["Search 2"] == before["Search"]
        assert after["Feed a"] + after["Feed b"] == before["Home feed"]
    with (tmp_path / "changed" / "changes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["start_date"], row["new_names"]) for row in rows] == [
        ("rename", "2026-01-04", "Search 2"), ("split", "2026-01-04", "Feed a|Feed b"), ("remove", "2026-01-04", ""),
    ]  # fmt: skip
    assert not (tmp_path / "plain" / "changes.csv").exists()


def test_a_mix_moves_rows_to_a_group_that_is_slow_all_along() -> None:
    change = Change("c1", "Search", "mix_countries", date(2026, 1, 4), (), 0.1, 0.5, 4.0)
    plan = plan_with(change)
    world, plain = build_world(plan), build_world(PLAN)
    for day, share in ((1, 0.1), (4, 0.5)):
        batch, before = simulate_day(world, day), simulate_day(plain, day)
        own = batch.feature == 0
        is_slow = (batch.user >= 50_000_000) & own
        assert is_slow.sum() / own.sum() == pytest.approx(share, abs=0.07)
        assert len(set(batch.country[is_slow].tolist())) == 1
        # Ids, times and features are those of the plan without the change.
        assert np.array_equal(batch.event_id, before.event_id)
        slow, fast = np.nanmedian(batch.latency_ms[is_slow]), np.nanmedian(batch.latency_ms[own & ~is_slow])
        assert 2.0 < slow / fast < 8.0


def test_changes_and_lasting_faults_are_drawn_by_the_seed() -> None:
    plan = SimulationPlan(days=60, features=20, events_per_day=100, seed=4, lasting_faults=3, renames=3, mixes=4)
    world = build_world(plan)
    assert [change.kind for change in world.changes] == [
        "rename", "split", "remove", "mix_users", "mix_devices", "mix_versions", "mix_countries",
    ]  # fmt: skip
    assert len({change.feature for change in world.changes}) == 7
    assert build_world(plan).changes == world.changes
    calm = SimulationPlan(
        days=60, features=20, events_per_day=100, seed=4, lasting_faults=3, incidents_per_feature_quarter=0.0
    )
    lasting = build_world(calm).incidents
    assert len(lasting) == 3
    assert all(incident.end_date is None and incident.start_date < date(2026, 1, 31) for incident in lasting)
    assert [incident.kind for incident in sorted(lasting, key=lambda i: i.kind)] == [
        "crash_spike", "feedback_drop", "latency_creep",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [
        lambda: Change("c", "Search", "rename", START),
        lambda: Change("c", "Search", "split", START, ("a",)),
        lambda: Change("c", "Search", "mix_users", START, factor=0.0),
        lambda: build_world(plan_with(Change("c", "Nowhere", "remove", START))),
    ],
)
def test_changes_that_cannot_be_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="change 'c'"):
        make()  # type: ignore[operator]
