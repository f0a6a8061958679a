"""The past day whose inputs are recomputed: which it is, and that nothing is worked out twice of the same data."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from quality_assets.settings import Settings
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import past_inputs
from quality_assets.tables.past_inputs import differing_past_inputs, past_day

MONDAY = date(2026, 3, 2)


def _days(count: int) -> list[date]:
    return [MONDAY + timedelta(days=n) for n in range(count)]


@pytest.mark.parametrize(
    ("days", "past"),
    [
        # Seven tenths of 21 days are the 15th, a Monday; of 22 to 30 days the same one, of 31 the next.
        (_days(21), MONDAY + timedelta(days=14)),
        (_days(30), MONDAY + timedelta(days=14)),
        (_days(31), MONDAY + timedelta(days=21)),
        (_days(1), MONDAY),
        # Without that Monday the day at seven tenths.
        (_days(21)[:14] + _days(30)[15:22], MONDAY + timedelta(days=15)),
    ],
)
def test_the_past_day_is_the_same_monday_for_a_week(days: list[date], past: date) -> None:
    assert past_day(days) == past


def test_what_was_found_stands_until_something_changes(data_root: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[date] = []
    found = [(0, []), (2, ["search latency_z: 1, then 2"]), (2, ["search latency_z: 1, then 2"])]

    def differing(_: object, day: date) -> tuple[int, list[str]]:
        asked.append(day)
        return found[len(asked) - 1]

    monkeypatch.setattr(past_inputs, "differing_inputs", differing)
    with open_warehouse(data_root) as session:
        assert [differing_past_inputs(session, MONDAY) for _ in range(2)] == [(0, [])] * 2
        assert asked == [MONDAY]
        session.connection.execute(
            "insert into ml.risk_training_set (event_date, feature, has_baseline, horizon_days)"
            " values ($day, 'search', true, 7)",
            {"day": MONDAY},
        )
        # What differs is worked out until it does no more.
        assert [differing_past_inputs(session, MONDAY)[0] for _ in range(2)] == [2, 2]
    assert len(asked) == 3
