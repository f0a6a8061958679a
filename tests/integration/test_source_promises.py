"""What is promised of a source and what came, at the limits; a whole day that is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest

from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.quality.check import Check
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.checks import sources
from quality_assets.tables.checks.run import run_check
from quality_assets.tables.checks.sources import SOURCE_CHECKS
from quality_assets.tables.ingest import IngestReport

NOW = datetime(2026, 3, 12, 9)
CHECKS = {check.name: check for check in SOURCE_CHECKS}

YAML = """
name: web
owner: web-team
description: the shop's pages
paths: [web/**]
starts_on: 2026-01-01
columns:
  event_time: ts
  feature: page
  status: state
expectations: {{{promises}}}
"""

Build = Callable[..., None]
Ingest = Callable[[WarehouseSession], IngestReport]
Ask = Callable[[str, dict[date, tuple[int, int]], str], tuple[str, str]]


@pytest.fixture
def ask(data_root: Settings, ingest_all: Ingest, build_all: Build, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What a check says of days with so many good and so many bad rows, when so much is promised."""
    monkeypatch.setattr(sources, "utc_now", lambda: NOW)

    def answer(name: str, days: dict[date, tuple[int, int]], promises: str) -> tuple[str, str]:
        (data_root.data_dir / "sources").mkdir(parents=True)
        (data_root.data_dir / "sources" / "web.yaml").write_text(YAML.format(promises=promises))
        folder = data_root.landing_dir / "web"
        folder.mkdir(parents=True)
        for day, (good, bad) in days.items():
            rows = [f"{day}T06:00:{n % 60:02d}.{n:06d}Z,search,{'ok' if n < good else 'no'}" for n in range(good + bad)]
            (folder / f"{day}.csv").write_text("\n".join(["ts,page,state", *rows]) + "\n")
        with open_warehouse(data_root) as session:
            ingest_all(session)
            build_all(session)
            (found,) = run_check(session, CHECKS[name])
        return found.status, found.description

    return answer


def days(counts: dict[int, tuple[int, int]]) -> dict[date, tuple[int, int]]:
    return {date(2026, 3, day): rows for day, rows in counts.items()}


@pytest.mark.parametrize(("rows", "status"), [(9, "failed"), (10, "passed")])
def test_fewer_rows_on_a_day_than_promised_are_told_with_the_owner(ask: Ask, rows: int, status: str) -> None:
    found = ask("rows_as_promised", days({9: (10, 0), 10: (rows, 0), 11: (10, 0)}), "min_rows_per_day: 10")
    assert found[0] == status
    if status == "failed":
        assert "1 day brought fewer rows than promised" in found[1]
        assert "web of web-team: 9 rows on 2026-03-10, at least 10 promised" in found[1]


def test_a_silent_day_brought_fewer_rows_than_promised_and_one_before_the_last_week_is_no_news(ask: Ask) -> None:
    counts = dict.fromkeys(range(1, 12), (10, 0)) | {2: (1, 0)}
    del counts[8]
    status, text = ask("rows_as_promised", days(counts), "min_rows_per_day: 10")
    assert status == "failed"
    assert "0 rows on 2026-03-08" in text
    assert "2026-03-02" not in text


@pytest.mark.parametrize(("bad", "status"), [(2, "passed"), (3, "failed")])
def test_more_refused_than_promised_is_told(ask: Ask, bad: int, status: str) -> None:
    found = ask("quarantined_as_promised", days({10: (49, 0), 11: (51 - bad, bad)}), "max_quarantined_share: 0.02")
    assert found[0] == status
    if status == "failed":
        assert "web of web-team: 0.03 of the rows refused, at most 0.02 promised" in found[1]


def test_what_is_refused_is_told_when_it_was_read_and_its_day_not_built(
    data_root: Settings, ingest_all: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "utc_now", lambda: NOW)
    (data_root.data_dir / "sources").mkdir(parents=True)
    text = YAML.format(promises="max_quarantined_share: 0.001")
    (data_root.data_dir / "sources" / "web.yaml").write_text(text)
    (data_root.landing_dir / "web").mkdir(parents=True)
    # A time that cannot be read is of no day; the share is of all rows all the same.
    rows = [f"2026-03-11T06:00:{n % 60:02d}Z,search,ok" for n in range(98)] + ["bad,search,ok"] * 2
    (data_root.landing_dir / "web" / "a.csv").write_text("\n".join(["ts,page,state", *rows]) + "\n")
    with open_warehouse(data_root) as session:
        ingest_all(session)
        (found,) = run_check(session, CHECKS["quarantined_as_promised"])
    assert found.status == "failed"
    assert "web of web-team: 0.02 of the rows refused, at most 0.001 promised" in found.description


@pytest.mark.parametrize(("most", "status"), [(27, "passed"), (26, "failed")])
def test_silence_for_longer_than_promised_is_told(ask: Ask, most: int, status: str) -> None:
    # The last event is of 06:00 on the day before: 27 hours, less the second that it came after the hour.
    found = ask("heard_as_promised", days({10: (5, 0), 11: (1, 0)}), f"max_silence_hours: {most}")
    assert found[0] == status
    if status == "failed":
        assert "web of web-team: silent for 1 day, 3:00:00, at most 26 hours promised" in found[1]


@pytest.mark.parametrize("check", [c for c in SOURCE_CHECKS if c.answer], ids=lambda check: check.name)
def test_where_nothing_is_promised_nothing_is_broken(ask: Ask, check: Check) -> None:
    assert ask(check.name, days({10: (1, 9)}), "")[0] == "passed"


def test_a_day_without_any_telemetry_between_days_with_some_is_told(ask: Ask) -> None:
    status, text = ask("no_day_missing", days(dict.fromkeys((1, 2, 4, 7), (3, 0))), "")
    assert status == "failed"
    assert "Nothing arrived of 3 days of the last four weeks: 2026-03-03; 2026-03-05; 2026-03-06" in text


@pytest.mark.parametrize(
    ("last", "status"), [(10, "passed"), (9, "passed"), (8, "failed")], ids=["yesterday", "usual gap", "stopped"]
)
def test_a_source_that_stops_while_another_goes_on_is_told(
    data_root: Settings, ingest_all: Ingest, last: int, status: str
) -> None:
    # It is usual for it to leave out one day: two silent days are not news, three are.
    for name, came in {"web": [1, 2, 3, 4, 5, 7, last], "app": range(1, 12)}.items():
        folder = data_root.landing_dir / name
        folder.mkdir(parents=True)
        for day in came:
            (folder / f"{day}.csv").write_text(f"ts,page,state\n2026-03-{day:02d}T06:00:00Z,{name},ok\n")
    (data_root.data_dir / "sources").mkdir()
    for name in ("web", "app"):
        text = YAML.format(promises="").replace("web", name)
        (data_root.data_dir / "sources" / f"{name}.yaml").write_text(text)
    with open_warehouse(data_root) as session:
        ingest_all(session)
        (found,) = run_check(session, CHECKS["sources_still_come"])
    assert found.status == status
    if status == "failed":
        assert "1 source stopped while others went on: web: nothing since 2026-03-08" in found.description


def test_a_source_that_never_came_has_broken_no_promise_of_rows(ask: Ask, data_root: Settings) -> None:
    (data_root.landing_dir / "other").mkdir(parents=True)
    (data_root.landing_dir / "other" / "a.csv").write_text(
        "event_time,feature,status\n2026-03-10T06:00:00Z,search,ok\n"
    )
    assert ask("rows_as_promised", {}, "min_rows_per_day: 10")[0] == "passed"


def test_every_day_came(ask: Ask) -> None:
    assert ask("no_day_missing", days(dict.fromkeys((1, 2, 3), (3, 0))), "")[0] == "passed"


def test_they_are_all_asked_of_the_ledger_and_hold_nothing_up() -> None:
    assert {check.subject.name for check in SOURCE_CHECKS} == {LOG_FILES.qualified_name}
    assert not any(check.is_blocking for check in SOURCE_CHECKS)
    assert timedelta(days=sources.PROMISED_DAYS) == timedelta(weeks=1)
