"""Findings by value: what an episode is of, breaches of objectives that nothing covers, and the objective of a day."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from math import log
from typing import Any

import numpy as np
import pytest

from quality_assets.domain.features.incident_findings import (
    Finding,
    _beyond_objective,
    _covered,
    breach_findings,
    findings_of,
    incident_id,
    objective_on,
)
from quality_assets.domain.series.detection import Detections, Episode
from quality_assets.domain.series.objectives import ObjectiveStates
from quality_assets.domain.series.panel import Grid, Panel
from quality_assets.domain.series.settings import DEFAULT_SETTINGS
from quality_assets.domain.series.states import Watched

NAN = float("nan")


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(days=number)


def mask(days: int, rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.array([np.isin(np.arange(days), list(row)) for row in rows])


def watched(metric: str, active: Mapping[Any, Sequence[int]], days: int = 10, first: int = 0, **more: Any) -> Watched:
    """A metric of some features with the days of their episodes; more: key, start, counted, breach, limit, ..."""
    keys = np.empty(len(active), dtype=object)
    keys[:] = list(active)
    shape, dates = (len(active), days), [day(first + d) for d in range(days)]
    value = np.array(more.get("value", np.full(shape, 0.5)), dtype=float)
    z, blank = np.array(more.get("z", np.zeros(shape)), dtype=float), np.zeros(shape)
    is_active = mask(days, list(active.values()))
    key = more.get("key", "feature")
    panel = Panel(metric, "rate", 1, tuple(active), tuple(dates), value, value, blank + 100, key)
    found = Detections(
        panel=panel, expected=blank + 0.1, z=z, ewma=more.get("ewma", blank), change=blank, noise=blank + 0.05,
        silence_log_p=more.get("silence", blank), is_active=is_active,
        is_start=mask(days, more.get("start", [[]] * len(active))),
        is_silence=mask(days, more.get("silent", [[]] * len(active))), is_adopted=blank > 0,
        run_start=np.array(more.get("run", blank), dtype=np.int64), is_pooled=more.get("pooled"),
    )  # fmt: skip
    grid = Grid(key, keys, np.array(dates, dtype="datetime64[D]"), blank == 0, np.zeros(days, bool), {})
    objective = None
    if "breach" in more:
        burn = np.array(more.get("burn", blank + 3.0), dtype=float)
        objective = ObjectiveStates(
            np.array(more.get("limit", [0.02] * len(active)), dtype=float),
            np.array(more.get("default", [False] * len(active))), mask(days, more["breach"]),
            np.array(more.get("begin", blank), dtype=np.int64), burn, burn * 2, 1 - burn * 2,
        )  # fmt: skip
    return Watched(grid, found, np.array(more.get("counted", [True] * len(active))), objective)


# --- What a finding is of ---------------------------------------------------------------------------------------------


def test_an_incident_is_named_by_what_was_found_first() -> None:
    text = "Search\x1f\x1fcrash_rate\x1f2026-01-03"
    assert incident_id("Search", None, "crash_rate", day(2)) == "inc-" + hashlib.sha256(text.encode()).hexdigest()[:12]
    named = b"Search\x1ftap\x1fcrash_rate\x1f2026-01-03"
    assert incident_id("Search", "tap", "crash_rate", day(2)) == "inc-" + hashlib.sha256(named).hexdigest()[:12]


def test_a_finding_has_its_days_and_its_first_evidence() -> None:
    z, ewma, silence = np.zeros((2, 10)), np.zeros((2, 10)), np.zeros((2, 10))
    z[1, 5], ewma[1, 5], silence[1, 5] = 4.0, 5.0, -6.0
    of = watched("crash_rate", {"Cart": [], "Search": [5, 6]}, z=z, ewma=ewma, silence=silence)
    episode = Episode(1, "crash_rate", 5, 4, None, 6, "step", 4.0)
    found = Finding("Search", None, episode, of.found, 0)
    assert (found.metric, found.group, found.detected_on, found.start_date, found.last_date) == (
        "crash_rate", "crash", day(5), day(4), day(6),
    )  # fmt: skip
    assert found.first_evidence == 6.0
    silence[1, 5] = 0.0
    assert found.first_evidence == 5.0
    ewma[1, 5] = NAN
    assert found.first_evidence == 4.0
    assert Finding("Search", None, Episode(1, "own", 5, 4, None, 6, "step", 4.0), of.found, 0).group == "own"


def test_evidence_of_pooled_days_goes_back_to_their_first() -> None:
    run = np.tile([0, 0, 0, 0, 0, 3, 8, 0, 0, 0], (1, 1))
    pooled = mask(10, [[5, 6]])

    def since(detected: int, pooled: np.ndarray | None) -> date:
        of = watched("crash_rate", {"Search": [5, 6]}, run=run, pooled=pooled)
        episode = Episode(0, "crash_rate", detected, 5, None, 6, "step", 1.0)
        return Finding("Search", None, episode, of.found, 0).evidence_since

    assert [since(detected, pooled) for detected in (5, 6, 7)] == [day(3), day(6), day(7)]
    assert since(5, None) == day(5)


def test_the_last_worse_day_is_known_by_its_deviation_or_its_silence() -> None:
    z = np.array([[0, 0, 5.0, 1.5, 1.4, 9.0, 0, 0, 9.0, NAN]])
    of = watched("crash_rate", {"Search": [2, 3, 4, 5, 6, 7, 9]}, z=z, start=[[2]], silent=[[7, 8]])
    found = Finding("Search", None, Episode(0, "crash_rate", 2, 2, None, 5, "step", 5.0), of.found, 0)
    by = [found.last_worse_by(day(number)) for number in range(2, 10)]
    assert by == [day(number) for number in (2, 3, 3, 5, 5, 7, 7, 7)]
    assert [found.is_active_on(day(number)) for number in (2, 7, 8, 9)] == [True, True, False, False]
    # Days beyond the data, and between its days, are known by the last before them.
    assert found.last_worse_by(day(40)) == day(7)


def test_findings_are_the_episodes_that_count() -> None:
    z = np.zeros((2, 10))
    z[:, 5:7] = 9.0
    start, active = [[5], [5]], [5, 6, 7, 8]
    whole = watched("crash_rate", {"Cart": active, "Search": active}, start=start, z=z, counted=[False, True])
    (found,) = findings_of(whole, 4, DEFAULT_SETTINGS)
    assert (found.feature, found.event_name, found.platform, found.order, found.episode.series) == (
        "Search", None, None, 4, 1,
    )  # fmt: skip
    keys = {("Cart", "ios"): active, ("Cart", "web"): active}
    platforms = watched("crash_rate", keys, start=start, z=z, key=("feature", "platform"))
    assert [(f.feature, f.event_name, f.platform) for f in findings_of(platforms, 0, DEFAULT_SETTINGS)] == [
        ("Cart", None, "ios"), ("Cart", None, "web"),
    ]  # fmt: skip
    # Of single events only what fell silent.
    events = watched(
        "events", keys, start=start, z=z, silent=[[], [5, 6]], value=[[0.5] * 10, [*[0.5] * 5, *[0] * 5]],
        key=("feature", "event_name"),
    )  # fmt: skip
    assert [(f.feature, f.event_name, f.platform) for f in findings_of(events, 0, DEFAULT_SETTINGS)] == [
        ("Cart", "web", None)
    ]


# --- Breaches ---------------------------------------------------------------------------------------------------------

BREACH = [[2, 3, 4, 5, 7, 8], [1, 2, 3, 4, 5, 6], [3], [8, 9], [0, 1]]
NAMES = "abcde"


def breached(**more: Any) -> Watched:
    """a: covered at first; b: covered in the midst; c: does not count; d: to the end; e: covered whole."""
    counted = [True, True, False, True, True]
    return watched("crash_rate", dict.fromkeys(NAMES, ()), breach=BREACH, counted=counted, **more)


def test_a_breach_is_told_on_its_first_day_that_nothing_covers_and_once() -> None:
    burn = np.full((5, 10), 3.0)
    burn[0, 5] = NAN
    value = np.full((5, 10), 0.5)
    value[0, 0] = NAN
    each = breached(burn=burn, value=value, limit=[0.02, 0.03, 0.04, 0.05, NAN], begin=np.arange(50).reshape(5, 10))
    found = _beyond_objective(each, mask(10, [[2, 3], [3], [], [], [0, 1]]))
    told = mask(10, [[4, 7], [1], [], [8], []])
    active = mask(10, [[4, 5, 7, 8], BREACH[1], [], [8, 9], []])
    burn = np.nan_to_num(burn)
    wanted = {
        "is_start": told, "is_active": active, "is_bad": active, "is_silence": ~(told | True),
        "is_adopted": ~(told | True), "noise": np.zeros((5, 10)), "ewma": np.where(active, burn, 0.0),
        "z": np.where(active, 1.5 + np.log1p(burn), 0.0), "run_start": np.arange(50).reshape(5, 10),
    }  # fmt: skip
    for name, values in wanted.items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)
    limits = np.repeat([[0.02], [0.03], [0.04], [0.05], [NAN]], 10, axis=1)
    limits[0, 0] = NAN
    np.testing.assert_array_equal(found.expected, limits)
    assert found.z[0, 5] == 1.5
    assert found.z[0, 4] == pytest.approx(1.5 + log(4))


def test_breaches_are_findings_of_their_own() -> None:
    burn = np.full((5, 10), 3.0)
    burn[1, 6] = 7.0
    each = breached(burn=burn, begin=np.full((5, 10), 1))
    episodes = {"a": [2, 3], "b": [3], "e": [0, 1]}
    cover = watched("crash_rate", episodes)
    found = breach_findings([each, watched("events", {"a": range(10)}), cover], 9)
    assert [(f.feature, f.event_name, f.platform, f.order) for f in found] == [
        (name, None, None, 9) for name in ("a", "a", "b", "d")
    ]
    assert [f.episode for f in found] == [
        Episode(0, "crash_rate", 4, 1, 5, 5, "objective", pytest.approx(1.5 + log(3 + 1))),
        Episode(0, "crash_rate", 7, 1, 8, 8, "objective", pytest.approx(1.5 + log(3 + 1))),
        Episode(1, "crash_rate", 1, 1, 6, 6, "objective", pytest.approx(1.5 + log(7 + 1))),
        Episode(3, "crash_rate", 8, 1, None, 9, "objective", pytest.approx(1.5 + log(3 + 1))),
    ]
    assert all(f.detections.is_start[f.episode.series, f.episode.detected_day] for f in found)
    assert breach_findings([watched("crash_rate", {"a": [1]})], 0) == []
    # Days without a value are none on which it is breached.
    unknown = breached(value=np.full((5, 10), NAN))
    assert breach_findings([unknown], 0) == []


def test_a_feature_is_covered_by_episodes_of_the_same_kind_of_metric() -> None:
    own = watched("latency_p95_ms", {"a": [], "b": [], "c": []})
    others = [
        watched("latency_p50_ms", {"b": [1], "z": [4], "a": [0, 2]}, days=5, first=2),
        watched("latency_p50_ms", {"c": [5]}, counted=[False]),
        watched("crash_rate", {"c": [6]}),
        watched("latency_p95_ms", {("a", "ios"): [8]}, key=("feature", "platform")),
        watched("latency_p95_ms", {}, days=0),
        own,
    ]
    np.testing.assert_array_equal(_covered(others, own), mask(10, [[2, 4, 8], [3], []]))


# --- The objective of a finding ---------------------------------------------------------------------------------------


def objective(feature: str = "b", is_open: bool = False, last: int = 4, metric: str = "crash_rate") -> dict[str, Any]:
    burn = np.arange(20.0).reshape(2, 10)
    burn[1, 6] = NAN
    more: dict[str, Any] = {"limit": [NAN, 0.03], "default": [True, True], "burn": burn}
    own = watched("crash_rate", {"a": [], "b": []}, breach=[[], [4]], first=3, **more)
    given = watched("error_rate", {"b": []}, breach=[[9]], burn=np.full((1, 10), 0.25))
    part = watched("crash_rate", {("b", "ios"): []}, key=("feature", "platform"), breach=[[0]])
    watched_all = [watched("crash_rate", {"b": []}), part, given, own]
    found = Finding(feature, None, Episode(0, metric, 0, 0, None, 0, "step", 1.0), own.found, 0)
    return objective_on(watched_all, found, is_open, day(last + 3))


def test_the_objective_of_an_incident_is_that_of_its_metric_on_its_last_day() -> None:
    nothing = dict.fromkeys(("objective", "objective_source", "is_objective_breach", "burn_rate_28d"))
    assert objective() == {
        "objective": 0.03, "objective_source": "default", "is_objective_breach": True, "burn_rate_28d": 28.0,
    }  # fmt: skip
    assert (objective(last=5)["is_objective_breach"], objective(last=5)["burn_rate_28d"]) == (False, 30.0)
    assert objective(last=6)["burn_rate_28d"] is None
    # Of what goes on, the last day of the data.
    assert objective(is_open=True)["burn_rate_28d"] == 38.0
    assert objective(metric="error_rate", is_open=True) == {
        "objective": 0.02, "objective_source": "given", "is_objective_breach": True, "burn_rate_28d": 0.5,
    }  # fmt: skip
    assert objective("a") == objective("z") == objective(metric="events") == nothing
