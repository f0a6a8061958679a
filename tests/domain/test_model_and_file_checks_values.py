"""Checks of models by what they are told, and of files for readers by small tables: each answer whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from math import nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.catalog import TABLES
from quality_assets.contracts.table import Column, Table
from quality_assets.contracts.watched import BATCHES, FINDINGS
from quality_assets.domain.models import leaks, training
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.quality.check import Answer
from quality_assets.stores.released import VersionUnavailableError
from quality_assets.tables.checks import learning_checks, models, publication
from quality_assets.tables.checks.learning_checks import LEARNING_CHECKS, NO_RELEASE
from quality_assets.tables.exports import Part

SESSION: Any = SimpleNamespace(settings=SimpleNamespace(models_dir="models", reports_dir=Path("nowhere")))
Patch = pytest.MonkeyPatch


def _gives(*values: Any) -> Callable[..., Any]:
    """A function that gives these one after the other, the last for ever."""
    left = list(values)
    return lambda *_: left.pop(0) if len(left) > 1 else left[0]


# --- The model of risk ------------------------------------------------------------------------------------------------

DAYS = [date(2026, 3, day) for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("days", "past", "wanted"),
    [
        ([], DAYS[0], Answer(None, why="there are no rows yet.")),
        (DAYS, DAYS[0], Answer(False, 5.0, 0.0, 5, ["p1", "p2", "p3", "l1", "l2"])),
        # Where the past day is the last one it is not looked at again.
        (DAYS, DAYS[2], Answer(False, 2.0, 0.0, 2, ["l1", "l2"])),
    ],
)
def test_inputs_of_the_last_day_and_of_a_past_one(
    monkeypatch: Patch, days: list[date], past: date, wanted: Answer
) -> None:
    asked: list[date] = []

    def differing(count: int, examples: list[str]) -> Callable[..., Any]:
        return lambda _, day: (asked.append(day), (count, examples))[1]

    monkeypatch.setattr(models, "_training_days", lambda _: days)
    monkeypatch.setattr(models, "past_day", lambda given: past if given == days else None)
    monkeypatch.setattr(models.risk_tables, "differing_last_inputs", differing(2, ["l1", "l2"]))
    monkeypatch.setattr(models, "differing_past_inputs", differing(3, ["p1", "p2", "p3"]))
    assert models.point_in_time(SESSION) == wanted
    assert asked == ([] if not days else [DAYS[2], past] if past != DAYS[2] else [DAYS[2]])


def test_inputs_that_are_as_known_then(monkeypatch: Patch) -> None:
    monkeypatch.setattr(models, "_training_days", lambda _: DAYS)
    monkeypatch.setattr(models, "past_day", lambda _: DAYS[0])
    monkeypatch.setattr(models.risk_tables, "differing_last_inputs", lambda *_: (0, []))
    monkeypatch.setattr(models, "differing_past_inputs", _gives((0, []), (1, ["p"])))
    assert models.point_in_time(SESSION) == Answer(True, 0.0, 0.0, 0, [])
    assert models.point_in_time(SESSION) == Answer(False, 1.0, 0.0, 1, ["p"])


def test_inputs_that_know_the_label(monkeypatch: Patch) -> None:
    monkeypatch.setattr(models, "read_training_set", lambda _: "rows")
    monkeypatch.setattr(leaks, "can_show_a_leak", lambda _, rows: rows != "rows")
    few = "degraded and healthy days of too few features are known to tell a leak from chance."
    assert models.no_input_knows_the_label(SESSION) == Answer(None, why=few)
    monkeypatch.setattr(leaks, "can_show_a_leak", lambda _, rows: rows == "rows")
    found = [SimpleNamespace(sentence=f"s{n}") for n in range(6)]
    monkeypatch.setattr(leaks, "suspected_leaks", _gives([], found))
    assert models.no_input_knows_the_label(SESSION) == Answer(True, 0.0, 0.0, 0, [])
    assert models.no_input_knows_the_label(SESSION) == Answer(False, 6.0, 0.0, 6, ["s0", "s1", "s2", "s3", "s4"])


@pytest.mark.parametrize(
    ("model", "version", "why", "wanted"),
    [
        ("m", "3", "", Answer(True)),
        (None, "none", "There is no model yet", Answer(None, why="There is no model yet.")),
        (None, "none", "It was made for other inputs", Answer(False, None, None, 1, ["It was made for other inputs"])),
        (None, "3", "It is gone, and not yet", Answer(False, None, None, 1, ["It is gone, and not yet"])),
    ],
)
def test_a_champion_that_loads(monkeypatch: Patch, model: Any, version: str, why: str, wanted: Answer) -> None:
    monkeypatch.setattr(models, "load_champion", lambda _: SimpleNamespace(model=model, version=version, why=why))
    assert models.model_loads(SESSION) == wanted


@pytest.mark.parametrize(
    ("positives", "lifts", "wanted", "rounds"),
    [
        (99, [9.0], Answer(None, why="99 degraded feature-days are too few to tell chance from a leak."), 0),
        (100, [1.0, 1.0, 2.0, 2.0], Answer(True, 1.5, 1.5, 0), 4),
        (499, [1.0, 1.0, 2.0, 2.25], Answer(False, 1.5625, 1.5, 1), 4),
        (500, [1.5, 9.0], Answer(True, 1.5, 1.5, 0), 1),
        (500, [1.51], Answer(False, 1.51, 1.5, 1), 1),
        (500, [nan], Answer(None, why="too few days to compare on."), 1),
    ],
)
def test_permuted_labels(monkeypatch: Patch, positives: int, lifts: list[float], wanted: Answer, rounds: int) -> None:
    asked: list[Any] = []

    def lift(_: Any, rows: Any, settings: Any) -> float:
        asked.append((settings.forest_trees, settings.seed))
        return lifts[settings.seed]

    import pandas as pd

    rows = pd.DataFrame({"label_any": [1] * positives + [0] * 900})
    monkeypatch.setattr(models, "read_training_set", lambda _: rows)
    monkeypatch.setattr(training, "permuted_label_lift", lift)
    assert models.permuted_labels_score_like_chance(SESSION) == wanted
    assert asked == [(50, seed) for seed in range(rounds)]


def test_scores_computed_again(monkeypatch: Patch) -> None:
    monkeypatch.setattr(models.risk_tables, "differing_scores", _gives((None, []), (0, []), (2, ["a", "b"])))
    nothing = Answer(None, why="there is no model, or it has scored nothing.")
    found = [models.scores_reproducible(SESSION) for _ in range(3)]
    assert found == [nothing, Answer(True, 0.0, 0.0, 0, []), Answer(False, 2.0, 0.0, 2, ["a", "b"])]


def test_days_of_the_training_set_are_each_there_once_in_order() -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute(
            "create table ml.risk_training_set as select unnest([date '2026-03-02', '2026-03-01', '2026-03-02'])"
            " as event_date"
        )
        session: Any = SimpleNamespace(connection=connection)
        assert models._training_days(session) == DAYS[:2]


# --- Models that learn from tables ------------------------------------------------------------------------------------

SALES = TABULAR["sales"] if "sales" in TABULAR else next(iter(TABULAR.values()))


def _learning(name: str) -> Callable[[Any], Answer]:
    (check,) = (c for c in LEARNING_CHECKS if c.name == name and c.subject.name.startswith(f"ml.{SALES.name}_"))
    assert check.answer is not None
    return check.answer


def _released(monkeypatch: Patch, version: str | None) -> None:
    monkeypatch.setattr(learning_checks, "release_log", lambda _: SimpleNamespace(of=lambda name: [name]))
    release = SimpleNamespace(version=version, evidence="sha") if version else None
    monkeypatch.setattr(learning_checks, "in_use", lambda log: release if log == [SALES.name] else "other")


@pytest.mark.parametrize("name", ["version_in_use_proves_itself", "beats_doing_without"])
def test_nothing_is_asked_of_a_version_that_is_not_there(monkeypatch: Patch, name: str) -> None:
    _released(monkeypatch, None)
    assert _learning(name)(SESSION) == Answer(None, why=NO_RELEASE)


def test_a_version_proves_itself(monkeypatch: Patch) -> None:
    _released(monkeypatch, "3")
    asked: list[Any] = []
    monkeypatch.setattr(learning_checks, "load_version", lambda *given: asked.append(given))
    assert _learning("version_in_use_proves_itself")(SESSION) == Answer(True)
    assert asked == [("models", SALES, "3", "sha")]

    def gone(*_: Any) -> None:
        raise VersionUnavailableError("version 3 is gone")

    monkeypatch.setattr(learning_checks, "load_version", gone)
    wanted = Answer(False, unexpected_count=1, examples=["version 3 is gone"])
    assert _learning("version_in_use_proves_itself")(SESSION) == wanted
    monkeypatch.setattr(learning_checks, "manifest", gone)
    assert _learning("beats_doing_without")(SESSION) == Answer(None, why="version 3 is gone")


@pytest.mark.parametrize(
    ("leads", "wanted"),
    [
        ({"mean": (0.5, 0.2, 0.8), "naive": (0.3, 0.001, 0.5)}, Answer(True, 0.001, 0.0, 0, [])),
        ({"mean": (0.5, 0.2, 0.8), "naive": (0.3, 0.0, 0.5)},
         Answer(False, 0.0, 0.0, 1, ["it does not beat naive beyond chance"])),
        ({"mean": (0.1, -0.2, 0.8), "naive": (0.3, -0.1, 0.5)},
         Answer(False, -0.2, 0.0, 2, ["it does not beat mean beyond chance", "it does not beat naive beyond chance"])),
        ({}, Answer(True, None, 0.0, 0, [])),
    ],
)  # fmt: skip
def test_a_version_beats_what_is_easier(monkeypatch: Patch, leads: dict[str, Any], wanted: Answer) -> None:
    _released(monkeypatch, "3")
    told = {"chosen": {"first": {"leads": leads}, "second": {"leads": {"x": (0, -9, 0)}}}}
    monkeypatch.setattr(
        learning_checks, "manifest", lambda *given: told if given == ("models", SALES.name, "3") else None
    )
    assert _learning("beats_doing_without")(SESSION) == wanted


def test_a_permuted_target_is_worth_nothing() -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute("create table ml.model_metrics (model varchar, metric varchar, value double)")
        session: Any = SimpleNamespace(connection=connection)
        ask = _learning("permuted_target_is_worthless")
        connection.execute("insert into ml.model_metrics values ('other', 'r2_permuted', 0.9)")
        connection.execute(f"insert into ml.model_metrics values ('{SALES.name}', 'r2', 0.9)")
        assert ask(session) == Answer(None, why="no version was trained yet.")
        for value in (0.05, -0.2):
            connection.execute(f"insert into ml.model_metrics values ('{SALES.name}', 'r2_permuted', {value})")
        assert ask(session) == Answer(True, 0.05, 0.05, 0)
        connection.execute(f"insert into ml.model_metrics values ('{SALES.name}', 'r2_permuted', 0.051)")
        assert ask(session) == Answer(False, 0.051, 0.05, 1)


def test_reports_are_as_they_were_written(monkeypatch: Patch, tmp_path: Path) -> None:
    session: Any = SimpleNamespace(settings=SimpleNamespace(reports_dir=tmp_path))
    ask = _learning("report_is_as_its_manifest_says")
    nothing = Answer(None, why="no report was made yet.")
    assert ask(session) == nothing
    (tmp_path / "eda" / SALES.name / ".being_made").mkdir(parents=True)
    assert ask(session) == nothing
    for name in ("b", "a"):
        (tmp_path / "eda" / SALES.name / name).mkdir()
    faults: dict[str, list[str]] = {}
    monkeypatch.setattr(learning_checks, "faults_of", lambda folder: faults.get(folder.name, []))
    assert ask(session) == Answer(True, 0.0, 0.0, 0, [])
    faults |= {"b": ["x is gone"], "a": [f"y{n} was changed" for n in range(5)]}
    named = [f"a: y{n} was changed" for n in range(5)]
    assert ask(session) == Answer(False, 6.0, 0.0, 6, named)


# --- Files for readers ------------------------------------------------------------------------------------------------

THINGS = Table(
    "product", "things", "Things.", "one row a day and name", ("event_date", "name"),
    (Column("event_date", "DATE", "d"), Column("name", "VARCHAR", "n"), Column("share", "DOUBLE", "s")),
    partition_column="event_date",
)  # fmt: skip


@pytest.fixture
def things(monkeypatch: Patch, tmp_path: Path) -> Any:
    """A snapshot with four rows of three days, and a folder for files; what was checked is noted."""
    connection = duckdb.connect()
    connection.execute("create schema product")
    connection.execute(THINGS.create_sql())
    connection.execute(
        "insert into product.things values ('2026-03-01', 'a', 0.5), ('2026-03-02', '=b', null),"
        " ('2026-03-02', 'c', 1), ('2026-03-03', null, 0.25)"
    )
    held = SimpleNamespace(
        settings=SimpleNamespace(processed_dir=tmp_path, scratch_dir=tmp_path / "scratch", reports_dir=tmp_path),
        checked=[], connection=connection, export=None, part=None,
    )  # fmt: skip
    monkeypatch.setattr(publication, "_in_force", lambda session: session)
    monkeypatch.setattr(publication, "connect", lambda session: session.connection.cursor())
    monkeypatch.setattr(publication, "open_snapshot", lambda session: session.connection.cursor())
    monkeypatch.setattr(publication, "built_days", lambda _, table: {"2026-03-01": table.name})
    monkeypatch.setattr(publication, "read_export", lambda path: held.export if path.name == "things.csv" else "other")
    monkeypatch.setattr(publication, "checked_part", lambda export, days: held.part if (export, days) == (
        held.export, {"2026-03-01": "things"}) else None)  # fmt: skip
    monkeypatch.setattr(publication, "record_checked", lambda path, export: held.checked.append((path.name, export)))
    return held


HEADER = "event_date,name,share\n"
ROWS = ["2026-03-01,a,0.5\n", "2026-03-02,'=b,\n", "2026-03-02,c,1.0\n", "2026-03-03,,0.25\n"]


def _compared(held: Any, text: str, export: str | None = None, part: Part | None = None) -> Answer:
    held.export, held.part = export, part
    held.checked.clear()
    (held.settings.processed_dir / "things.csv").write_text(text)
    return publication._rows_exported(THINGS, "things.csv")(held)


def test_a_file_has_the_rows_of_the_snapshot_in_whatever_order(things: Any) -> None:
    assert _compared(things, HEADER + "".join(ROWS[::-1])) == Answer(True, 4.0, 4.0, 0)
    assert things.checked == []
    assert _compared(things, HEADER + "".join(ROWS), "export") == Answer(True, 4.0, 4.0, 0)
    assert things.checked == [("things.csv", "export")]


def test_rows_that_are_on_one_side_alone_are_named_by_their_first_columns(things: Any) -> None:
    found = _compared(things, HEADER + "".join([*ROWS[:2], ROWS[1], "2026-03-02,c,1.5\n", ROWS[3]]), "export")
    assert (found.is_passed, found.observed, found.threshold, found.unexpected_count) == (False, 5.0, 4.0, 3)
    assert sorted(map(str, found.examples or ())) == [
        "not in the file: 2026-03-02, c, 1.0 …",
        "only in the file: 2026-03-02, '=b, None …",
        "only in the file: 2026-03-02, c, 1.5 …",
    ]
    assert things.checked == []
    many = _compared(things, HEADER)
    assert (many.observed, many.unexpected_count, len(many.examples or ())) == (0.0, 4, 4)
    many = _compared(things, HEADER + "".join(f"2026-03-09,x{n},0\n" for n in range(6)))
    assert (many.observed, many.unexpected_count, len(many.examples or ())) == (6.0, 10, 5)


def test_a_file_that_is_no_such_table_says_why(things: Any) -> None:
    found = _compared(things, HEADER + "2026-03-01,a,much\n", "export")
    assert (found.is_passed, found.observed, found.threshold, found.unexpected_count) == (False, None, 4.0, 1)
    assert "much" in found.why
    assert things.checked == []


def test_what_was_checked_before_is_counted_and_not_looked_at(things: Any) -> None:
    start = HEADER + "what was checked\n" * 2
    part = Part("2026-03-01", len(start), 1)
    assert _compared(things, start + "".join(ROWS[1:]), "export", part) == Answer(True, 4.0, 4.0, 0)
    assert things.checked == [("things.csv", "export")]
    assert not list(things.settings.scratch_dir.iterdir())
    # As many rows were checked as there are now, or those that are missing are told.
    more = Part("2026-03-01", len(start), 3)
    assert _compared(things, start + "".join(ROWS[1:]), "export", more) == Answer(False, 6.0, 4.0, 2)
    assert things.checked == []
    found = _compared(things, start + "".join(ROWS[1:3]), "export", part)
    assert (found.is_passed, found.observed, found.threshold, found.unexpected_count) == (False, 3.0, 4.0, 1)
    assert found.examples == ["not in the file: 2026-03-03, None, 0.25 …"]
    broken = publication._with_known(Answer(False, None, 3.0, 1, why="w"), 2, 2.0)
    assert broken == Answer(False, None, 5.0, 1, why="w")
    assert publication._with_known(Answer(True), 1, 4.0) == Answer(False, None, None, 3)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("event_date,name,share", Answer(True, 0.0, 0.0, 0, [])),
        ("event_date,name", Answer(False, 1.0, 0.0, 1, ["share"])),
        ("event_date,name,share,x,y", Answer(False, 2.0, 0.0, 2, ["x", "y"])),
        ("name,event_date,share", Answer(False, 1.0, 0.0, 1, ["the order is name, event_date, share"])),
        ("", Answer(False, 3.0, 0.0, 3, ["event_date", "name", "share"])),
        ("a,b,c,event_date,d,e,f", Answer(False, 8.0, 0.0, 8, ["a", "b", "c", "d", "e"])),
    ],
)
def test_columns_of_a_file(things: Any, header: str, wanted: Answer) -> None:
    (things.settings.processed_dir / "things.csv").write_text(header + "\n" if header else "")
    assert publication._columns_exported(THINGS, "things.csv")(things) == wanted


def test_a_report_shows_the_snapshot_and_is_json(things: Any) -> None:
    shows = publication._shows_snapshot("r.json", lambda connection: json.dumps(
        connection.execute("select count(*) from product.things").fetchall()))  # fmt: skip
    is_json = publication._is_json("r.json")
    for text, same, valid in (("[[4]]", True, True), ("[[4]] ", False, True), ("[NaN]", False, False)):
        (things.settings.reports_dir / "r.json").write_text(text)
        assert shows(things) == Answer(same, float(len(text)), 5.0, 0 if same else 1)
        told = Answer(True, unexpected_count=0) if valid else Answer(False, unexpected_count=1, why="NaN is not JSON")
        assert is_json(things) == told
    (things.settings.reports_dir / "r.json").write_text("{")
    assert (is_json(things).is_passed, is_json(things).unexpected_count) == (False, 1)


def test_what_is_asked_of_each_file() -> None:
    asked = [(c.subject.name.removeprefix("publish."), c.name, c.dimension) for c in publication.PUBLICATION_CHECKS]
    exports = [(f"{name}_csv", *each) for name in ("feature_metrics", "feature_daily_trends")
               for each in (("columns_exported", "validity"), ("rows_exported", "consistency"))]  # fmt: skip
    shows, is_json = ("shows_snapshot", "consistency"), ("is_json", "validity")
    assert asked == [
        ("published_snapshot", "snapshot_opens", "validity"), ("published_snapshot", "shows_the_data", "consistency"),
        ("published_snapshot", "rows_complete", "completeness"), *exports,
        ("metrics_json", *shows), ("metrics_json", *is_json), ("feature_importance_csv", *shows),
        ("baseline_stats_json", *shows), ("baseline_stats_json", *is_json),
        ("data_drift_json", *shows), ("data_drift_json", *is_json), ("drift_html", *shows),
    ]  # fmt: skip


# --- The snapshot -----------------------------------------------------------------------------------------------------

OTHER = Table("product", "other", "Others.", "one row", ("a",), (Column("a", "VARCHAR", "a"),))


def test_every_table_of_a_snapshot_is_read(things: Any, monkeypatch: Patch) -> None:
    monkeypatch.setattr(publication, "TABLES", (THINGS, OTHER))
    found = publication.snapshot_opens(things)
    assert (found.is_passed, found.observed, found.unexpected_count) == (False, 1.0, 1)
    assert str((found.examples or ("",))[0]).startswith("product.other: Catalog Error: Table with name other")
    things.connection.execute(OTHER.create_sql())
    assert publication.snapshot_opens(things) == Answer(True, 0.0, 0.0, 0, [])

    def closed(_: Any) -> Any:
        raise duckdb.IOException("it is gone")

    monkeypatch.setattr(publication, "open_snapshot", closed)
    assert publication.snapshot_opens(things) == Answer(False, unexpected_count=1, why="it is gone")


def test_where_nothing_is_published_nothing_opens(monkeypatch: Patch) -> None:
    monkeypatch.setattr(publication, "current_snapshot", lambda folder: None if folder == "here" else "one")
    session: Any = SimpleNamespace(settings=SimpleNamespace(published_dir="here"))
    wanted = Answer(False, unexpected_count=1, why="there is no published snapshot")
    assert publication.snapshot_opens(session) == wanted
    session.settings.published_dir = "there"
    assert publication._in_force(session) == "one"


@pytest.mark.parametrize(
    ("pointer", "within", "wanted"),
    [
        ("w", "w", Answer(True, 0.0, 0.0, 0, [])),
        ("x", "w", Answer(False, 1.0, 0.0, 1, ["CURRENT has x, the warehouse w"])),
        ("w", "y", Answer(False, 1.0, 0.0, 1, ["the snapshot has y, the warehouse w"])),
        ("x", "x", Answer(False, 2.0, 0.0, 2,
                          ["CURRENT has x, the warehouse w", "the snapshot has x, the warehouse w"])),
    ],
)  # fmt: skip
def test_pointer_snapshot_and_warehouse_name_the_same_data(
    monkeypatch: Patch, pointer: str, within: str, wanted: Answer
) -> None:
    live, shown = duckdb.connect(), duckdb.connect()
    monkeypatch.setattr(publication, "_in_force", lambda _: SimpleNamespace(data_fingerprint=pointer))
    monkeypatch.setattr(publication, "connect", lambda _: shown)
    monkeypatch.setattr(publication, "published_fingerprint", lambda each: "w" if each is live else within)
    session: Any = SimpleNamespace(connection=live)
    assert publication.shows_the_data(session) == wanted
    live.close()


def test_rows_of_each_table_are_counted_on_both_sides(things: Any, monkeypatch: Patch) -> None:
    monkeypatch.setattr(publication, "_SHOWN", (THINGS, OTHER))
    monkeypatch.setattr(publication, "LAKE_TABLES", (OTHER,))
    things.folder = "folder"
    shown = duckdb.connect()
    shown.execute("create schema product")
    shown.execute(THINGS.create_sql())
    monkeypatch.setattr(publication, "connect", lambda _: shown.cursor())
    for lake, wanted in (
        ((2000, 2000), Answer(False, 2000.0, 2004.0, 1, ["product.things: 0 instead of 4 rows"])),
        ((1999, 2000), Answer(False, 1999.0, 2004.0, 2,
                              ["product.things: 0 instead of 4 rows", "product.other: 1,999 instead of 2,000 rows"])),
    ):  # fmt: skip
        monkeypatch.setattr(publication, "_lake_rows", lambda s, table, folder, lake=lake: (
            lake if (table, folder) == (OTHER, "folder") else None))  # fmt: skip
        assert publication.rows_complete(things) == wanted
    shown.execute("insert into product.things select '2026-03-01', 'a', 0 from range(4)")
    monkeypatch.setattr(publication, "_lake_rows", lambda *_: (7, 7))
    assert publication.rows_complete(things) == Answer(True, 11.0, 11.0, 0, [])
    shown.close()


def test_a_lake_file_that_is_one_and_the_same_is_not_counted_again(tmp_path: Path) -> None:
    table = Table("core", "days", "Days.", "one row", ("a",), (Column("a", "BIGINT", "a"),), store="lake")
    data, folder = tmp_path / "data", tmp_path / "v1"
    names = [f"lake/days/event_date=2026-03-0{day}/{day}.parquet" for day in (1, 2, 3, 4)]
    with duckdb.connect() as connection:
        for root in (data, folder):
            for name in names:
                (root / name).parent.mkdir(parents=True)
        for name, n in zip(names[:3], (5, 6, 7), strict=True):
            connection.execute(f"copy (select i as a from range({n}) r(i)) to '{data / name}' (format parquet)")
        # The first is the lake's own, of which the log says more rows; the second was changed, the third is not there.
        (folder / names[0]).hardlink_to(data / names[0])
        connection.execute(f"copy (select i as a from range(2) r(i)) to '{folder / names[1]}' (format parquet)")
        # The fourth is of no day that the lake has any more, and is shown all the same.
        connection.execute(f"copy (select i as a from range(4) r(i)) to '{folder / names[3]}' (format parquet)")
        files = [SimpleNamespace(path=name, row_count=n) for name, n in zip(names[:3], (50, 60, 70), strict=True)]
        session: Any = SimpleNamespace(
            connection=connection, lake=SimpleNamespace(files=lambda each: files if each is table else []),
            settings=SimpleNamespace(data_dir=data),
        )  # fmt: skip
        assert publication._lake_rows(session, table, folder) == (50 + 2 + 4, 180)


def test_rows_are_counted_of_all_that_is_not_written_on() -> None:
    left = {table.qualified_name for table in TABLES} - {table.qualified_name for table in publication._SHOWN}
    assert {name for name in left if not name.startswith("ops.")} == {
        "monitoring.check_results", "monitoring.alerts", "monitoring.alert_history",
        BATCHES.qualified_name, FINDINGS.qualified_name,
    }  # fmt: skip
    assert {name for name in left if name.startswith("ops.")} == {
        table.qualified_name for table in TABLES if table.schema == "ops"
    }
