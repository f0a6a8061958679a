"""What fails to be built: kept with since when and why, until the same dates are built."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from quality_assets.stores.failures import FAILURES, failures, record_failure, record_success

NOON, LATER = datetime(2026, 3, 1, 12), datetime(2026, 3, 1, 13)


def _day(number: int) -> date:
    return date(2026, 1, number)


def _fail(folder: Path, asset: str, first: int | None, last: int | None, at: datetime = NOON) -> None:
    dates = None if first is None or last is None else (_day(first), _day(last))
    record_failure(folder, asset, dates, run_id=f"run-{at:%H}", cause="disk on fire", failed_at=at)


def _standing(folder: Path) -> list[tuple[str, str]]:
    return [(failure.asset, failure.dates) for failure in failures(folder)]


def test_a_failure_says_what_which_dates_since_when_and_why(tmp_path: Path) -> None:
    assert failures(tmp_path / "absent") == []
    _fail(tmp_path, "core.valid_events", 1, 9)
    (failure,) = failures(tmp_path)
    assert failure.sentence == (
        "core.valid_events for 2026-01-01 to 2026-01-09 has failed since 2026-03-01 12:00 UTC: disk on fire"
    )
    _fail(tmp_path, "core.valid_events", 1, 9, LATER)
    (failure,) = failures(tmp_path)
    assert (failure.since, failure.failed_at, failure.run_id) == (NOON, LATER, "run-13")


def test_what_is_built_does_not_fail_any_more_and_the_rest_does(tmp_path: Path) -> None:
    _fail(tmp_path, "core.valid_events", 1, 9)
    _fail(tmp_path, "product.incidents", None, None)
    record_success(tmp_path, "core.valid_events", (_day(4), _day(5)))
    wanted = [("core.valid_events", "2026-01-01 to 2026-01-03"), ("core.valid_events", "2026-01-06 to 2026-01-09")]
    assert _standing(tmp_path) == [*wanted, ("product.incidents", "")]
    record_success(tmp_path, "core.valid_events", (_day(1), _day(8)))
    assert _standing(tmp_path) == [("core.valid_events", "2026-01-09"), ("product.incidents", "")]
    record_success(tmp_path, "product.incidents", None)
    record_success(tmp_path, "core.valid_events", (_day(9), _day(9)))
    assert failures(tmp_path) == []


def test_a_file_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / FAILURES).write_text("{half")
    assert failures(tmp_path) == []
    _fail(tmp_path, "product.incidents", None, None)
    assert _standing(tmp_path) == [("product.incidents", "")]
