"""The `quality` command as people and scripts use it: what it prints, what it does, and the exit code it gives."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from quality_assets.cli import main as cli
from quality_assets.cli.__main__ import entry
from quality_assets.cli.main import app
from quality_assets.contracts.events import WAYS_ON, Reason
from quality_assets.domain.impact import lift as estimates
from quality_assets.settings import REPOSITORY_ROOT, Settings, get_settings
from quality_assets.stores.failures import failures, record_failure
from quality_assets.stores.operations.store import close_operations
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.experiments.crashes import build_crash_costs
from quality_assets.tables.experiments.lift import build_lift
from quality_assets.tables.failing import DAY_TABLES, dates_to_build_anew
from quality_assets.tables.staleness import first_event_date
from quality_assets.version import RELEASED, VERSION

COMMANDS = (
    "token",
    "simulate",
    "ingest",
    "run",
    "publish",
    "check",
    "deliver",
    "experiment",
    "funnel",
    "retention",
    "segment",
    "train",
    "training-set",
    "collect",
    "process",
    "features",
    "backtest",
    "predict",
    "explain",
    "eda",
    "forecast",
    "repro",
    "quality-report",
    "reread",
    "replay",
    "withdraw",
    "selftest",
    "serve",
    "demo",
    "serve-model",
    "loadtest",
    "status",
    "report",
    "sql",
    "doctor",
    "licenses",
    "mutate",
)
GROUPS = ("alerts", "settings", "operations", "dataset", "model", "deadletters", "metrics", "shadow", "spark")
HEADER = "event_id,event_time,feature,user_id,session_id,status,latency_ms"

Quality = Callable[..., Result]


def _csv(day: str, events: int, name: str, status: str = "ok") -> str:
    rows = [f"{name}-{n},{day}T0{n % 10}:00:00Z,search,u{n % 3},s{n},{status},{100 + n}" for n in range(events)]
    return "\n".join([HEADER, *rows]) + "\n"


@contextmanager
def _environment() -> Iterator[None]:
    """Settings as a user of a temporary data root has them; all that commands change is put back."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("QUALITY_")]:
            patch.delenv(name)
        # What a command sets is put back, because it was set here before.
        patch.setenv("QUALITY_DATA_DIR", "unset")
        patch.setenv("DAGSTER_HOME", "unset")
        patch.delenv("QUALITY_DATA_DIR")
        patch.setenv("QUALITY_FILE_STABLE_S", "0")
        patch.setenv("QUALITY_THREADS", "2")
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


def _invoke(root: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["--data-dir", str(root), *map(str, arguments)])


@pytest.fixture
def quality(tmp_path: Path) -> Iterator[Quality]:
    """The command on a data root of this test's own."""
    with _environment():
        yield lambda *arguments: _invoke(tmp_path / "data", *arguments)


@dataclass(frozen=True)
class Root:
    """A data root that was filled and published by the command, and what it said."""

    data: Path
    ingested: Result
    ran: Result

    def quality(self, *arguments: str | Path) -> Result:
        """Run the command on it."""
        with _environment():
            return _invoke(self.data, *arguments)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """Files of every kind, ingested and run once. Only to be read, or rebuilt to the same."""
    folder = tmp_path_factory.mktemp("cli")
    _mixed_inputs(folder / "in")
    with _environment():
        inputs = [folder / "in" / name for name in ("plain.csv", "more", "garbage.csv", "empty.csv")]
        ingested = _invoke(folder / "data", "ingest", *inputs)
        ran = _invoke(folder / "data", "run")
    # For those that change it: what others ask of it leaves it as it was.
    shutil.copytree(folder / "data", folder / "as_run")
    return Root(folder / "data", ingested, ran)


@pytest.fixture(scope="module")
def facts_root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A day of events, some refused, and a file of what its feature is: run once without models. Only to be read."""
    folder = tmp_path_factory.mktemp("facts")
    (folder / "data").mkdir()
    (folder / "data" / "feature_metadata.csv").write_text(
        "feature,owner,apdex_threshold_ms\nsearch,ann@example.com,200\n"
    )
    good = "2025-03-01T00:00:00Z,search,u,s,ok,1"
    refused = [
        f"a-0,{good}",
        "2,2025-03-01T00:00:00Z,search,u,s,OK,1",
        "3,2025-03-01T00:00:00Z,search,u,s,\x1b[31mfein,-1",
        "4,2025-03-01 00:00:00,search,u,s,ok,1",
    ]
    (folder / "a.csv").write_text(_csv("2025-03-01", 5, "a") + "\n".join(refused) + "\n")
    with _environment():
        ingested = _invoke(folder / "data", "ingest", folder / "a.csv")
        return Root(folder / "data", ingested, _invoke(folder / "data", "run", "--without-models"))


@pytest.fixture
def copied(root: Root, quality: Quality, tmp_path: Path) -> Quality:
    """The command on a copy of `root`, to be changed at will."""
    shutil.copytree(root.data.with_name("as_run"), tmp_path / "data")
    return quality


@pytest.fixture
def copied_facts(facts_root: Root, quality: Quality, tmp_path: Path) -> Quality:
    """The command on a copy of `facts_root`, to be changed at will."""
    shutil.copytree(facts_root.data, tmp_path / "data")
    return quality


def _mixed_inputs(folder: Path) -> None:
    """A plain CSV, a folder of compressed ones, JSON lines and Parquet, garbage, and a file with nothing in it."""
    (folder / "more" / "deep").mkdir(parents=True)
    (folder / "plain.csv").write_text(_csv("2025-03-01", 5, "plain") + "bad,yesterday,search,u,s,ok,1\n")
    (folder / "more" / "packed.csv.gz").write_bytes(gzip.compress(_csv("2025-03-01", 4, "gz").encode(), mtime=0))
    with pa.CompressedOutputStream(str(folder / "more" / "packed.csv.zst"), "zstd") as stream:
        stream.write(_csv("2025-03-02", 3, "zst").encode())
    records = csv.DictReader(io.StringIO(_csv("2025-03-02", 2, "json", "crash")))
    (folder / "more" / "deep" / "lines.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    table = pa.csv.read_csv(io.BytesIO(_csv("2025-03-03", 6, "parquet").encode()))
    pa.parquet.write_table(table, folder / "more" / "deep" / "table.parquet")
    (folder / "garbage.csv").write_bytes(bytes(range(256)) * 20)
    (folder / "empty.csv").touch()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_is_for(quality: Quality, command: str) -> None:
    result = quality(command, "--help")
    assert result.exit_code == 0
    text = re.sub(r"[│╭╰╮╯─]", " ", result.output)
    assert f"quality {command}" in text
    assert len(text.split()) > 15
    # Each option says what it does: a line of the option's name and type alone does not.
    for line in text.splitlines():
        if re.match(r"\s+(\*\s+)?--[a-z-]+", line):
            assert len(line.split()) >= 3, line


def test_the_version_and_its_date_are_said(quality: Quality) -> None:
    result = quality("--version")
    assert result.exit_code == 0
    assert result.stdout == f"quality {VERSION} ({RELEASED.isoformat()})\n"


def test_help_lists_every_command(quality: Quality) -> None:
    result = quality("--help")
    assert result.exit_code == 0
    assert {command for command in (*COMMANDS, *GROUPS) if not re.search(rf"\b{command}\b", result.output)} == set()
    assert {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    } == set(COMMANDS)


def test_ingest_says_what_became_of_every_file(root: Root) -> None:
    assert root.ingested.exit_code == 0
    lines = {line.split()[0]: line for line in root.ingested.stdout.splitlines() if line.split()}
    for name, rows, refused, days in (
        ("plain.csv", 6, 1, "2025-03-01"),
        ("more/packed.csv.gz", 4, 0, "2025-03-01"),
        ("more/packed.csv.zst", 3, 0, "2025-03-02"),
        ("more/deep/lines.jsonl", 2, 0, "2025-03-02"),
        ("more/deep/table.parquet", 6, 0, "2025-03-03"),
    ):
        assert lines[name].split()[1:4] == ["default", str(rows), str(refused)], lines[name]
        assert days in lines[name]
    for name in ("garbage.csv", "empty.csv"):
        assert "rejected:" in lines[name]
        assert len(lines[name].split("rejected:")[1]) > 10, "it says why"
    assert "5 files read, 21 rows; 0 known before, 2 rejected" in root.ingested.stdout
    assert "`quality run`" in root.ingested.stdout
    assert sorted(p.name for p in (root.data / "landing").rglob("*") if p.is_file()) == sorted(
        [
            "journal.jsonl",
            "plain.csv",
            "packed.csv.gz",
            "packed.csv.zst",
            "lines.jsonl",
            "table.parquet",
            "garbage.csv",
            "empty.csv",
        ]
    )


def _refused_lines(printed: str) -> list[str]:
    lines = printed.splitlines()
    start = next(n for n, line in enumerate(lines) if "refused" in line and line.endswith(":"))
    return lines[start : next(n for n, line in enumerate(lines) if line.startswith("  All of them")) + 1]


def test_ingest_says_why_rows_were_refused_the_commonest_reason_first(facts_root: Root, copied_facts: Quality) -> None:
    assert (facts_root.ingested.exit_code, facts_root.ran.exit_code) == (0, 0)
    first, *reasons, last = _refused_lines(facts_root.ingested.stdout)
    assert first == "4 rows refused, 1 of them copies of others:"
    # By hand: lines 8 and 9 have no known status, line 7 repeats the id of line 2, line 10 has no zone, line 9 is < 0.
    assert [re.match(r"  (\d) (\w+) \(.+\), first in a.csv line (\d+): \{.+", line).groups() for line in reasons] == [  # type: ignore[union-attr]
        ("2", "invalid_status", "8"),
        ("1", "duplicate_event_id", "7"),
        ("1", "invalid_event_time", "10"),
        ("1", "negative_latency", "9"),
    ]
    assert '"status":"OK"' in reasons[0]
    assert "\x1b" not in "".join(reasons)
    # The command that it names shows those rows once they are built.
    query = last.split('quality sql --format json "')[1].removesuffix('"')
    told = json.loads(facts_root.quality("sql", "--format", "json", query).stdout)
    assert [(row["path"], row["line_number"]) for row in told] == [("a.csv", 8), ("a.csv", 9)]
    assert _refused_lines(copied_facts("reread").stdout)[0] == first


def test_ingest_names_five_reasons_and_counts_the_others(quality: Quality, tmp_path: Path) -> None:
    line = "{},2025-03-01T00:00:00Z,{},u,s,{},{}"
    rows = [line.format(1, "", "", "x"), line.format(2, "f", "ok", "nan"), line.format(3, "f", "ok", "1e12"), "4,,,,,,"]
    (tmp_path / "a.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    _, *reasons, others, _ = _refused_lines(quality("ingest", tmp_path / "a.csv").stdout)
    assert [line.split()[:2] for line in reasons] == [
        ["2", "missing_feature"],
        ["2", "missing_status"],
        ["1", "implausible_latency"],
        ["1", "invalid_latency"],
        ["1", "missing_event_time"],
    ]
    assert others == "  … and for non_finite_latency (1)"


def test_every_reason_says_what_may_be_done() -> None:
    assert WAYS_ON.keys() == set(Reason)


def test_run_builds_checks_and_publishes(root: Root) -> None:
    assert root.ran.exit_code == 0
    assert "Traceback" not in root.ran.output
    for step in ("build and report", "publish"):
        assert re.search(rf"✓ {step}", root.ran.stdout), step
    assert "7 files, 21 rows = 20 valid + 1 quarantined" in root.ran.stdout
    assert "Published snapshot" in root.ran.stdout
    assert 5 <= len(root.ran.stdout.splitlines()) <= 30


def test_every_row_of_every_file_is_accounted_for(root: Root) -> None:
    result = root.quality(
        "sql",
        "select path, rows, (select count(*) from core.valid_events v where v.file_id = f.file_id) as valid,"
        " (select count(*) from core.quarantined_events q where q.file_id = f.file_id) as quarantined"
        " from raw.log_files f where status = 'loaded' order by path",
        "--format",
        "csv",
    )
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["path"], row["rows"], row["valid"], row["quarantined"]) for row in rows] == [
        ("more/deep/lines.jsonl", "2", "2", "0"),
        ("more/deep/table.parquet", "6", "6", "0"),
        ("more/packed.csv.gz", "4", "4", "0"),
        ("more/packed.csv.zst", "3", "3", "0"),
        ("plain.csv", "6", "5", "1"),
    ]


def test_second_run_has_nothing_to_do(root: Root) -> None:
    again = root.quality("ingest", root.data.parent / "in" / "plain.csv")
    assert again.exit_code == 0
    assert "0 files read, 0 rows" in again.stdout
    result = root.quality("run")
    assert result.exit_code == 0
    assert "Nothing to do" in result.stdout


def test_same_bytes_under_another_name_are_skipped(root: Root, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.csv"
    copy.write_bytes((root.data.parent / "in" / "plain.csv").read_bytes())
    result = root.quality("ingest", copy)
    assert result.exit_code == 0
    assert re.search(r"renamed.csv +skipped: has the same content as plain.csv", result.stdout)
    assert "0 files read, 0 rows; 1 known before, 0 rejected" in result.stdout


def test_files_that_are_known_are_counted_and_what_cannot_be_read_is_no_success(
    quality: Quality, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(_csv("2025-03-01", 3, "a"))
    (tmp_path / "same.csv").write_text(_csv("2025-03-01", 3, "a"))
    (tmp_path / "garbage.csv").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "nothing").mkdir()
    result = quality("ingest", tmp_path / "a.csv", tmp_path / "same.csv")
    assert (result.exit_code, "1 file read, 3 rows; 1 known before" in result.stdout) == (0, True)
    assert "refused:" not in result.stdout
    result = quality("ingest", tmp_path / "a.csv", tmp_path / "same.csv")
    assert (result.exit_code, "0 files read, 0 rows; 2 known before" in result.stdout) == (0, True)
    result = quality("ingest", tmp_path / "garbage.csv")
    assert (result.exit_code, "nothing of what was asked for could be read" in result.stderr) == (1, True)
    result = quality("ingest", tmp_path / "nothing")
    assert (result.exit_code, "there is no file to read in" in result.stderr) == (1, True)


def test_range_is_rebuilt_to_the_same_data_and_ends_its_failures(copied: Quality, tmp_path: Path) -> None:
    question = ("sql", "from product.fact_feature_metrics order by all", "--format", "json")
    before = json.loads(copied(*question).stdout)
    # As of a day that is built as it should be, and whose last run was ended from elsewhere.
    published, day, when = tmp_path / "data" / "published", date(2025, 3, 3), datetime(2026, 1, 1)
    for asset in ("product.fact_feature_metrics", "monitoring.data_drift"):
        record_failure(published, asset, (day, day), run_id="r", cause="x", failed_at=when)
    assert copied("status").stdout.count("has failed since 2026-01-01") == 2
    with open_warehouse(Settings(data_dir=tmp_path / "data")) as session:
        assert dates_to_build_anew(session, DAY_TABLES) == {day}, "what `quality run` would build"
    result = copied("run", "--from", "2025-03-02", "--to", "2025-03-03")
    assert result.exit_code == 0
    assert "✓ build and report 2025-03-02 to 2025-03-03" in result.stdout
    assert "has failed since" not in copied("status").stdout
    assert json.loads(copied(*question).stdout) == before
    assert {row["event_date"] for row in before} == {"2025-03-01", "2025-03-02", "2025-03-03"}


def test_status_says_how_things_stand(root: Root) -> None:
    result = root.quality("status")
    assert result.exit_code == 0, result.stdout
    assert re.search(r"Snapshot: \S+, published .* data through 2025-03-03", result.stdout)
    assert "Rows: 21 in 7 files = 20 valid + 1 quarantined" in result.stdout
    assert "Data: 2025-03-01 to 2025-03-03" in result.stdout
    assert "Quarantine: invalid_event_time 1" in result.stdout
    assert "Waiting: 0 files, 0 ranges of dates" in result.stdout
    assert re.search(r"Check results, one a check and date: \d+ passed", result.stdout)


def test_status_tells_what_waits_and_publish_what_is_missing(quality: Quality, tmp_path: Path) -> None:
    result = quality("status")
    assert (result.exit_code, "Nothing has been ingested yet" in result.stdout) == (0, True)
    log = tmp_path / "a.csv"
    log.write_text(_csv("2025-03-01", 3, "a"))
    assert quality("ingest", log).exit_code == 0
    result = quality("status")
    assert result.exit_code == 1
    assert "3 not built yet" in result.stdout
    assert "1 range of dates: 2025-03-01" in result.stdout
    refused = quality("publish")
    assert refused.exit_code == 1
    assert "core.valid_events is not built for 2025-03-01" in refused.stderr
    result = quality("status")
    assert result.exit_code == 1
    assert "Publication refused since" in result.stdout
    assert "core.valid_events is not built for 2025-03-01" in result.stdout


def test_run_without_models_leaves_them_for_the_next(facts_root: Root, copied_facts: Quality, tmp_path: Path) -> None:
    quality, facts, waiting = copied_facts, facts_root.ran, "not of these data yet"
    assert facts.exit_code == 0, facts.output
    assert re.findall("✓ ([a-z ]+?) *(?:2025|$)", facts.output, re.M) == ["build days", "publish facts"]
    assert waiting in facts.output
    counts = (
        "select (select sum(events) from product.fact_feature_metrics), (select count(*) from monitoring.run_report)"
    )
    assert quality("sql", counts, "--format", "csv").output.splitlines()[1] == "5,0"
    assert waiting in quality("status").output
    assert "Nothing to do" in quality("run", "--without-models").output
    whole = quality("run")
    assert whole.exit_code == 0
    assert re.findall("✓ ([a-z ]+)", whole.output) == ["build impact", "score and report", "publish"]
    assert waiting not in whole.output
    assert quality("sql", counts, "--format", "csv").output.splitlines()[1] == "5,1"
    assert "Nothing to do" in quality("run").output
    # Scored, and killed before that was published: the snapshot's data are right, what is told of them is not.
    pointer = tmp_path / "data" / "published" / "CURRENT"
    before = json.loads(pointer.read_text())
    pointer.write_text(json.dumps({**before, "published_at": "2025-03-01T00:00:00"}))
    assert re.findall("✓ ([a-z ]+)", quality("run").output) == ["publish"]
    # More of a day that was scored: only the fingerprint of the data tells that the report is of before.
    (tmp_path / "data" / "landing" / "b.csv").write_text(_csv("2025-03-01", 2, "b"))
    assert waiting in quality("run", "--without-models").output
    assert quality("sql", counts, "--format", "csv").output.splitlines()[1] == "7,1"


def test_what_is_written_of_features_is_read_again_where_it_was_changed(copied_facts: Quality, tmp_path: Path) -> None:
    quality, written = copied_facts, tmp_path / "data" / "feature_metadata.csv"
    landing = tmp_path / "data" / "landing"
    shown = (
        "select event_date, apdex, owner from product.fact_feature_metrics join product.dim_feature_metadata"
        " using (feature) order by 1"
    )
    # All waited 100 to 104 ms: no longer than 200, and longer than 50, but no more than four times as long.
    assert quality("sql", shown, "--format", "csv").output.splitlines()[1:] == ["2025-03-01,1.0,ann@example.com"]
    says_else = "says something else than was read of it"
    assert says_else not in quality("status").output

    written.write_text("feature,owner,apdex_threshold_ms\nsearch,bea@example.com,50\n")
    assert says_else in quality("status").output
    (landing / "2.csv").write_text(_csv("2025-03-02", 5, "a2"))
    ran = quality("run", "--without-models")
    assert (ran.exit_code, "2025-03-01 to 2025-03-02" in ran.output) == (0, True), ran.output
    both = ["2025-03-01,0.5,bea@example.com", "2025-03-02,0.5,bea@example.com"]
    assert quality("sql", shown, "--format", "csv").output.splitlines()[1:] == both
    assert says_else not in quality("status").output

    # What changes no fact is scored and published anew all the same; of a file that is wrong, nothing.
    written.write_text("feature,owner,apdex_threshold_ms,tier\nsearch,cem@example.com,50,1\n")
    assert "not of these data yet" in quality("run", "--without-models").output
    told = "select owner, tier, slo_crash_rate from raw.feature_descriptions"
    assert quality("sql", told, "--format", "csv").output.splitlines()[1:] == ["cem@example.com,1,"]
    written.write_text("feature,tier\nsearch,first\n")
    (landing / "3.csv").write_text(_csv("2025-03-03", 5, "a3"))
    ran = quality("run", "--without-models")
    assert ran.exit_code == 0
    assert "features keep the owners and objectives that they had" in " ".join((ran.output + ran.stderr).split())
    assert quality("sql", shown, "--format", "csv").output.splitlines()[3:] == ["2025-03-03,0.5,cem@example.com"]
    assert quality("sql", told, "--format", "csv").output.splitlines()[1:] == ["cem@example.com,1,"]
    failing = (
        "select status, description from monitoring.check_results where check_name = 'file_is_read' order by checked_at"
    )
    last = quality("sql", failing, "--format", "csv").output.splitlines()[-1]
    assert last.startswith("failed,")
    assert "feature_metadata.csv, line 2: tier 'first' is not a number. Until it is mended" in last


def test_publish_publishes_the_warehouse_as_it_stands(root: Root) -> None:
    result = root.quality("publish")
    assert result.exit_code == 0
    assert "Snapshot: " in result.stdout


def test_sql_as_table(root: Root) -> None:
    result = root.quality("sql", "select feature, sum(events) as n from product.fact_feature_metrics group by 1")
    assert result.exit_code == 0
    assert re.search(r"feature\W+n\b", result.stdout)
    assert re.search(r"search\W+20\b", result.stdout)


def test_a_table_for_people_has_six_digits_and_the_others_are_exact(root: Root) -> None:
    query = "select cast(-355994.67448275856 as double) as much, 1e0 / 3 as share, cast(0 as double) as none"
    told = root.quality("sql", query).stdout
    assert re.search(r"-355,995\W+0\.333333\W+0\W", told)
    exact = root.quality("sql", query, "--format", "csv").stdout.splitlines()[1]
    assert exact == "-355994.67448275856,0.3333333333333333,0.0"


def test_sql_as_csv_quotes_what_must_be(root: Root) -> None:
    result = root.quality("sql", "select 'a,\"b\"' as text, null as nothing, 1.5 as number", "--format", "csv")
    assert result.stdout == 'text,nothing,number\n"a,""b""",,1.5\n'


@pytest.mark.parametrize("output", ["table", "csv", "json"])
def test_sql_prints_text_that_acts_neither_in_a_terminal_nor_in_a_spreadsheet(root: Root, output: str) -> None:
    query = "select '=x' || chr(27) || '[31m' || chr(8238) || '[/red]' as text, -1.5 as number"
    printed = root.quality("sql", query, "--format", output).stdout
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    if output == "json":
        assert json.loads(printed) == [{"text": "=x\x1b[31m\u202e[/red]", "number": "-1.5"}]
    else:
        assert "=x\\x1b[31m\\u202e[/red]" in printed
        assert "-1.5" in printed
    if output == "csv":
        assert printed.splitlines()[1] == "'=x\\x1b[31m\\u202e[/red],-1.5"


def test_sql_as_json_is_json(root: Root) -> None:
    result = root.quality(
        "sql",
        "select event_date, feature, crash_rate, feedback_mean from product.fact_feature_metrics order by 1",
        "--format",
        "json",
    )
    rows = json.loads(result.stdout)
    assert [row["event_date"] for row in rows] == ["2025-03-01", "2025-03-02", "2025-03-03"]
    assert rows[1]["crash_rate"] == pytest.approx(2 / 5)
    assert rows[0]["feedback_mean"] is None
    assert json.loads(root.quality("sql", "select 1 as n where false", "--format", "json").stdout) == []


@pytest.mark.parametrize(
    "query", ["select [1, 2] as list, {'a': 1} as struct", "describe raw.log_files", "explain select 1"]
)
def test_sql_answers_every_reading_statement(root: Root, query: str) -> None:
    for output in ("table", "csv", "json"):
        assert root.quality("sql", query, "--format", output).exit_code == 0


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("delete from raw.log_files", "only SELECT"),
        ("create table t as select 1", "only SELECT"),
        ("copy (select 1) to '/tmp/quality-test-copy.csv'", "only SELECT"),
        ("attach ':memory:' as other", "only SELECT"),
        ("set threads = 1", "only SELECT"),
        ("pragma database_list", "only SELECT"),
        ("install httpfs", "only SELECT"),
        ("select 1; drop table raw.log_files", "one statement"),
        ("", "one statement"),
        ("select * from read_csv('/etc/passwd')", "/etc/passwd"),
        ("select no_such_column from raw.log_files", "no_such_column"),
        ("select * from no_such_table", "no_such_table"),
        ("selec 1", "selec"),
    ],
)
def test_sql_refuses_in_a_sentence(root: Root, query: str, why: str) -> None:
    result = root.quality("sql", query)
    assert result.exit_code == 1
    assert why in result.stderr
    assert result.stdout == ""
    assert not Path("/tmp/quality-test-copy.csv").exists()
    assert root.quality("sql", "select count(*) as n from raw.log_files", "--format", "csv").stdout == "n\n7\n"


def test_report_is_the_last_runs(root: Root) -> None:
    result = root.quality("report", "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)
    assert root.quality("report").exit_code == 0
    assert root.quality("report", "--format", "csv").exit_code == 2


def test_doctor_looks_at_everything(root: Root) -> None:
    with _environment():
        os.environ.update(QUALITY_DAGSTER_PORT="39917", QUALITY_DASHBOARD_PORT="39918")
        result = _invoke(root.data, "doctor")
        os.environ.pop("QUALITY_DAGSTER_PORT")
        os.environ.pop("QUALITY_DASHBOARD_PORT")
    for subject in (
        "Python",
        "Packages",
        "Data root",
        "Disk",
        "Port of",
        "Warehouse lock",
        "Sources",
        "Stores",
        "Publication",
    ):
        assert re.search(rf"[✓✗] {subject}", result.stdout), subject
    assert "39917" in result.stdout
    ailing = [line for line in result.stdout.splitlines() if line.startswith("✗")]
    assert result.exit_code == bool(ailing)
    mends = [line for line in result.stdout.splitlines() if line.strip().startswith("→")]
    assert len(mends) == len(ailing), "whatever is wrong, it says how to mend it"


def test_doctor_finds_what_is_wrong(quality: Quality, tmp_path: Path) -> None:
    (tmp_path / "data" / "sources").mkdir(parents=True)
    (tmp_path / "data" / "sources" / "mine.yaml").write_text("name: mine\nformat: xlsx\n")
    result = quality("doctor")
    assert result.exit_code == 1
    assert re.search(r"✗ Sources: .*mine.yaml", result.stdout)


def test_simulate_writes_logs_and_the_truth(quality: Quality, tmp_path: Path) -> None:
    small = ("--days", "3", "--features", "4", "--events-per-day", "50", "--seed", "9", "--dirt", "0.1")
    for name, extra in (("one", ()), ("two", ()), ("lines", ("--format", "jsonl"))):
        result = quality("simulate", *small, *extra, "--out", tmp_path / name)
        assert result.exit_code == 0
        assert "rows in 3 files" in result.stdout
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert {Path("incidents.csv"), Path("dirt.csv")} < files
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)
    assert len(list((tmp_path / "lines" / "logs").glob("*.jsonl"))) == 3
    again = quality("simulate", *small, "--out", tmp_path / "one")
    assert again.exit_code == 2
    assert "is not an empty folder" in again.stderr


def test_demo_shows_something_out_of_nothing(quality: Quality, tmp_path: Path) -> None:
    result = quality("demo", "--days", "1", "--no-serve")
    assert result.exit_code == 0
    assert "The landing zone is empty" in result.stdout
    assert "Published snapshot" in result.stdout
    assert len(list((tmp_path / "data" / "landing").rglob("*.csv"))) == 1
    assert not (tmp_path / "data" / ".scratch" / "sample").exists()
    assert "orders: 1 daily file judged, 0 not as usual; faults were hidden in 1" in result.stdout
    told = quality("sql", "select dataset, count(*) from datasets.batches group by 1", "--format", "csv")
    assert set(told.stdout.split()[1:]) == {"orders,1", "deliveries,1"}
    again = quality("demo", "--days", "1", "--no-serve")
    assert again.exit_code == 0
    assert "Nothing to do" in again.stdout


def test_roots_live_side_by_side(root: Root, facts_root: Root) -> None:
    question = ("sql", "select sum(events) as n, max(event_date) as d from product.fact_feature_metrics")
    for _ in range(2):
        assert facts_root.quality(*question, "--format", "csv").stdout == "n,d\n5,2025-03-01\n"
        assert root.quality(*question, "--format", "csv").stdout == "n,d\n20,2025-03-03\n"
    assert (facts_root.data / ".dagster").is_dir()


def test_named_source_reads_its_own_columns(quality: Quality, tmp_path: Path) -> None:
    log = tmp_path / "access.csv"
    log.write_text("request_id,ts,route,http_status,duration_s\nr1,1740830400000,/cart,503,0.25\n")
    result = quality("ingest", log, "--source", "api_log")
    assert result.exit_code == 0
    assert re.search(r"access.csv +api_log +1 +0 +2025-03-01", result.stdout)


def test_a_root_without_data_says_so_and_how_it_gets_some(quality: Quality, tmp_path: Path) -> None:
    ran = quality("run")
    assert (ran.exit_code, "Nothing has been ingested yet" in ran.stdout, "worse" in ran.stdout) == (0, True, False)
    assert "Nothing has been ingested yet" in quality("status").stdout
    for arguments, why in (
        (
            ["backtest", "--from", "2025-03-01", "--to", "2025-04-01"],
            "there are no facts from 2025-03-01 to 2025-04-01",
        ),
        (["retention", "Search"], "`quality ingest PATH…`, then `quality run`"),
        (["report"], "`quality run` makes one of what was ingested"),
    ):
        ended = quality(*arguments)
        assert ended.exit_code == 1
        assert why in " ".join(ended.stderr.split())
    assert "there is nothing of 2025-03-01 to 2025-03-02" in quality(
        "run", "--from", "2025-03-01", "--to", "2025-03-02"
    ).stdout.replace("\n", " ")
    # So what waits is said how it is read, of which nothing is known yet.
    landing = tmp_path / "data" / "landing"
    landing.mkdir(parents=True, exist_ok=True)
    (landing / "day.csv").write_text(_csv("2024-07-01", 7, "other"))
    said = quality("status").stdout
    assert "Waiting: 1 file, 0 ranges of dates: `quality run` reads and builds them" in said
    assert "Nothing has been ingested yet" not in said


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["ingest", "no/such/file.csv"], 2, "no/such/file.csv: no such file or folder"),
        (["ingest", ".", "--source", "nobody"], 2, "nobody"),
        (["ingest", ""], 2, "a path is empty"),
        (["reread", "--from", "2025-03-02", "--to", "2025-03-01"], 2, "--from 2025-03-02 is after --to 2025-03-01"),
        (["withdraw", "day.csv"], 1, "nothing has been read yet"),
        (["run", "--from", "2025-03-01"], 2, "--from and --to go together"),
        (["run", "--from", "yesterday", "--to", "2025-03-01"], 2, "'yesterday' is not a date like 2026-01-31"),
        (["run", "--from", "2025-03-02", "--to", "2025-03-01"], 2, "--from 2025-03-02 is after --to 2025-03-01"),
        (["backtest", "--from", "2025-03-02", "--to", "2025-03-01"], 2, "is after"),
        (["simulate", "--days", "0", "--out", "x"], 2, "--days"),
        (["simulate", "--features", "100000", "--out", "x"], 2, "features"),
        (["sql", "select 1"], 1, "nothing is published yet"),
        (["sql", "select 1", "--format", "xml"], 2, "xml"),
        (["report"], 1, "no report has been made yet"),
        (["no-such-command"], 2, "no-such-command"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(quality: Quality, arguments: list[str], code: int, why: str) -> None:
    result = quality(*arguments)
    assert result.exit_code == code
    assert why in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)


def _process(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("QUALITY_")}
    return subprocess.run(
        [sys.executable, "-m", "quality_assets.cli", *arguments],
        env={**known, "QUALITY_DATA_DIR": str(root), "QUALITY_FILE_STABLE_S": "0", **environment},
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "why"),
    [
        (["status"], {"QUALITY_DAGSTER_PORT": "many"}, "QUALITY_DAGSTER_PORT"),
        (["serve"], {"QUALITY_DASHBOARD_PORT": "99999"}, "QUALITY_DASHBOARD_PORT"),
        (["doctor"], {"QUALITY_MEMORY_LIMIT_MB": "1"}, "QUALITY_MEMORY_LIMIT_MB"),
    ],
)
def test_invalid_setting_is_named(tmp_path: Path, arguments: list[str], environment: dict[str, str], why: str) -> None:
    done = _process(tmp_path / "data", *arguments, **environment)
    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_what_nobody_foresaw_is_a_sentence_and_a_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "warehouse.duckdb").write_text("this is no database" * 100)
    done = _process(tmp_path / "data", "status")
    assert done.returncode == 1
    assert done.stderr.startswith("quality: ")
    assert "Traceback" not in done.stdout + done.stderr
    log = tmp_path / "data" / "logs" / "quality.log"
    assert str(log) in done.stderr.replace("\n", "")
    assert "Traceback" in log.read_text()


def test_data_root_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = tmp_path / "a.csv"
    log.write_text(_csv("2025-03-01", 1, "a"))
    done = _process(tmp_path / "file", "ingest", str(log))
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert str(tmp_path / "file") in done.stderr.replace("\n", "")


def test_process_leaves_stdout_to_the_answer(root: Root) -> None:
    done = _process(root.data, "sql", "select count(*) as n from raw.log_files", "--format", "csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "n\n7\n", "")


def test_reader_who_has_seen_enough_may_leave(root: Root) -> None:
    query = "select range as n from range(300000)"
    command = f"{sys.executable} -m quality_assets.cli --data-dir {root.data} sql '{query}' --format csv | head -n 2"
    done = subprocess.run(
        command, shell=True, cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "n\n0\n", "")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "lake/a"), "Free some space"),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full\n(Background on this error)"), "Free some"),
        (OSError(errno.EROFS, "Read-only file system", "data/x"), "--data-dir"),
        (PermissionError(errno.EACCES, "Permission denied", "data/x"), "--data-dir"),
        (RuntimeError("(sqlite3.OperationalError) attempt to write a readonly database"), "what belongs to others"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (ValueError("something else"), "not foreseen"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_goes_wrong_on_the_way_to_the_disk_has_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, told: str
) -> None:
    def fails() -> None:
        raise error

    ended: list[int] = []
    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(cli.atexit, "_run_exitfuncs", lambda: None)
    monkeypatch.setattr(cli.os, "_exit", ended.append)
    with _environment():
        os.environ["QUALITY_DATA_DIR"] = str(tmp_path / "data")
        get_settings.cache_clear()
        cli.run()
    assert ended == [1]
    words = capsys.readouterr().err
    assert told in words
    assert "Background" not in words
    assert "Traceback" not in words


def test_an_interrupt_while_commands_are_loaded_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "quality_assets.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "quality_assets.cli.main")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as end:
        entry()
    assert end.value.code == 130
    assert capsys.readouterr().err == "Aborted.\n"


@pytest.mark.parametrize("command", [("run",), ("serve",), ("ingest", ".")])
def test_a_store_of_a_newer_version_is_refused_before_anything_is_done(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with _environment():
        assert _invoke(tmp_path / "data", "settings").exit_code == 0
        close_operations()
        with sqlite3.connect(tmp_path / "data" / "operations.db") as connection:
            connection.execute("update alembic_version set version_num = '9999'")
        connection.close()
        result = _invoke(tmp_path / "data", *command)
    assert result.exit_code == 1
    assert "quality: The operations store is of revision 9999" in result.stderr
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {"operations.db", ".operations.lock"}


def test_a_data_root_that_is_a_file_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with _environment():
        result = _invoke(tmp_path / "file", "status")
    assert (result.exit_code, "is not a folder" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "said"),
    [("data [1]", "takes for a pattern"), ("a%25", "%25 in it, which Dagster takes for another sign")],
)
def test_a_data_root_that_dagster_takes_for_another_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with _environment():
        result = _invoke(tmp_path / name, "status")
    assert (result.exit_code, said in result.stderr) == (1, True)


def test_what_a_killed_run_did_not_make_is_made_good(copied: Quality, tmp_path: Path) -> None:
    published, when = tmp_path / "data" / "published", datetime(2026, 1, 1)
    # It was published, and what comes after that failed: nothing else would end that.
    record_failure(published, "publish.published_snapshot", None, run_id="r", cause="x", failed_at=when)
    assert "has failed since 2026-01-01" in copied("status").stdout
    assert re.findall("✓ ([a-z ]+)", copied("run").stdout) == ["publish"]
    assert "has failed since" not in copied("status").stdout
    reports = ("metrics_json", "feature_importance_csv", "baseline_stats_json", "data_drift_json", "drift_html")
    for name in (*reports, "published_snapshot", "feature_metrics_csv"):
        record_failure(published, f"publish.{name}", None, run_id="killed", cause="it was killed", failed_at=when)
    # Of days before the first, as where somebody asks for them by hand.
    days = (date(2025, 1, 1), date(2025, 1, 2))
    record_failure(published, "core.valid_events", days, run_id="odd", cause="before the first", failed_at=when)
    assert copied("run").exit_code == 0
    assert failures(published) == []


def test_what_fits_is_not_imported_for_too_few_days(
    copied: Quality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fits() -> None:
        raise AssertionError("nothing is fitted of three days")

    monkeypatch.setattr(estimates, "small_fits", fits)
    with open_warehouse(Settings(data_dir=tmp_path / "data")) as session:
        for table, build in (("impact.lift_estimates", build_lift), ("impact.crash_costs", build_crash_costs)):
            before = session.connection.execute(f"select reason from {table}").fetchall()
            assert before[0][0].startswith("Not measured: 0 days of past")
            session.connection.execute(f"delete from {table}")
            assert build(session) == len(before) == 1
            assert session.connection.execute(f"select reason from {table}").fetchall() == before


def test_logs_are_withdrawn_and_one_is_read_again(root: Root, copied: Quality, tmp_path: Path) -> None:
    first_day, wrong = ("plain.csv", "more/packed.csv.gz"), "more/deep/table.parquet"
    path = root.data.parent / "in" / wrong
    counted = (
        "sql",
        "--format",
        "csv",
        "select event_date, sum(events) as n from product.fact_feature_metrics group by 1 order by 1",
    )
    assert copied(*counted).stdout.split() == ["event_date,n", "2025-03-01,9", "2025-03-02,5", "2025-03-03,6"]
    assert "1 log with 6 rows would be withdrawn. Nothing is changed yet" in copied("withdraw", wrong).stdout
    assert "2025-03-03,6" in copied(*counted).stdout
    assert "1 log with 6 rows withdrawn" in copied("withdraw", path, "--yes", "--reason", "[red]a test").stdout
    assert "- 6 taken back, and not built without yet" in copied("status").stdout
    assert copied("withdraw", *first_day, "--yes").exit_code == 0
    # What was said of the days goes with them, also of the first, and nothing is left to be done.
    ran = copied("run")
    assert ran.exit_code == 0
    assert "data through 2025-03-02" in ran.stdout
    assert copied(*counted).stdout.split() == ["event_date,n", "2025-03-02,5"]
    assert "Nothing to do: everything that arrived is built and published" in copied("run").stdout
    assert first_event_date(Settings(data_dir=tmp_path / "data")) == date(2025, 3, 2)
    told = copied("ingest", root.data.parent / "in" / "more").stdout
    assert "skipped: was withdrawn by " in told
    assert "UTC: [red]a test; `quality withdraw --undo` reads it" in " ".join(told.split())
    again = copied("withdraw", path, "--yes")
    assert (again.exit_code, "is withdrawn by " in again.stderr) == (1, True)
    assert copied("withdraw", "nothing.csv").exit_code == 2
    assert "1 log would be read again. Nothing is changed yet" in copied("withdraw", path, "--undo").stdout
    assert "1 file read anew, 6 rows; 0 rejected" in copied("withdraw", path, "--undo", "--yes").stdout
    assert f"{wrong} is not withdrawn" in copied("withdraw", wrong, "--undo").stderr
    copied("run", "--without-models")
    assert copied(*counted).stdout.split() == ["event_date,n", "2025-03-02,5", "2025-03-03,6"]
