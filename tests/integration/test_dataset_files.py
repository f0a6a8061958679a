"""Whatever arrives as a table, and what each gets: read, read in part and counted, or refused with a reason."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from quality_assets.contracts.sources.datasets import DatasetSource
from quality_assets.settings import Settings
from quality_assets.stores.datasets import queries
from quality_assets.stores.datasets.loaded import Loaded, TooLarge, unique_names
from quality_assets.stores.datasets.loading import load_duckdb, load_file, scratch_database
from quality_assets.stores.datasets.queries import check_query, load_query
from quality_assets.stores.file_marks import OLE
from quality_assets.stores.readers.encodings import guessed_encoding
from quality_assets.stores.readers.faults import FileRejected, FileWaits
from quality_assets.stores.readers.records import MAX_LINE_BYTES
from quality_assets.tables.datasets.checking import check_file
from quality_assets.tables.datasets.present_state import state_file
from quality_assets.tables.datasets.registering import Registered

Row = tuple[str | None, ...]


def _read(tmp_path: Path, content: bytes, name: str = "table.csv") -> tuple[Loaded, list[Row]]:
    path = tmp_path / name
    path.write_bytes(content)
    with scratch_database(Settings(data_dir=tmp_path / "data")) as (connection, scratch):
        loaded = load_file(connection, path, scratch)
        return loaded, connection.execute("select columns(*)::varchar from batch").fetchall()


ABCD = ("a", "b", "c", "d")
ONE, TWO = ("1", "2", "3", "4"), ("5", "6", "7", "8")


@pytest.mark.parametrize(
    ("content", "columns", "rows", "refused"),
    [
        (b"a,b\n1,x\n2,y\n", ("a", "b"), [("1", "x"), ("2", "y")], 0),
        (b"a;b\n1,5;x\n2,5;y\n", ("a", "b"), [("1,5", "x"), ("2,5", "y")], 0),
        (b"a\tb\r\n1\tx\r\n", ("a", "b"), [("1", "x")], 0),
        (b"name\nx\ny\n", ("name",), [("x",), ("y",)], 0),
        (b'a,b\n1,"x\ny"\n2,z\n', ("a", "b"), [("1", "x\ny"), ("2", "z")], 0),
        # Ragged rows, a quote that is never closed, NUL bytes: the rest is read.
        (b"a,b\n1,x\n2\n3,y,z\n4,w\n", ("a", "b"), [("1", "x"), ("4", "w")], 2),
        (b'a,b\n1,"x\n2,y\n3,z\n', ("a", "b"), [("2", "y"), ("3", "z")], 1),
        (b"a,b\n1,x\x00\n2,y\n", ("a", "b"), [("1", "x"), ("2", "y")], 0),
        (b"a,b\n1,\n,\n", ("a", "b"), [("1", None), (None, None)], 0),
        (b"a,a,\n1,2,3\n", ("a", "a_2", "column_3"), [("1", "2", "3")], 0),
        # No line of names: the first holds numbers, as all do.
        (b"1.5,x\n2.5,y\n3.5,z\n", ("column_1", "column_2"), [("1.5", "x"), ("2.5", "y"), ("3.5", "z")], 0),
        (b"country,2019,2020\nDE,5,6\nFR,7,8\n", ("country", "2019", "2020"), [("DE", "5", "6"), ("FR", "7", "8")], 0),
        (b"\xef\xbb\xbfa,b\n1,x\n", ("a", "b"), [("1", "x")], 0),
        (b"sep=;\r\na;b\r\n1;x\r\n2;y,z\r\n", ("a", "b"), [("1", "x"), ("2", "y,z")], 0),
        (b"\xef\xbb\xbfSEP=|\na|b\n1|x\n", ("a", "b"), [("1", "x")], 0),
        ("a,b\n1,ü\n".encode("utf-16"), ("a", "b"), [("1", "ü")], 0),
        # Titles and comments stand above the names.
        (b"Sales 2026\nby Bob, Rome\n\na,b,c,d\n1,2,3,4\n5,6,7,8\n", ABCD, [ONE, TWO], 0),
        (b"Sales,,,\na,b,c,d\n1,2,3,4\n5,6,7,8\n", ABCD, [ONE, TWO], 0),
        (b"# made, at noon\na,b,c,d\n1,2,3,4\n5,6,7,8\n", ABCD, [ONE, TWO], 0),
        (b"Sales\na;b;c;d;\n1;2;3;4;\n5;6;7;8;\n", (*ABCD, "column_5"), [(*ONE, None), (*TWO, None)], 0),
        # R gives names of rows no name, pandas writes an empty one.
        (b"b\tc\td\n1\t2\t3\t4\n5\t6\t7\t8\n", ("column_1", "b", "c", "d"), [ONE, TWO], 0),
        (b",b\n1,2\n3,4\n", ("column_1", "b"), [("1", "2"), ("3", "4")], 0),
        # Names that count the columns are names.
        (b"0,1,2\n1.5,2,3\n2.5,3,4\n", ("0", "1", "2"), [("1.5", "2", "3"), ("2.5", "3", "4")], 0),
        (b",0,1,2\n0,5,6,7\n1,6,7,8\n", ("column_1", "0", "1", "2"), [("0", "5", "6", "7"), ("1", "6", "7", "8")], 0),
        # Signs that stand in texts as well part lines only where they part all of them alike.
        (b"a^b^c\n" + b"1^x y^3\n" * 4, ("a", "b", "c"), [("1", "x y", "3")] * 4, 0),
        (
            b'1.2.3.4 - [10/Oct/2025:13:55:36 +0000] "GET /a HTTP/1.1" 200\n' * 5,
            tuple(f"column_{n}" for n in range(1, 7)),
            [("1.2.3.4", "-", "[10/Oct/2025:13:55:36", "+0000]", "GET /a HTTP/1.1", "200")] * 5, 0,
        ),
        (
            b'1.2.3.4 - bob [10/Oct/2025:13:55:36 +0000] "GET /a" 200 "Mozilla/5.0 (X11; Linux)"\n' * 3,
            tuple(f"column_{n}" for n in range(1, 9)),
            [("1.2.3.4", "-", "bob", "[10/Oct/2025:13:55:36", "+0000]", "GET /a", "200", "Mozilla/5.0 (X11; Linux)")]
            * 3,
            0,
        ),
        (b"note\n" + b"this is fine\n" * 4, ("note",), [("this is fine",)] * 4, 0),
        # Databases put a backslash before a quote within a value, and before itself.
        (rb'a,b' b'\n' rb'1,"x \"y\", z"' b'\n' rb'2,"c:\\"' b'\n', ("a", "b"), [("1", 'x "y", z'), ("2", "c:\\")], 0),
        (rb'a,b' b'\n' rb'1,"c:\"' b'\n' rb'2,"d:\"' b'\n', ("a", "b"), [("1", "c:\\"), ("2", "d:\\")], 0),
        # A delimiter at the end of lines is no column more; what stands below a table is no row.
        (b"a,b,c,d\n1,2,3,4,\n5,6,7,8,\n", ABCD, [ONE, TWO], 0),
        (b"a,b,c,d\n1,2,3,4\n5,6,7,8\nTotal: 2\n", ABCD, [ONE, TWO], 1),
        (b"a,b\n", ("a", "b"), [], 0),
        (b"a,b\n=cmd(),<b>x</b>\n", ("a", "b"), [("=cmd()", "<b>x</b>")], 0),
    ],
)  # fmt: skip
def test_delimited_text(tmp_path: Path, content: bytes, columns: Row, rows: list[Row], refused: int) -> None:
    loaded, found = _read(tmp_path, content)
    assert (loaded.columns, found, loaded.refused_rows) == (columns, rows, refused)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        # By DuckDB's reader, and by ours, which takes over where a quote is not closed.
        (b"# made\n\na,b,c\n" + b"1,2,3\n" * 3 + b"1,2\n" + b"1,2,3\n1\n1,2\n1,2,3,4\n", (7, 9, 10)),
        (b'a,b,c\n1,2,3\n1,"x,3\n1,2,3\n1,2,3\n', (3,)),
    ],
)
def test_the_first_lines_that_are_no_rows_are_named(tmp_path: Path, content: bytes, lines: tuple[int, ...]) -> None:
    loaded, _ = _read(tmp_path, content)
    assert loaded.refused_lines == lines
    assert loaded.refused_rows >= len(lines)


def test_json_lines_keep_what_is_an_object(tmp_path: Path) -> None:
    lines = [{"a": 1, "b": "x"}, {"a": None, "b": "y", "c": [1, 2]}, {"a": 2.5, "b": None}]
    content = "\n".join(json.dumps(line) for line in lines) + '\n{"a": 3, "b"\n'
    loaded, found = _read(tmp_path, content.encode(), "log.txt")
    assert (loaded.columns, loaded.file_format, loaded.refused_rows) == (("a", "b", "c"), "json", 1)
    assert loaded.refused_lines == (4,)
    assert found == [("1", "x", None), (None, "y", "[1,2]"), ("2.5", None, None)]


def test_a_json_array_is_a_table(tmp_path: Path) -> None:
    loaded, found = _read(tmp_path, b'[\n {"a": 1},\n {"a": 2}\n]\n', "rows.json")
    assert (loaded.columns, found) == (("a",), [("1",), ("2",)])


def test_parquet_columns_of_one_name_are_told(tmp_path: Path) -> None:
    table = pa.table([pa.array([1, 2]), pa.array(["x", "y"]), pa.array([3, 4])], names=["a", "b", "a"])
    pq.write_table(table, tmp_path / "twice.parquet")
    loaded, found = _read(tmp_path, (tmp_path / "twice.parquet").read_bytes())
    assert (loaded.columns, loaded.renamed) == (("a", "b", "a_2"), ("a",))
    assert found == [("1", "x", "3"), ("2", "y", "4")]


@pytest.mark.parametrize("memory_limit_mb", [1_500, 200])
def test_a_row_group_larger_than_what_a_scan_keeps_is_read_within_the_setting(
    tmp_path: Path, memory_limit_mb: int
) -> None:
    path, values = tmp_path / "large.parquet", np.random.default_rng(1).random((10, 1_400_000))
    pq.write_table(pa.table({f"n{at}": each for at, each in enumerate(values)}), path, row_group_size=2_000_000)
    settings = Settings(data_dir=tmp_path / "data", memory_limit_mb=memory_limit_mb)
    with scratch_database(settings) as (connection, scratch):
        assert load_file(connection, path, scratch).rows == 1_400_000
        (limit,) = connection.execute("select current_setting('memory_limit')").fetchall()[0]
        # 112 MB of numbers that nothing makes smaller: 80 MB and twice as much, where the setting allows it.
        assert 190 < float(limit.removesuffix(" MiB")) < (191 if memory_limit_mb == 200 else 350)
        read = connection.sql("select * from batch").to_arrow_reader(8_000)
        assert sum(each.num_rows for each in read) == 1_400_000


def test_what_is_no_row_among_objects_is_refused(tmp_path: Path) -> None:
    loaded, found = _read(tmp_path, b'[{"a": 1}, null, "x", {"a": 2}]', "answer.json")
    assert (loaded.columns, found, loaded.refused_rows) == (("a",), [("1",), ("2",)], 2)


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        (b'{"count": 2, "data": [{"a": 1, "b": "x"}, {"a": 2}], "next": null}', ("a", "b"), [("1", "x"), ("2", None)]),
        (b'{\n "value": [\n  {"a": 1},\n  {"a": 2}\n ]\n}\n', ("a",), [("1",), ("2",)]),
        (b'{"a": [1, 2], "b": ["x", null]}', ("a", "b"), [("1", "x"), ("2", None)]),
        (b'{"rows": [{"a": NaN, "b": 1}]}', ("a", "b"), [(None, "1")]),
        # Two tables, or lists of several lengths: which is meant is not said.
        (b'{"a": [{"x": 1}], "b": [{"y": 2}]}', ("a", "b"), [('[{"x":1}]', '[{"y":2}]')]),
        (b'{\n "a": 1,\n "b": [1, 2]\n}', ("a", "b"), [("1", "[1,2]")]),
        (b'{"a": 1}\n{"a": 2}\n', ("a",), [("1",), ("2",)]),
        (b'{"a": 1},\n{"a": 2},\n', ("a",), [("1",), ("2",)]),
        # Rows deeper down, under the only list of objects on the first level that has one.
        (b'{"meta": {"page": 1}, "data": {"items": [{"a": 1}, {"a": 2}]}}', ("a",), [("1",), ("2",)]),
        # Each row under its name; columns of numbered rows, as pandas writes them; names apart from rows.
        (b'{"x": {"a": 1, "b": 2}, "y": {"a": 3}}', ("key", "a", "b"), [("x", "1", "2"), ("y", "3", None)]),
        (b'{"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": null}}', ("a", "b"), [("1", "x"), ("2", None)]),
        (
            b'{"columns": ["a", "b"], "index": [0, 1], "data": [[1, "x"], [2, null]]}',
            ("a", "b"),
            [("1", "x"), ("2", None)],
        ),
        (b'{"page": {"size": 10}, "links": {"next": null}}', ("page.size", "links.next"), [("10", None)]),
        # Rows that are arrays, in one or a line each.
        (b'[["a", "b"], [1, "x"], [2, null]]', ("a", "b"), [("1", "x"), ("2", None)]),
        (b'["a", "b"]\n[1, "x"]\n[2, null]\n', ("a", "b"), [("1", "x"), ("2", None)]),
        (b'[["x", "y"], ["z"]]', ("column_1", "column_2"), [("x", "y"), ("z", None)]),
        # What objects within rows hold are columns, however deep; not where keys are values or something else stands.
        (b'{"u": {"n": "x", "c": {"z": 1}}}\n{"u": {"n": "y"}}\n', ("u.n", "u.c.z"), [("x", "1"), ("y", None)]),
        (b'{"u": {"n": 1}}\n{"u": null}\n{"u": "x"}\n', ("u",), [('{"n":1}',), (None,), ("x",)]),
        (b'{"u": {}}\n{"u": {}}\n', ("u",), [("{}",), ("{}",)]),
        (
            "".join(f'{{"u": {{"k{n}": {n}}}}}\n' for n in range(11)).encode(),
            ("u",),
            [(f'{{"k{n}":{n}}}',) for n in range(11)],
        ),
    ],
)
def test_json_is_the_rows_that_it_holds(
    tmp_path: Path, content: bytes, columns: Row, rows: list[tuple[str, ...]]
) -> None:
    loaded, found = _read(tmp_path, content, "answer.json")
    assert (loaded.columns, found, loaded.refused_rows) == (columns, rows, 0)


def test_parquet_gzip_excel_and_duckdb_are_told_by_their_bytes(tmp_path: Path) -> None:
    from openpyxl import Workbook

    pq.write_table(pa.table({"a": [1, 2], "b": [["x"], None]}), tmp_path / "p")
    assert _read(tmp_path, (tmp_path / "p").read_bytes(), "p.csv")[1] == [("1", "[x]"), ("2", None)]
    assert _read(tmp_path, gzip.compress(b"a,b\n1,x\n"), "z.csv")[1] == [("1", "x")]
    skipped = b"\x5f\x2a\x4d\x18\x02\x00\x00\x00hi"
    assert _read(tmp_path, skipped + pa.compress(b"a,b\n1,x\n", codec="zstd", asbytes=True), "y")[1] == [("1", "x")]
    book = Workbook()
    for row in (["a", "b"], [1, "x"], [2.5, None]):
        book.active.append(row)
    book.save(tmp_path / "w.xlsx")
    assert _read(tmp_path, (tmp_path / "w.xlsx").read_bytes(), "w.csv")[1] == [("1", "x"), ("2.5", None)]
    titled = Workbook()
    for row in (["Sales of March"], [], ["a", "b", "c", "d"], [1, 2, 3, 4], [5, 6, 7, 8]):
        titled.active.append(row)
    titled.save(tmp_path / "t.xlsx")
    assert _read(tmp_path, (tmp_path / "t.xlsx").read_bytes(), "t.csv")[1] == [ONE, TWO]
    moved = Workbook()
    moved.active.append(["This workbook holds sales"])
    sheet = moved.create_sheet()
    for row in ([None, "a", "at", None], [None, 1, dt.datetime(2026, 3, 1)], [None, 2, dt.datetime(2026, 3, 1, 7)]):
        sheet.append(row)
    moved.save(tmp_path / "m.xlsx")
    loaded, found = _read(tmp_path, (tmp_path / "m.xlsx").read_bytes(), "m.csv")
    assert (loaded.columns, found) == (("a", "at"), [("1", "2026-03-01T00:00:00"), ("2", "2026-03-01T07:00:00")])
    assert loaded.other_sheets == ()
    moved.create_sheet("Returns").append(["a", "b"])
    moved["Returns"].append([1, 2])
    moved.create_sheet("Empty")
    moved.save(tmp_path / "m.xlsx")
    told = check_file(Settings(data_dir=tmp_path / "data"), tmp_path / "m.xlsx").findings
    assert "Its first table was read, and not 1 other sheet: Returns" in [finding.sentence for finding in told]
    pq.write_table(pa.table({"u": [{"n": "x", "c": {"z": 1}}, None]}), tmp_path / "s")
    loaded, found = _read(tmp_path, (tmp_path / "s").read_bytes(), "s.csv")
    assert (loaded.columns, found) == (("u.n", "u.c.z"), [("x", "1"), (None, None)])
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("create table t as select 7 as a")
    assert _read(tmp_path, (tmp_path / "d.duckdb").read_bytes(), "d.csv")[1] == [("7",)]


@pytest.mark.parametrize("view", ["read_text('{}')", "read_csv('{}', header=false)", "glob('{}')"])
def test_views_of_a_duckdb_file_read_no_other_file(tmp_path: Path, view: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password,1\n")
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute(f"create view leak as select * from {view.format(secret)}")
    with pytest.raises(FileRejected, match=r"its view main\.leak reads other files, which are not opened"):
        _read(tmp_path, (tmp_path / "d.duckdb").read_bytes(), "upload.duckdb")


def test_a_duckdb_file_that_another_process_writes_waits(tmp_path: Path) -> None:
    hold = f"import duckdb; c = duckdb.connect('{tmp_path}/d.duckdb'); print('open', flush=True); input()"
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        root = Settings(data_dir=tmp_path / "data")
        with scratch_database(root) as (connection, _), pytest.raises(FileWaits) as waits:
            load_duckdb(connection, tmp_path / "d.duckdb", "t")
        writer.communicate("\n")
    said = f"it waits: another program has the DuckDB file open for writing (process {writer.pid})"
    assert waits.value.reason == said


def test_a_query_of_a_duckdb_file_reads_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.csv").write_text("password,1\n")
    with duckdb.connect(str(tmp_path / "d.duckdb")) as made:
        made.execute("create table t as select 7 as a")
    monkeypatch.setenv("SHOP", f"duckdb:///{tmp_path}/d.duckdb")
    with scratch_database(Settings(data_dir=tmp_path / "data")) as (connection, _):
        assert load_query(connection, "select a from t", "env:SHOP").rows == 1
        with pytest.raises(FileRejected, match="file system operations are disabled"):
            load_query(connection, f"select * from read_text('{tmp_path}/secret.csv')", "env:SHOP")


def test_a_view_of_tables_of_its_own_duckdb_file_is_read(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("create table t as select range as a from range(3)")
        connection.execute("create view v as select a * 2 as b from t")
    with scratch_database(Settings(data_dir=tmp_path / "data")) as (connection, scratch):
        load_duckdb(connection, tmp_path / "d.duckdb", "v")
        # What is made of it goes into the folder that the batch has for itself.
        connection.execute(f"copy (select c0 from batch order by 1) to '{scratch}/state.parquet'")
        assert pq.read_table(scratch / "state.parquet")["c0"].to_pylist() == [0, 2, 4]
        with pytest.raises(duckdb.PermissionException):
            connection.execute(f"copy batch to '{tmp_path}/elsewhere.csv'")


def test_files_beside_a_snapshot_are_read_by_its_views(tmp_path: Path) -> None:
    folder, scratch_of = tmp_path / "published" / "one", Settings(data_dir=tmp_path / "data")
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"a": [5]}), folder / "day.parquet")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.execute(f"create view events as select * from read_parquet('{folder}/day.parquet')")
    with scratch_database(scratch_of) as (connection, _):
        load_duckdb(connection, folder / "warehouse.duckdb", "events", beside=folder)
        assert connection.execute("from batch").fetchall() == [(5,)]
    with scratch_database(scratch_of) as (connection, _), pytest.raises(FileRejected, match="reads other files"):
        load_duckdb(connection, folder / "warehouse.duckdb", "events")


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "a.csv", "no rows: the file is empty"),
        (b"\n\n  \n", "a.csv", "empty"),
        (b"PAR1 and then nothing", "a.parquet", "Parquet file that is damaged"),
        (gzip.compress(b"a,b\n" * 1000, mtime=0)[:40], "a.gz", "truncated or damaged"),
        (b"PK\x03\x04 no workbook", "a.xlsx", "neither a workbook"),
        (OLE + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(99), "a.xlsx", "protected by a password"),
        (b"x" * (MAX_LINE_BYTES + 1), "a.csv", "it is no table of lines"),
        (bytes(range(32)) * 9, "a.csv", "the file is binary data, not CSV, JSON lines or Parquet"),
        (b"%PDF-1.7 \x00\x01", "a.csv", "PDF"),
        (b"\x7fELF\x02\x01\x01\x00", "a.csv", "a program"),
        (b'{"a": 1', "a.json", "JSON"),
        (b"<!DOCTYPE html><html>Sign in, please</html>", "a.csv", "it is an HTML page"),
        (b'<?xml version="1.0"?><rows/>', "a.xml", "it is XML, not a table"),
        (b"a,b\n1\n2\n3\n", "a.csv", "none of its 3 lines can be read as a row of the columns a, b"),
        (zipped(), "a.zip", "it is a zip archive"),
        (b"{}", "a.json", "no rows: it is an object that holds nothing"),
        ("%PDF-1.7 \u00e4\u00f6".encode("cp1252"), "a.csv", "PDF"),
        (b"BZh91AY", "a.bz2", "a bzip2 archive, not CSV, JSON lines or Parquet; gzip and zstd are read"),
    ],
)
def test_what_is_no_table_is_refused_with_a_reason(tmp_path: Path, content: bytes, name: str, words: str) -> None:
    with pytest.raises(FileRejected) as refusal:
        _read(tmp_path, content, name)
    assert words in refusal.value.reason
    assert "YAML" not in refusal.value.reason, "a table has none"
    result = check_file(Settings(data_dir=tmp_path / "data"), tmp_path / name)
    assert (result.status, result.score, result.reasons) == ("refused", None, (refusal.value.reason,))


def test_a_bomb_and_too_many_columns_are_too_large(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="100 times"):
        _read(tmp_path, gzip.compress(b"0" * 60_000_000), "bomb.gz")
    wide = ",".join(f"c{i}" for i in range(20_000)).encode() + b"\n"
    with pytest.raises(TooLarge, match="20,000 columns; 2,000 are the most"):
        _read(tmp_path, wide + wide)


def test_a_header_alone_is_checked_and_has_no_score(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_bytes(b"a,b\n")
    result = check_file(Settings(data_dir=tmp_path / "data"), tmp_path / "h.csv")
    assert (result.status, result.rows, result.score) == ("passed", 0, None)


def test_names_are_told_apart() -> None:
    assert unique_names(["a", "a", "a_2", "", None]) == (
        ("a", "a_2", "a_2_2", "column_4", "column_5"),
        ("a", "a_2", "", ""),
    )


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "mac_roman"])
def test_an_encoding_is_told_by_letters_within_words(encoding: str) -> None:
    words = "Berguvsvägen,Martín,Cataluña,Köln,Århus,Genève,São Paulo,Zürich,Besançon,Münster,Malmö,Łódź"
    data = words.replace("Łódź", "Lodz").encode(encoding)
    assert guessed_encoding(data) == encoding


@pytest.mark.parametrize("encoding", ["cp1251", "koi8_r", "cp866"])
def test_an_alphabet_of_its_own_is_not_read_as_accents(encoding: str) -> None:
    data = "имя,город\nИван,Москва\nОльга,Нижний Новгород\nПётр,Казань\n".encode(encoding)
    assert guessed_encoding(data) == encoding


@pytest.mark.parametrize(
    ("encoding", "rows"),
    [
        ("cp932", "番号,都市,氏名\n1,東京,田中さくら\n2,大阪,鈴木一郎\n3,札幌,高橋花子\n"),
        ("euc_jp", "番号,都市,氏名\n1,東京,田中さくら\n2,大阪,アンナ\n3,札幌,高橋花子\n"),
        ("gb18030", "编号,城市\n1,北京\n2,上海\n3,广州\n4,深圳\n5,重庆\n"),
        ("cp950", "編號,城市\n1,台北\n2,高雄\n3,臺南\n4,新竹\n"),
        ("cp949", "번호,도시\n1,서울\n2,부산\n3,대구\n4,인천\n"),
    ],
)
def test_signs_of_two_bytes_are_told_by_being_common_and_in_runs(tmp_path: Path, encoding: str, rows: str) -> None:
    assert guessed_encoding(rows.encode(encoding)) == encoding
    # The last sign may be cut.
    assert guessed_encoding(rows.rstrip().encode(encoding)[:-1]) == encoding
    loaded, read = _read(tmp_path, rows.encode(encoding))
    assert loaded.encoding == encoding
    assert [loaded.columns, *read] == [tuple(line.split(",")) for line in rows.split()]


def test_a_byte_that_a_guessed_encoding_lacks_loses_a_sign_and_no_file(tmp_path: Path) -> None:
    data = "имя,город\nИван,Москва\nОльга,Нижний Новгород\nПётр,Казань\n".encode("cp1251") + b"\x98,x\n"
    loaded, rows = _read(tmp_path, data)
    assert (loaded.encoding, rows[0], rows[3]) == ("cp1251", ("Иван", "Москва"), ("\ufffd", "x"))


def test_a_query_is_read_and_only_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("create table orders (id integer, price real, note text)"))
        connection.execute(text("insert into orders values (1, 2.5, 'a; b'), (2, null, 'drop table orders')"))
    engine.dispose()
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path}/shop.db")
    with scratch_database(Settings(data_dir=tmp_path / "data")) as (connection, _):
        loaded = load_query(connection, "select * from orders where note <> 'x; y';", "env:SHOP")
        assert (loaded.columns, loaded.rows) == (("id", "price", "note"), 2)
        with pytest.raises(FileRejected, match="more than 1 rows"):
            load_query(connection, "select * from orders", "env:SHOP", most_rows=1)
        with pytest.raises(FileRejected, match="no such table: absent"):
            load_query(connection, "select * from absent", "env:SHOP")
        with pytest.raises(FileRejected, match="variable ABSENT is not set"):
            load_query(connection, "select 1", "env:ABSENT")


def test_a_query_without_an_order_gives_the_same_file_with_numbers_by_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", "sqlite://")
    settings, found = Settings(data_dir=tmp_path / "data"), []
    for direction in ("asc", "desc"):
        numbers = "values (1), (10), (100), (2), (-3), (null), (9.5), ('n/a')"
        query = f"select column1 as id, 'x' as note from ({numbers}) order by column1 {direction}"
        dataset = Registered(DatasetSource(name="shop", query=query, secret="env:SHOP"))
        with state_file(settings, dataset) as (path, _):
            found.append((path.read_bytes(), [row[0] for row in duckdb.sql(f"select id from '{path}'").fetchall()]))
    assert found[0][1] == ["-3", "1", "2", "9.5", "10", "100", "n/a", None]
    assert found[0] == found[1]


def test_a_query_has_colons_a_time_limit_and_a_database_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(tmp_path / "shop.db").touch()
    monkeypatch.setenv("SHOP", f" sqlite:///{tmp_path}/shop.db\n")
    monkeypatch.setenv("GONE", f"sqlite:///{tmp_path}/gone.db")
    endless = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
    monkeypatch.setattr(queries, "TIMEOUT_S", 0.3)
    with scratch_database(Settings(data_dir=tmp_path / "data")) as (connection, _):
        load_query(connection, "select ' :smile :-) 10:30 a::b' as said", "env:SHOP")
        assert connection.sql("select * from batch").fetchall() == [(" :smile :-) 10:30 a::b",)]
        with pytest.raises(FileRejected, match=r"longer than 0\.3 s and was ended"):
            load_query(connection, endless, "env:SHOP")
        with pytest.raises(FileRejected, match="is a file, and there is none"):
            load_query(connection, "select 1", "env:GONE")
    assert not (tmp_path / "gone.db").exists()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("postgres://u:p@h/x", "write postgresql.psycopg://"),
        ("mysql+nodriver://u:p@h/x", "no driver for mysql.nodriver"),
    ],
)
def test_an_address_without_a_driver_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, why: str
) -> None:
    monkeypatch.setenv("DB", address)
    root = Settings(data_dir=tmp_path / "data")
    with scratch_database(root) as (connection, _), pytest.raises(FileRejected, match=why):
        load_query(connection, "select 1", "env:DB")


def test_a_wrong_password_is_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB", "postgresql+psycopg://u:s3cret@127.0.0.1:1/none")
    with (
        scratch_database(Settings(data_dir=tmp_path / "data")) as (connection, _),
        pytest.raises(FileRejected) as refusal,
    ):
        load_query(connection, "select 1", "env:DB")
    assert "s3cret" not in refusal.value.reason
    assert "did not answer" in refusal.value.reason


@pytest.mark.parametrize(
    "query",
    [
        "insert into t values (1)",
        "with x as (delete from t returning *) select * from x",
        "select 1; drop table t",
        "explain select 1",
        "",
    ],
)
def test_a_query_that_writes_is_refused(query: str) -> None:
    with pytest.raises(FileRejected):
        check_query(query)


def test_the_word_of_a_statement_within_a_text_is_no_statement() -> None:
    assert check_query("select 'drop; table' as a -- delete\n;") == "select 'drop; table' as a -- delete"
