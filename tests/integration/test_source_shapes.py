"""A column that empties, and names that multiply: told where they are, and not where they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from quality_assets.domain.events.texts import MIN_ALIKE_NAMES
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.checks.run import run_check
from quality_assets.tables.checks.source_shapes import MIN_NEW_NAMES, MIN_ROWS, SHAPE_CHECKS
from quality_assets.tables.ingest import IngestReport

CHECKS = {check.name: check for check in SHAPE_CHECKS}
HEADER = "event_id,event_time,feature,status,platform"
Ingest = Callable[[WarehouseSession], IngestReport]
Ask = Callable[[str, dict[int, Iterable[tuple[str, str]]]], tuple[str, str]]


@pytest.fixture
def ask(data_root: Settings, ingest_all: Ingest) -> Ask:
    """What a check says of rows of feature and platform by day of March."""

    def answer(name: str, rows: dict[int, Iterable[tuple[str, str]]]) -> tuple[str, str]:
        data_root.landing_dir.mkdir(parents=True)
        for day, pairs in rows.items():
            lines = [
                f"{day}-{n},2026-03-{day:02d}T06:{n // 60 % 60:02d}:{n % 60:02d}Z,{feature},ok,{platform}"
                for n, (feature, platform) in enumerate(pairs)
            ]
            (data_root.landing_dir / f"{day:02d}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
        with open_warehouse(data_root) as session:
            ingest_all(session)
            (found,) = run_check(session, CHECKS[name])
        return found.status, found.description

    return answer


def _filled(filled: int, rows: int = 100) -> list[tuple[str, str]]:
    return [("search", "ios" if n < filled else "") for n in range(rows)]


@pytest.mark.parametrize(("filled", "status"), [(4, "passed"), (3, "failed")])
def test_a_column_has_emptied_below_a_tenth_of_its_usual_share(ask: Ask, filled: int, status: str) -> None:
    found = ask("columns_stay_filled", dict.fromkeys((1, 2, 3), _filled(40)) | {4: _filled(filled)})
    assert found[0] == status
    if status == "failed":
        assert "1 column emptied" in found[1]
        assert "platform is filled in 3.0 % of the rows of 2026-03-04, usually in 40 %" in found[1]


@pytest.mark.parametrize(
    "days",
    [
        dict.fromkeys((1, 2, 3), _filled(19)) | {4: _filled(0)},
        dict.fromkeys((1, 2), _filled(40)) | {3: _filled(0)},
        dict.fromkeys((1, 2, 3), _filled(40)) | {4: _filled(0, MIN_ROWS - 1)},
        dict.fromkeys((1, 2, 3), _filled(0)) | {4: _filled(0)},
    ],
    ids=["rarely filled", "two days of past", "too few rows", "never filled"],
)
def test_what_was_never_usual_or_says_little_has_not_emptied(ask: Ask, days: dict[int, list[tuple[str, str]]]) -> None:
    assert ask("columns_stay_filled", days)[0] == "passed"


@pytest.mark.parametrize(("names", "status"), [(MIN_ALIKE_NAMES - 1, "passed"), (MIN_ALIKE_NAMES, "failed")])
def test_names_that_differ_in_a_number_alone_are_told(ask: Ask, names: int, status: str) -> None:
    found = ask("feature_names_are_few", {1: [(f"order {n}", "ios") for n in range(names)]})
    assert found[0] == status
    if status == "failed":
        assert f"{names} features differ in a number alone, such as order #" in found[1]


def test_names_that_hold_a_uuid_are_told(ask: Ask) -> None:
    names = [(f"cart/{n:08x}-aaaa-4bbb-8ccc-0123456789ab", "ios") for n in range(MIN_ALIKE_NAMES)]
    assert "such as cart/#" in ask("feature_names_are_few", {1: names})[1]


def _letters(count: int) -> list[tuple[str, str]]:
    return [(f"{chr(97 + n // 26)}{chr(97 + n % 26)}", "ios") for n in range(count)]


@pytest.mark.parametrize(
    ("before", "new", "status"),
    [
        (5, MIN_NEW_NAMES, "failed"),
        (5, MIN_NEW_NAMES - 1, "passed"),
        (10, MIN_NEW_NAMES, "passed"),
        (0, 60, "passed"),
    ],
)
def test_many_times_the_names_there_were_are_told(ask: Ask, before: int, new: int, status: str) -> None:
    rows = _letters(before + new)
    found = ask("feature_names_are_few", {1: rows[:before], 2: rows} if before else {2: rows})
    assert found[0] == status
    if status == "failed":
        assert f"{new} features appeared on 2026-03-02, and there were {before}" in found[1]
