"""What a change is made of, in words and rows; how switches hold fixed what is measured, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.features.causes import (
    CAUSE_WORDS,
    DEFAULT_CAUSES,
    EventRows,
    Part,
    Verdict,
    _as_before,
    _is_shared,
    _levels,
    _per_user,
    _shapley,
    _switches,
    _top_share,
    _verdict,
    cause_rows,
    is_worth_a_bar,
    take_apart,
    take_volume_apart,
    verdict_sentence,
)

NAN = float("nan")
UNKNOWN = "Whether it is real cannot be told: too few events on either side, or they do not show it."


def verdict(word: str, real: float, off: float = 0.0, before: float = 100.0, **parts: float) -> Verdict:
    """Parts in their order, the real one last with so much on either side."""
    made = tuple(Part(name, size, size, size) for name, size in parts.items())
    real_part = Part("real", real, real - off, real + off)
    change = real + sum(parts.values())
    return Verdict(word, before, before + change, (*made, real_part), 99)


# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            verdict("real", 80.0, 10.0, users=20.0),
            "Real: 80 % of it (70 to 90 %) remains; other users (20 %) made the rest.",
        ),
        (
            verdict("real", 100.0),
            "Real: all of it remains, no change of users or mix that events show explains it.",
        ),
        # Beyond all of it, or less than none, is all or none.
        (
            verdict("real", 120.0, 130.0, users=-20.0),
            "Real, as far as can be told: all of it remains; other users (20 %) hid more of it.",
        ),
        # What stands against the change is told, and with it nothing "made the rest" of what is whole.
        (
            verdict("real", 110.0, 10.0, users=-26.0, event_name=16.0),
            "Real: all of it remains; another mix of events (16 %) added to it, other users (26 %) took from it.",
        ),
        (
            verdict("partly", 60.0, 0.0, users=-20.0, country=64.0, late_rows=-4.0),
            "Partly real: 60 % of it remains; another mix of countries (64 %) added to it, other users"
            " (20 %) took from it.",
        ),
        (
            verdict("measurement", 10.0, 0.0, users=-20.0, country=110.0),
            "Measurement: another mix of countries (110 %) made it, other users (20 %) took from it; 10 % of it is"
            " real.",
        ),
        (
            verdict("measurement", 10.0, 20.0, users=30.0, country=60.0),
            "Measurement: another mix of countries (60 %) and other users (30 %) made it; 10 % of it (0 to 30 %) is"
            " real.",
        ),
        # More than all of it is told with what stands against it.
        (
            verdict("measurement", -26.0, 5.0, users=126.0),
            "Measurement: other users (126 %) made it, what remains went the other way (26 %); none of it is real.",
        ),
        (
            verdict("measurement", -4.0, 5.0, users=104.0),
            "Measurement: other users (104 %) made it; none of it (0 to 1 %) is real.",
        ),
        # A twentieth is told, less is not; two at most.
        (
            verdict("partly", 60.0, 5.0, users=5.0, country=4.9, late_rows=20.0, rows_per_user=10.1),
            "Partly real: 60 % of it (55 to 65 %) remains; rows that come late (20 %) and a few users with many rows"
            " (10 %) made the rest.",
        ),
        (
            verdict("partly", 60.0, 0.0, users=5.0, country=35.0),
            "Partly real: 60 % of it remains; another mix of countries (35 %) and other users (5 %) made the rest.",
        ),
        (
            verdict("measurement", 40.0, 0.0, **dict.fromkeys(list(CAUSE_WORDS)[:9], 4.0), renamed=24.0),
            "Measurement: events under a new name (24 %) made it; 40 % of it is real.",
        ),
        (
            verdict("measurement", 40.0, 0.0, **dict.fromkeys(list(CAUSE_WORDS)[:10], 3.0)),
            "Measurement: what was measured made it; 57 % of it is real.",
        ),
        (
            verdict("partly", 60.0, 0.0, **dict.fromkeys(list(CAUSE_WORDS)[:10], 4.0)),
            "Partly real: 60 % of it remains; what was measured made the rest.",
        ),
        # Of a fall the parts are negative too.
        (
            verdict("real", -80.0, 10.0, renamed=-20.0),
            "Real: 80 % of it (70 to 90 %) remains; events under a new name (20 %) made the rest.",
        ),
        (verdict("unknown", 80.0), UNKNOWN),
        (Verdict("real"), UNKNOWN),
        (verdict("real", 0.0), UNKNOWN),
    ],
)
def test_a_verdict_is_said_with_what_it_is_made_of(found: Verdict, said: str) -> None:
    assert verdict_sentence(found) == said


def test_the_share_that_is_real_lies_within_all_and_none() -> None:
    assert [verdict("real", real, users=users).real_share for real, users in ((30, 70), (120, -20), (-5, 105))] == [
        pytest.approx(0.3), 1.0, 0.0,
    ]  # fmt: skip
    assert Verdict("real", 1.0, 3.0).real_share is None
    assert verdict("real", 0.0).real_share is None
    assert Verdict("real", 1.0, 3.0).change == 2.0


@pytest.mark.parametrize(
    ("part", "size", "change", "wanted"),
    [
        ("users", 2.0, 100.0, True), ("users", 1.99, 100.0, False), ("users", -2.0, 100.0, True),
        ("users", 2.0, -100.0, True), ("users", -1.99, -100.0, False), ("real", 0.0, 100.0, True),
    ],
)  # fmt: skip
def test_what_can_be_seen_has_a_bar(part: str, size: float, change: float, wanted: bool) -> None:
    assert is_worth_a_bar(part, size, change) is wanted


def test_rows_of_an_incident_have_their_share_of_the_change() -> None:
    incident = {"incident_id": "inc-1", "feature": "pay", "metric": "crash_rate", "unit": "fraction"}
    same: dict[str, Any] = incident | {"value_before": 100.0, "value_now": 180.0, "rows_used": 99}
    assert cause_rows(incident, verdict("real", 60.0, 5.0, users=20.0)) == [
        same | {"part": "users", "size": 20.0, "low": 20.0, "high": 20.0, "share": 0.25},
        same | {"part": "real", "size": 60.0, "low": 55.0, "high": 65.0, "share": 0.75},
    ]
    assert [row["share"] for row in cause_rows(incident, verdict("real", 20.0, users=-20.0))] == [None, None]
    assert cause_rows(incident, Verdict("unknown")) == []


# --- Switches ---------------------------------------------------------------------------------------------------------


def events(now: list[int], user: list[int], **more: Any) -> EventRows:
    """Rows with a value each; more: value, country (codes), new (versions), and flags by name."""
    count = len(now)
    zero = np.zeros(count, np.int64)
    mix = {name: np.array(more.get(name, zero)) for name in ("app_version", "platform", "country", "event_name")}
    flags = {name: np.array(more.get(name, zero), bool) for name in ("repeated_rows", "late_rows", "quarantined_rows")}
    return EventRows(
        np.array(now, bool), np.array(more.get("value", range(count)), dtype=float), np.array(user, np.int64), mix,
        flags, np.array(more.get("new", zero), bool), None, np.array(user) % 10,
    )  # fmt: skip


def test_the_busiest_three_have_their_share() -> None:
    assert _top_share(np.array([0, 0, 0, 0, 1, 1, 2, 2, 3, 4])) == 0.8
    assert _top_share(np.array([5, 5])) == 1.0
    assert _top_share(np.zeros(0, np.int64)) == 0.0


def test_each_user_has_one_vote_and_nobody_that_of_the_usual_one() -> None:
    rows = events([0, 0, 0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1, -1, -1])
    # Four rows before and one now are of the first: the median of ¼ four times, 1 and 1 is ¼.
    assert _per_user(rows, np.ones(8)).tolist() == [0.25, 0.25, 0.25, 0.25, 1.0, 1.0, 0.25, 0.25]
    weight = np.array([1, 1, 0, 0, 2, 0, 1, 1.0])
    assert _per_user(rows, weight).tolist() == [0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.5, 0.5]
    assert _per_user(events([0, 1], [-1, -1]), np.ones(2)).tolist() == [1.0, 1.0]


def test_categories_get_the_share_that_they_had() -> None:
    codes, now = np.array([0, 0, 0, 1, 0, 1, 1, 1, 2, -1, -1]), np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1], bool)
    # 3 and 1 before, 1 and 3 now: of four, three and one. What is there on one side only weighs nothing now.
    third = pytest.approx(1 / 3)
    found = _as_before(codes, np.ones(11), now, None, DEFAULT_CAUSES)
    assert found.tolist() == [1, 1, 1, 1, 3.0, third, third, third, 0, 1, 1]
    paired = _as_before(codes, np.ones(11), now, None, DEFAULT_CAUSES, is_paired=True)
    assert paired.tolist() == [1, 1, 1, 1, 3.0, third, third, third, 0, 0, 0]
    # Of the other side, too.
    swapped = _as_before(codes, np.ones(11), ~now, None, DEFAULT_CAUSES)
    assert swapped.tolist()[8] == 0
    capped = _as_before(codes, np.ones(11), now, None, replace(DEFAULT_CAUSES, most_weight=2.0))
    assert capped[4] == 2.0
    held = np.ones(11, bool)
    held[[4, 8]] = False
    # Without them the first has no row now, and only the second is on both sides.
    assert _as_before(codes, np.ones(11), now, held, DEFAULT_CAUSES).tolist() == [0, 0, 0, *[1] * 8]
    none = _as_before(np.array([0, 1]), np.ones(2), np.array([False, True]), None, DEFAULT_CAUSES)
    assert none.tolist() == [1.0, 1.0]
    weighed = _as_before(
        np.array([0, 1, 0, 1]), np.array([1, 3, 2, 2.0]), np.array([0, 0, 1, 1], bool), None, DEFAULT_CAUSES
    )
    # 1 and 3 of four before are 1 and 3 of four now, where 2 and 2 are.
    assert weighed.tolist() == [1, 1, 0.5, 1.5]


def test_what_many_users_did_on_both_sides_is_shared() -> None:
    def shared(both: int, before: int, now: int, least: int = 20) -> bool:
        """So many users with a row on both sides, and so many rows of others."""
        user = [*range(both), *range(1000, 1000 + before), *range(both), *range(2000, 2000 + now)]
        side = np.array([0] * (both + before) + [1] * (both + now), bool)
        rows = events(side.astype(int).tolist(), user)
        return bool(_is_shared(rows, ~side, side, replace(DEFAULT_CAUSES, least_users=least)))

    assert [shared(both, 0, 0) for both in (19, 20)] == [False, True]
    # 30 of 200 rows are .15 of them, on the side where it is less.
    assert [shared(30, 170, 0), shared(30, 0, 170), shared(30, 171, 0), shared(30, 0, 171)] == [
        True,
        True,
        False,
        False,
    ]


def test_switches_are_those_that_can_matter() -> None:
    side = [0] * 100 + [1] * 100
    user = [*range(100), *range(100)]

    def found(**more: Any) -> list[str]:
        return _switches(events(side, more.pop("user", user), **more), DEFAULT_CAUSES)

    assert found() == ["users"]
    # Three rows of a hundred are another country's now, and two are not enough.
    assert found(country=[0] * 197 + [1] * 3) == ["users", "country"]
    assert found(country=[0] * 198 + [1] * 2) == ["users"]
    assert found(platform=[0] * 197 + [1] * 3, event_name=[1] * 50 + [0] * 150) == ["users", "platform", "event_name"]
    # Of versions only those count that came before it.
    assert found(app_version=[0] * 100 + [1] * 50 + [0] * 50) == ["users", "app_version"]
    assert found(app_version=[0] * 100 + [1] * 50 + [0] * 50, new=[0] * 100 + [1] * 50 + [0] * 50) == ["users"]
    assert found(late_rows=[1] + [0] * 199) == ["users", "late_rows"]
    # What lies in quarantine is neither side's.
    quarantined = [0] * 190 + [1] * 10
    assert found(country=[0] * 190 + [1] * 10, quarantined_rows=quarantined) == ["users", "quarantined_rows"]
    # The busiest three have 3 of 100 before and 8 or 9 now.
    more = [0] * 6 + [1, 2] + list(range(8, 100))
    assert found(user=[*range(100), *more]) == ["users"]
    more = [0] * 7 + [1, 2] + list(range(9, 100))
    assert found(user=[*range(100), *more]) == ["users", "rows_per_user"]
    assert found(user=[-1] * 200) == []


def test_levels_with_switches_on() -> None:
    rows = events(
        [0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 0, 2], value=[10, 20, 30, 40, 500, 6000], late_rows=[0, 0, 0, 0, 1, 0],
        quarantined_rows=[0, 0, 0, 0, 0, 1], country=[0, 1, 0, 0, 1, 0],
    )  # fmt: skip
    keep = np.ones(6, bool)

    def level(*chosen: str, keep: np.ndarray = keep) -> tuple[float, float]:
        return _levels(rows, chosen, keep, DEFAULT_CAUSES)

    assert level() == (15.0, 190.0)
    assert level("late_rows") == (15.0, 35.0)
    assert level("repeated_rows") == (15.0, 190.0)
    assert level("quarantined_rows") == (15.0, 6570 / 4)
    # Half of the weight on each of two countries: 30 and 40, and 500.
    assert level("country") == (15.0, pytest.approx((35 + 500) / 2))
    # One vote a user: the first has 30 and 500, the second 40.
    assert level("rows_per_user") == (15.0, pytest.approx((265 + 40) / 2))
    assert level("users") == (15.0, pytest.approx((265 + 40) / 2))
    assert level(keep=np.array([1, 0, 1, 0, 1, 1], bool)) == (10.0, 265.0)


def test_parts_are_shared_out_over_the_orders_of_switches() -> None:
    rows = events(
        [0, 0, 1, 1, 1],
        [0, 1, 0, 1, 0],
        value=[10, 20, 30, 40, 500],
        late_rows=[0, 0, 0, 0, 1],
        country=[0, 1, 0, 0, 1],
    )
    keep = np.ones(5, bool)
    parts, before, now = _shapley(rows, ["late_rows", "country"], keep, DEFAULT_CAUSES)
    # None on: 190 − 15; late off: 35 − 15; country held: 267.5 − 15; both: only the first country is on both sides.
    none, late, country, both = 175.0, 20.0, 252.5, 35.0 - 10.0
    assert parts.tolist() == pytest.approx(
        [(none - late + country - both) / 2, (none - country + late - both) / 2, both]
    )
    assert (before, now) == (15.0, 190.0)
    assert parts.sum() == pytest.approx(175.0)
    one, *_ = _shapley(rows, ["late_rows"], keep, DEFAULT_CAUSES)
    assert one.tolist() == [155.0, 20.0]
    three, *_ = _shapley(rows, ["late_rows", "country", "repeated_rows"], keep, DEFAULT_CAUSES)
    assert three.tolist() == pytest.approx([*parts[:2], 0.0, both])


def test_parts_of_a_volume_need_days_of_the_same_weekday() -> None:
    frame = pd.DataFrame(
        {"is_now": [False, True], "weekday": [1, 2], "events": [9, 9], "repeated": 0, "late": 0, "quarantined": 0}
    )
    assert take_volume_apart(frame, 0.0) == take_volume_apart(frame[:1], 0.0) == Verdict("unknown")
    assert take_volume_apart(frame[1:], 0.0) == Verdict("unknown")
    held = take_volume_apart(frame.assign(weekday=1, events=[100, 40], quarantined=[2, 30]), 5.0)
    assert {part.name: part.size for part in held.parts} == {"quarantined_rows": -28.0, "renamed": -5.0, "real": -27.0}
    assert (held.verdict, held.before, held.now, held.rows) == ("measurement", 100.0, 40.0, 140)


def test_forty_rows_on_either_side_are_needed() -> None:
    rows = events([0] * 40 + [1] * 39, [*range(40), *range(39)])
    assert take_apart(rows, 1) == Verdict("unknown", rows=79)


def test_a_verdict_is_unknown_where_all_and_nothing_may_be_real() -> None:
    def word(spread: float) -> str:
        parts = [Part("users", 50.0, 50.0, 50.0), Part("real", 50.0, 50.0 - spread, 50.0 + spread)]
        return _verdict(parts, 1, 0.0, DEFAULT_CAUSES)

    assert (word(50.0), word(49.0)) == ("unknown", "partly")


def test_parts_have_their_interval_on_both_sides() -> None:
    # Ten groups of six users, each 10 more off than the one before: 100 to 190.
    user = np.arange(60)
    value = [*[100.0] * 60, *(200.0 + 10 * (user % 10))]
    rows = events([0] * 60 + [1] * 60, [*user, *user], value=value)
    found = take_apart(rows, 1)
    without = np.array([(1450 - (100 + 10 * group)) / 9 for group in range(10)])
    off = 1.833 * np.sqrt(0.9 * ((without - without.mean()) ** 2).sum())
    users, real = found.parts
    assert (users.name, users.size, users.low, users.high) == ("users", *[pytest.approx(0.0)] * 3)
    assert (real.name, real.size) == ("real", pytest.approx(145.0))
    assert (real.low, real.high) == (pytest.approx(145.0 - off), pytest.approx(145.0 + off))
    assert off > 10


def test_a_mix_that_has_moved_just_so_much_is_held_and_rows_of_nobody_hide_no_user() -> None:
    side, user = [0] * 100 + [1] * 100, [*range(100), *range(100)]
    quarter = replace(DEFAULT_CAUSES, least_moved=0.25)
    for moved, wanted in ((25, ["users", "country"]), (24, ["users"])):
        assert _switches(events(side, user, country=[0] * (200 - moved) + [1] * moved), quarter) == wanted
    busy = [*range(99), -1, *[0] * 8, 1, 2, *range(10, 100)]
    assert _switches(events(side, busy), DEFAULT_CAUSES) == ["users", "rows_per_user"]


def test_rows_of_a_new_version_keep_their_weight() -> None:
    rows = events(
        [0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 0, 2], value=[10, 20, 30, 40, 500, 6000], app_version=[0, 1, 0, 0, 1, 2],
        new=[0, 0, 0, 0, 0, 1],
    )  # fmt: skip
    # Half of the weight of the old ones is each version's, as before: ¾ × (30 + 40), 1½ × 500.
    held = _levels(rows, ("app_version",), np.ones(6, bool), DEFAULT_CAUSES)
    assert held == (15.0, pytest.approx((52.5 + 750 + 6000) / 4))
    plain = EventRows(rows.is_now, rows.value, rows.user, rows.mix, rows.flags, rows.is_new_version)
    assert (plain.quantile, plain.groups.tolist()) == (None, [])
