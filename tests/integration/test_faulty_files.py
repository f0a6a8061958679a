"""One file never stops the others: whatever a reader raises is about its file, and a full disk about none."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.sources.events import Sources, load_sources
from quality_assets.settings import Settings
from quality_assets.stores.readers import staging, text
from quality_assets.stores.readers.faults import FileRejected, FileWaits, verdict_on
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.ingest import IngestReport, ingest, waiting_files

GOOD = "event_time,feature,status\n2026-01-05T10:00:00Z,search,ok\n"
DRAFT = "name: draft\nowner: t\npaths: [draft/**]\ncolumns:\n  event_time: ts\n"


@pytest.fixture
def session(data_root: Settings) -> Iterator[WarehouseSession]:
    with open_warehouse(data_root) as opened:
        yield opened


def arrive(session: WarehouseSession, name: str, content: str) -> None:
    path = session.settings.landing_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def ingested(session: WarehouseSession, sources: Sources | None = None) -> IngestReport:
    return ingest(session, sources or load_sources(session.settings.source_files_dir), lambda _: None)


def failing_for(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, word: str, error: Exception) -> None:
    """Make a function of a reader raise for the file that holds `word`."""
    work = getattr(module, name)

    def faulty(job: Any, *args: Any) -> Any:
        if word in str(getattr(job, "landing_path", job)):
            raise error
        return work(job, *args)

    monkeypatch.setattr(module, name, faulty)


@pytest.mark.parametrize(
    "error",
    [
        duckdb.ConversionException("Could not convert Timestamp(MS) to Timestamp(US)"),
        duckdb.BinderException("JSON path error near"),
        ValueError("surrogates not allowed"),
        RecursionError(),
        KeyError("x"),
    ],
)
def test_what_a_reader_raises_rejects_its_file_alone(
    session: WarehouseSession, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("a", "bad", "z"):
        arrive(session, f"{name}.csv", GOOD.replace("search", name))
    failing_for(monkeypatch, staging, "stage_csv", "bad", error)
    report = ingested(session)
    assert [name for name, _ in report.loaded] == ["a.csv", "z.csv"]
    assert [name for name, _ in report.rejected] == ["bad.csv"]
    assert report.rejected[0][1].startswith("it ")
    assert waiting_files(session)[0] == []


@pytest.mark.parametrize("error", [duckdb.InternalException("assertion"), duckdb.FatalException("invalidated")])
def test_a_file_that_breaks_the_scratch_database_is_found_and_rejected(
    session: WarehouseSession, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("a", "bad", "z"):
        arrive(session, f"{name}.csv", GOOD.replace("search", name))
    failing_for(monkeypatch, staging, "stage_csv", "bad", error)
    report = ingested(session)
    assert sorted(name for name, _ in report.loaded) == ["a.csv", "z.csv"]
    assert [name for name, _ in report.rejected] == ["bad.csv"]
    rows = session.connection.execute("select path, status, rows from raw.log_files order by path").fetchall()
    assert rows == [("a.csv", "loaded", 1), ("bad.csv", "rejected", 0), ("z.csv", "loaded", 1)]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        duckdb.IOException("Could not write file: No space left on device"),
        duckdb.OutOfMemoryException("could not allocate block of size 256.0 KiB"),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    ],
)
def test_what_is_no_fault_of_the_file_leaves_it_waiting(
    session: WarehouseSession, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    arrive(session, "a.csv", GOOD)
    arrive(session, "late.csv", GOOD.replace("search", "late"))
    with monkeypatch.context() as patched:
        failing_for(patched, staging, "stage_csv", "late", error)
        report = ingested(session)
        assert [name for name, _ in report.loaded] == ["a.csv"]
        assert [item.name for item in report.ignored] == ["late.csv"]
        assert report.rejected == []
    assert [file.name for file in waiting_files(session)[0]] == ["late.csv"]
    assert [name for name, _ in ingested(session).loaded] == ["late.csv"]


def test_a_disk_that_fills_while_a_log_is_decompressed(
    session: WarehouseSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.settings.landing_dir.mkdir(parents=True)
    (session.settings.landing_dir / "a.csv.gz").write_bytes(gzip.compress(GOOD.encode()))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(text.shutil, "copyfileobj", full)
        report = ingested(session)
    assert "no space left on the disk" in report.ignored[0].reason
    assert [name for name, _ in ingested(session).loaded] == ["a.csv.gz"]


def test_verdicts_are_sentences_of_one_line_that_any_table_holds() -> None:
    rejected = verdict_on(ValueError("bad key \ud800\nand more"))
    assert isinstance(rejected, FileRejected)
    assert rejected.reason == "it cannot be read: bad key \\ud800"
    assert isinstance(verdict_on(OSError(errno.EIO, "Input/output error")), FileWaits)
    assert isinstance(verdict_on(FileNotFoundError(errno.ENOENT, "gone")), FileRejected)


def test_a_half_written_source_is_off_and_its_logs_wait(session: WarehouseSession, tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in ("default", "api_log"):
        shipped = Path(__file__).parents[2] / "data" / "sources" / f"{name}.yaml"
        (folder / shipped.name).write_bytes(shipped.read_bytes())
    (folder / "draft.yaml").write_text(DRAFT, encoding="utf-8")
    sources = load_sources(folder)
    assert set(sources.by_name) == {"default", "api_log"}
    assert "draft.yaml: description: is missing" in sources.errors[0]
    arrive(session, "good.csv", GOOD)
    arrive(session, "draft/one.csv", GOOD.replace("search", "draft"))
    report = ingested(session, sources)
    assert [name for name, _ in report.loaded] == ["good.csv"]
    assert report.rejected == []
    assert "source 'draft' is off" in report.ignored[0].reason
    assert "description: is missing" in report.ignored[0].reason
    (folder / "draft.yaml").unlink()
    assert [name for name, _ in ingested(session, load_sources(folder)).loaded] == ["draft/one.csv"]


@pytest.mark.parametrize("content", ["name: [", "", "- a\n", "name: default\npaths: 3\n"])
def test_a_source_that_cannot_be_parsed_is_known_by_its_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "shop.yaml").write_text(content, encoding="utf-8")
    sources = load_sources(tmp_path)
    assert len(sources.errors) == 1
    assert "shop.yaml" in sources.errors[0]
    assert sources.by_name == {}
