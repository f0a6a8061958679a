"""feature_metadata.csv: what it becomes, and what is said of a mistake in it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from quality_assets.contracts.product import DIM_FEATURE_METADATA
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.domain.features.descriptions import (
    FeatureDescriptionsError,
    read_feature_descriptions,
    with_seen_dates,
)
from quality_assets.settings import REPOSITORY_ROOT

SEEN = ["feature", "first_seen_date", "last_seen_date"]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "feature_metadata.csv"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def stored(frame: pd.DataFrame, table: str = FEATURE_DESCRIPTIONS.name) -> list[tuple[object, ...]]:
    """The rows as the warehouse would hold them."""
    contract = {t.name: t for t in (FEATURE_DESCRIPTIONS, DIM_FEATURE_METADATA)}[table]
    with duckdb.connect() as connection:
        connection.execute(f"create schema {contract.schema}")
        connection.execute(contract.create_sql())
        connection.register("frame", frame)
        connection.execute(f"insert into {contract.qualified_name} by name from frame")
        return connection.execute(f"from {contract.qualified_name} order by feature").fetchall()


def test_the_shipped_file_describes_features_within_the_contract() -> None:
    frame = read_feature_descriptions(REPOSITORY_ROOT / "data" / "feature_metadata.csv")
    rows = stored(frame)
    assert len(rows) == len(frame) > 0
    assert all(row[0] for row in rows)


def test_an_absent_file_gives_no_rows_with_all_columns(tmp_path: Path) -> None:
    frame = read_feature_descriptions(tmp_path / "none.csv")
    assert tuple(frame.columns) == FEATURE_DESCRIPTIONS.column_names
    assert stored(frame) == []


def test_values_are_typed_trimmed_and_null_where_blank(csv: Path) -> None:
    header = "feature , tier,slo_crash_rate,launched_on,team"
    write(csv, f'{header}\n "Café, finder ", 2 ,0.01,2026-01-31,  \n\nNA,,,,"a ""b"""\n')
    (cafe, other) = stored(read_feature_descriptions(csv))
    names = FEATURE_DESCRIPTIONS.column_names
    found = dict(zip(names, cafe, strict=True))
    assert (found["feature"], found["tier"], found["slo_crash_rate"]) == ("Café, finder", 2, 0.01)
    assert str(found["launched_on"]) == "2026-01-31"
    assert found["team"] is found["owner"] is None
    assert dict(zip(names, other, strict=True)) == dict.fromkeys(names) | {"feature": "NA", "team": 'a "b"'}


def test_a_byte_order_mark_and_unknown_columns_do_no_harm(csv: Path) -> None:
    frame = read_feature_descriptions(write(csv, "feature,comment\nsearch,hello\n", "utf-8-sig"))
    assert tuple(frame.columns) == FEATURE_DESCRIPTIONS.column_names
    assert frame["feature"].tolist() == ["search"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,tier\nsearch,1\n", "has no column 'feature'; its columns are name, tier"),
        ('feature,tier\nsearch,1\n" ",2\n', "line 3: feature None is blank"),
        ("feature,tier\nsearch,1\n\nfeed,4\n", "line 4: tier '4' is not between 1 and 3"),
        ("feature\nsearch\nfeed\n search \n", "line 4: feature 'search' is described twice"),
        ("feature,tier\nsearch,high\n", "line 2: tier 'high' is not a number"),
        ("feature,tier\nsearch,1\nfeed,4\n", "line 3: tier '4' is not between 1 and 3"),
        ("feature,slo_crash_rate\nsearch,1.5\n", "line 2: slo_crash_rate '1.5' is not between 0 and 1"),
        ("feature,slo_latency_p95_ms\nsearch,-1\n", "line 2: slo_latency_p95_ms '-1' is not between 0 and None"),
        ("feature,lifecycle_stage\nsearch,done\n", "line 2: lifecycle_stage 'done' is not one of experimental, beta"),
        ("feature,launched_on\nsearch,31.01.2026\n", "line 2: launched_on '31.01.2026' is not a date like"),
        ("feature,launched_on\nsearch,2026-02-30\n", "line 2: launched_on '2026-02-30' is not a date like"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_column(csv: Path, text: str, message: str) -> None:
    with pytest.raises(FeatureDescriptionsError) as error:
        read_feature_descriptions(write(csv, text))
    assert str(error.value).startswith(str(csv))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"feature,tier\nsearch,1,2,3\n", "line 2: has 4 values for 2 columns"),
        (b'feature,tier\n"search,1\n', "is not a CSV file"),
        (b"feature\nCaf\xe9\n", "UTF-8"),
        (b"feature,tier\nsearch,1.5\n", "line 2: tier '1.5' is not a whole number"),
        (b"feature,slo_crash_rate\nsearch,nan\n", "line 2: slo_crash_rate 'nan' is not a number"),
        (b"feature,slo_latency_p95_ms\nsearch,inf\n", "line 2: slo_latency_p95_ms 'inf' is not a number"),
        (b"feature,feature\na,b\n", "'feature' twice"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_and_never_a_traceback_of_pandas(
    csv: Path, content: bytes, said: str
) -> None:
    csv.write_bytes(content)
    with pytest.raises(FeatureDescriptionsError) as error:
        read_feature_descriptions(csv)
    assert str(csv) in str(error.value)
    assert said in str(error.value)


def test_features_described_seen_or_both_have_one_row_each(csv: Path) -> None:
    described = read_feature_descriptions(write(csv, "feature,tier\nsearch,1\nnever used,3\n"))
    days = pd.to_datetime(["2026-01-01", "2026-01-02"])
    seen = pd.DataFrame({"feature": ["search", "Ünknown"], "first_seen_date": days[0], "last_seen_date": days[1]})
    rows = stored(with_seen_dates(described, seen), DIM_FEATURE_METADATA.name)
    names = DIM_FEATURE_METADATA.column_names
    found = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
    assert {f: (r["tier"], r["is_described"], str(r["last_seen_date"])) for f, r in found.items()} == {
        "search": (1, True, "2026-01-02"),
        "never used": (3, True, "None"),
        "Ünknown": (None, False, "2026-01-02"),
    }


def test_nothing_described_and_nothing_seen_gives_no_rows(tmp_path: Path) -> None:
    nothing = read_feature_descriptions(tmp_path / "none.csv")
    assert stored(with_seen_dates(nothing, pd.DataFrame(columns=SEEN)), DIM_FEATURE_METADATA.name) == []


def test_without_descriptions_every_seen_feature_is_undescribed(tmp_path: Path) -> None:
    nothing = read_feature_descriptions(tmp_path / "none.csv")
    day = pd.Timestamp("2026-01-01")
    seen = pd.DataFrame({"feature": ["b", "a"], "first_seen_date": day, "last_seen_date": day})
    rows = stored(with_seen_dates(nothing, seen), DIM_FEATURE_METADATA.name)
    assert [(row[0], row[names_of("is_described")]) for row in rows] == [("a", False), ("b", False)]


def names_of(column: str) -> int:
    return DIM_FEATURE_METADATA.column_names.index(column)
