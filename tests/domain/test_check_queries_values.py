"""What checks of sources ask of a few rows of the ledger and of raw logs, at the edges of days, shares and counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS
from quality_assets.contracts.live import COLLECTED_BATCHES, LIVE_RECONCILIATION, ONLINE_FEATURE_SKEW
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import Source
from quality_assets.contracts.table import Column, Table
from quality_assets.domain.quality.check import Answer
from quality_assets.tables.checks import sources
from quality_assets.tables.checks.collected import COLLECTED_CHECKS
from quality_assets.tables.checks.run import run_check
from quality_assets.tables.checks.source_shapes import SHAPE_CHECKS
from quality_assets.tables.checks.sources import (
    SOURCE_CHECKS,
    heard_as_promised,
    quarantined_as_promised,
    rows_as_promised,
)

TABLES = (LOG_FILES, RAW_LOGS, QUARANTINED_EVENTS, COLLECTED_BATCHES, LIVE_RECONCILIATION, ONLINE_FEATURE_SKEW)
LAST = date(2026, 3, 20)
NOW = datetime(2026, 3, 21, 9)
_EMPTY = {"VARCHAR": "", "BOOLEAN": False, "DATE": LAST, "TIMESTAMP": datetime(1999, 1, 1)}


def _cell(column: Column) -> Any:
    return None if column.nullable else [] if column.type.endswith("[]") else _EMPTY.get(column.type, 0)


class House:
    """A few tables in memory, as an open warehouse has them."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.settings = SimpleNamespace(source_folders=())
        self.numbers = 0
        for schema in sorted({table.schema for table in TABLES}):
            self.connection.execute(f"create schema {schema}")
        for table in TABLES:
            self.connection.execute(table.create_sql())

    def add(self, table: Table, **cells: Any) -> None:
        values = [cells.get(column.name, _cell(column)) for column in table.columns]
        marks = ", ".join("?" * len(values))
        self.connection.execute(f"insert into {table.qualified_name} values ({marks})", values)

    def file(self, source: str, file_id: str, last: datetime, **cells: Any) -> None:
        """A file that was loaded, whose events are of the days up to its last event."""
        self.numbers += 1
        known = {
            "file_id": file_id, "file_number": self.numbers, "status": "loaded", "source": source,
            "first_event_time": last, "last_event_time": last, "touched_dates": [last.date()],
            "last_day_ends_at": datetime.combine(last.date() + timedelta(days=1), datetime.min.time()),
        }  # fmt: skip
        self.add(LOG_FILES, **(known | cells))

    def rows(self, file_id: str, day: date, n: int, table: Table = RAW_LOGS, **cells: str) -> None:
        """So many rows of a day; cells are SQL over `i`, their number from 0."""
        known = {"event_date": f"date '{day}'", "file_id": f"'{file_id}'", "line_number": "i + 2"} | cells
        if table is QUARANTINED_EVENTS:
            known |= {"reasons": "['x']", "raw_row": "'{}'"}
        made = ", ".join(f"{sql} as {name}" for name, sql in known.items())
        self.connection.execute(f"insert into {table.qualified_name} by name select {made} from range({n}) as r(i)")


@pytest.fixture
def house() -> Iterator[Any]:
    made = House()
    yield made
    made.connection.close()


def ago(days: int) -> date:
    return LAST - timedelta(days=days)


def at(days: int, hour: int = 6) -> datetime:
    return datetime.combine(ago(days), datetime.min.time()) + timedelta(hours=hour)


def _ask(house: Any, name: str) -> tuple[str, float | None, int | None, str | None]:
    (check,) = (each for each in (*SOURCE_CHECKS, *SHAPE_CHECKS, *COLLECTED_CHECKS) if each.name == name)
    (found,) = run_check(house, check)
    assert found.threshold == 0.0
    return found.status, found.observed, found.unexpected_count, found.examples


PASSED = ("passed", 0.0, 0, None)


# --- What is promised -------------------------------------------------------------------------------------------------


def _promise(monkeypatch: pytest.MonkeyPatch, *names: str, **promised: float) -> None:
    columns = {"event_time": "t", "feature": "f", "status": "s"}
    basis = {"owner": "ann", "description": "d", "starts_on": "2020-01-01", "columns": columns}
    made = [Source.model_validate(basis | {"name": name, "expectations": promised}) for name in names]
    monkeypatch.setattr(sources, "load_sources", lambda _: made)
    monkeypatch.setattr(sources, "utc_now", lambda: NOW)


def test_rows_of_each_of_the_last_seven_days_that_are_over(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _promise(monkeypatch, "web", "app", min_rows_per_day=1000)
    house.file("web", "w", at(0), first_event_time=at(20))
    house.file("app", "a", at(-1), first_event_time=at(3))
    house.file("web", "refused", at(0), status="rejected")
    for days, n in {7: 1, 6: 999, 5: 1000, 3: 1001, 2: 1000, 1: 1000, 0: 1000, -1: 1}.items():
        house.rows("w", ago(days), n)
    house.rows("refused", ago(4), 5000)
    # App's own today is not over yet; of the days before it did not come.
    for days in (3, 2, 1, 0):
        house.rows("a", ago(days), 1000)
    assert rows_as_promised(house) == Answer(
        False, 2.0, 0.0, 2,
        ["web of ann: 999 rows on 2026-03-14, at least 1,000 promised",
         "web of ann: 0 rows on 2026-03-16, at least 1,000 promised"],
    )  # fmt: skip
    _promise(monkeypatch, "web", min_rows_per_day=0)
    assert rows_as_promised(house) == Answer(True, 0.0, 0.0, 0, [])


def test_no_day_after_the_newest_of_all_is_asked_for(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _promise(monkeypatch, "web", min_rows_per_day=10)
    house.file("web", "w", at(2), first_event_time=at(9))
    house.rows("w", ago(3), 10)
    found = rows_as_promised(house)
    # Six silent days of the seven up to the 18th; the first five are named.
    assert (found.observed, found.unexpected_count) == (6.0, 6)
    assert [text[14:32] for text in found.examples or ()] == [f"rows on 2026-03-{n}" for n in (12, 13, 14, 15, 16)]
    house.file("app", "a", at(1, 23))
    assert rows_as_promised(house).observed == 6.0
    assert "2026-03-12" not in str(rows_as_promised(house).examples)


def test_the_share_refused_is_of_the_rows_of_the_last_seven_days(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house.file("web", "w", at(0))
    house.file("app", "a", at(9))
    house.rows("w", ago(7), 500, reasons="['x']")
    house.rows("w", ago(6), 50, reasons="case when i < 3 then ['x'] when i < 9 then []::varchar[] end")
    house.rows("w", ago(0), 50)
    house.rows("a", ago(0), 900, reasons="['x']")
    house.rows("gone", ago(0), 900, reasons="['x']")
    _promise(monkeypatch, "web", max_quarantined_share=0.03)
    assert quarantined_as_promised(house) == Answer(True, 0.0, 0.0, 0, [])
    _promise(monkeypatch, "web", max_quarantined_share=0.0299)
    told = "web of ann: 0.03 of the rows refused, at most 0.0299 promised"
    assert quarantined_as_promised(house) == Answer(False, 1.0, 0.0, 1, [told])
    # What became a copy of another load's is known once its day is built.
    house.rows("w", ago(7), 900, QUARANTINED_EVENTS)
    house.rows("w", ago(6), 4, QUARANTINED_EVENTS)
    assert quarantined_as_promised(house).examples == [told.replace("0.03 of", "0.04 of")]
    _promise(monkeypatch, "new", max_quarantined_share=0.0)
    assert quarantined_as_promised(house) == Answer(True, 0.0, 0.0, 0, [])


def test_hours_of_silence(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house.file("web", "w1", at(3))
    house.file("web", "w2", at(0, 7))
    house.file("web", "later", at(-1, 8), status="rejected")
    house.file("app", "a", at(-1, 8))
    _promise(monkeypatch, "web", max_silence_hours=26)
    assert heard_as_promised(house) == Answer(True, 0.0, 0.0, 0, [])
    _promise(monkeypatch, "web", "new", max_silence_hours=25.5)
    told = "web of ann: silent for 1 day, 2:00:00, at most 25.5 hours promised"
    assert heard_as_promised(house) == Answer(False, 1.0, 0.0, 1, [told])


def test_what_each_promise_is_about() -> None:
    assert {check.name: (check.dimension, check.severity, check.unit) for check in SOURCE_CHECKS} == {
        "rows_as_promised": ("volume", "WARN", "day"),
        "quarantined_as_promised": ("validity", "WARN", "source"),
        "heard_as_promised": ("timeliness", "WARN", "source"),
        "sources_still_come": ("timeliness", "WARN", "source"),
        "no_day_missing": ("completeness", "WARN", "day"),
    }


# --- Whether they go on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "told"),
    [
        # Three days of silence after gaps of two at most; then gaps of three.
        ((10, 9, 8, 7, 5, 4, 3), "web: nothing since 2026-03-17"),
        ((11, 9, 8, 7, 6, 5, 3, 2), None),
        ((12, 9, 8, 7, 5, 4, 3), None),
        # Six days are too few to have a rhythm.
        ((10, 9, 8, 7, 5, 3), None),
        # A gap of the last eight weeks counts, an older one does not.
        ((71, *range(55, 9, -1)), None),
        ((71, *range(56, 9, -1)), "web: nothing since 2026-03-10"),
        ((70, 56, 55, 54, 53, 52, 51, 50), "web: nothing since 2026-01-29"),
    ],
)
def test_a_source_stops_when_it_is_silent_for_longer_than_ever(
    house: Any, came: tuple[int, ...], told: str | None
) -> None:
    house.file("app", "a", at(0), touched_dates=[ago(days) for days in range(30)])
    house.file("web", "old", at(0), status="superseded", touched_dates=[ago(0)])
    for days in came:
        house.file("web", f"w{days}", at(days), touched_dates=[ago(days)])
    assert _ask(house, "sources_still_come") == (("failed", 1.0, 1, f'["{told}"]') if told else PASSED)


def test_days_of_the_last_four_weeks_that_are_missing(house: Any) -> None:
    assert _ask(house, "no_day_missing") == PASSED
    for days in range(40):
        if days not in (1, 28, 29, 30):
            house.rows("w", ago(days), 2)
    assert _ask(house, "no_day_missing") == ("failed", 2.0, 2, '["2026-02-20","2026-03-19"]')
    house.connection.execute(f"delete from raw.raw_logs where event_date < '{ago(5)}' or event_date = '{ago(3)}'")
    assert _ask(house, "no_day_missing") == ("failed", 2.0, 2, '["2026-03-17","2026-03-19"]')
    house.rows("w", ago(60), 1)
    status, observed, _, examples = _ask(house, "no_day_missing")
    assert (status, observed) == ("failed", 25.0)
    assert examples == str([f"2026-02-{day}" for day in range(20, 25)]).replace("'", '"').replace(" ", "")


# --- What changes shape -----------------------------------------------------------------------------------------------


def _filled(house: Any, file_id: str, days: int, filled: int, n: int = 100, **cells: str) -> None:
    known = {"feature": "'f'", "platform": f"case when i < {filled} then 'ios' end"}
    house.rows(file_id, ago(days), n, **(known | cells))


@pytest.mark.parametrize(
    ("past", "now", "told"),
    [
        ({1: 30, 2: 40, 3: 50}, (39, 1000), "3.9 % of the rows of 2026-03-20, usually in 40 %"),
        ({1: 30, 2: 40, 3: 50}, (40, 1000), None),
        ({1: 20, 2: 20, 3: 20}, (0, 50), "0.0 % of the rows of 2026-03-20, usually in 20 %"),
        ({1: 19, 2: 19, 3: 19}, (0, 50), None),
        ({1: 40, 2: 40, 3: 40}, (0, 49), None),
        ({1: 40, 2: 40}, (0, 100), None),
        ({1: 40, 2: 40, 14: 90}, (0, 100), "0.0 % of the rows of 2026-03-20, usually in 40 %"),
        ({1: 40, 2: 40, 15: 90}, (0, 100), None),
    ],
)
def test_a_column_empties_at_these_shares(
    house: Any, past: dict[int, int], now: tuple[int, int], told: str | None
) -> None:
    house.file("web", "w", at(0))
    house.file("gone", "g", at(0), status="waiting")
    for days, filled in past.items():
        _filled(house, "w", days, filled)
        # Neither what was refused nor what is not loaded says how a column is filled.
        _filled(house, "w", days, 900, 900, reasons="['x']")
        _filled(house, "g", days, 900, 900)
    _filled(house, "w", 0, *now)
    wanted = ("failed", 1.0, 1, f'["web: platform is filled in {told}"]') if told else PASSED
    assert _ask(house, "columns_stay_filled") == wanted


def test_each_source_is_asked_on_its_own_last_day(house: Any) -> None:
    house.file("web", "w", at(0))
    house.file("app", "a", at(4))
    for days in (4, 5, 6, 7):
        _filled(house, "a", days, 0 if days == 4 else 50)
        _filled(house, "w", days, 50)
    _filled(house, "w", 0, 50)
    # What an event of another day says of the source is news of no day of its.
    _filled(house, "a", 0, 100)
    assert _ask(house, "columns_stay_filled") == (
        "failed", 1.0, 1, '["app: platform is filled in 0.0 % of the rows of 2026-03-16, usually in 50 %"]',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "n", "told"),
    [
        ("'order ' || i", 30, "web: 30 features differ in a number alone, such as order #"),
        ("'order ' || i", 29, None),
        ("'a/' || printf('%08x', i) || '-0000-beef'", 30, "such as a/#"),
        ("'x' || translate(printf('%08d', i), '0123456789', 'abcdefabcd') || 'z'", 60, None),
        ("case when i < 29 then 'n' || i end", 60, None),
        ("repeat('q', i + 1)", 40, None),
    ],
)
def test_names_that_hold_an_id(house: Any, name: str, n: int, told: str | None) -> None:
    house.file("web", "w", at(0))
    house.rows("w", ago(0), n, feature=name)
    house.rows("w", ago(0), 100, feature="'refused ' || i", reasons="['x']")
    status, observed, _, examples = _ask(house, "feature_names_are_few")
    if name.startswith("'x'"):
        # Eight hexadecimal letters are as good as a number.
        assert (status, "such as x#z" in (examples or "")) == ("failed", True)
        return
    assert (status, observed) == (("failed", 1.0) if told else ("passed", 0.0))
    assert (examples is None) if told is None else (told in (examples or ""))


@pytest.mark.parametrize(
    ("old", "new", "told"), [(9, 20, True), (9, 19, False), (10, 20, False), (10, 21, True), (0, 60, False)]
)
def test_many_more_names_than_there_were(house: Any, old: int, new: int, told: bool) -> None:
    house.file("web", "w", at(0))
    names = "repeat(chr(97 + cast(i % 26 as integer)), 1 + cast(i // 26 as integer))"
    house.rows("w", ago(3), old, feature=names)
    house.rows("w", ago(0), old + new, feature=names)
    # Names that are ids are told as such, and are not among the new ones.
    house.rows("w", ago(0), 35, feature="'id ' || i")
    ids = "web: 35 features differ in a number alone, such as id #"
    many = f"web: {new} features appeared on 2026-03-20, and there were {old}"
    found = _ask(house, "feature_names_are_few")
    assert found == ("failed", 1.0 + told, 1 + told, f'["{many}","{ids}"]' if told and many < ids else
                     f'["{ids}","{many}"]' if told else f'["{ids}"]')  # fmt: skip


# --- What the collector landed ----------------------------------------------------------------------------------------


def test_what_was_accepted_and_not_read(house: Any) -> None:
    def batch(days: int, name: str, accepted: int, read: int | None, refused: int, file_id: str | None = "f") -> None:
        house.add(
            COLLECTED_BATCHES, event_date=ago(days), name=name, accepted=accepted, rows_read=read,
            rows_refused=refused, file_id=file_id, landed_at=NOW,
        )  # fmt: skip

    for name, read, refused in (("whole", 5, 0), ("b", 4, 0), ("a", 6, 0), ("refused", 5, 1)):
        batch(0, name, 5, read, refused)
    batch(1, "z", 5, 0, 5)
    batch(1, "waits", 5, None, 0, None)
    assert _ask(house, "all_that_was_accepted_is_read") == (
        "failed", 4.0, 4,
        '["2026-03-19: z has 5 events, 0 were read and 5 refused","2026-03-20: a has 5 events, 6 were read and 0'
        ' refused","2026-03-20: b has 5 events, 4 were read and 0 refused","2026-03-20: refused has 5 events, 5 were'
        ' read and 1 refused"]',
    )  # fmt: skip


def test_days_and_features_that_differ(house: Any) -> None:
    for days, state, live in ((0, "differs", None), (1, "differs", 8), (2, "balanced", 9)):
        house.add(
            LIVE_RECONCILIATION, event_date=ago(days), accepted=9, valid=7, duplicates=1, refused=1, state=state,
            live_events=live,
        )  # fmt: skip
    assert _ask(house, "live_is_what_facts_say") == (
        "failed", 2.0, 2,
        '["2026-03-19: 9 accepted, 7 valid, 1 copies, 1 refused, 8 shown live",'
        '"2026-03-20: 9 accepted, 7 valid, 1 copies, 1 refused, 0 shown live"]',
    )  # fmt: skip
    for feature, version, different in (("b", 1, 1), ("a", 2, 3), ("a", 1, 1), ("c", 1, 0)):
        house.add(ONLINE_FEATURE_SKEW, feature=feature, version=version, different=different, example="1 was served")
    assert _ask(house, "served_is_what_is_computed") == (
        "failed", 3.0, 3,
        '["a version 1: 1 was served","a version 2: 1 was served","b version 1: 1 was served"]',
    )  # fmt: skip
