"""The doctor: what is well is said, what is not is named with the way to mend it, and nothing is changed."""

from __future__ import annotations

import json
import os
import pwd
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from quality_assets.cli import doctor
from quality_assets.cli.doctor import examine
from quality_assets.cli.doctor_services import COMPOSE_FILE, compose_finding
from quality_assets.cli.finding import Finding
from quality_assets.cli.main import app
from quality_assets.serve.ports import port_is_free
from quality_assets.settings import Settings
from quality_assets.stores.locks import is_held
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.stores.process_ids import process_name
from quality_assets.stores.releases import release_log
from quality_assets.stores.servers import remember_servers
from quality_assets.stores.snapshots import record_attempt
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.publishing import publish_warehouse


@pytest.fixture
def settings(data_root: Settings) -> Settings:
    """A data root whose ports are free."""
    with ExitStack() as stack:
        names = ("dagster_port", "dashboard_port", "collector_port", "predict_port")
        servers = {name: stack.enter_context(socket.socket()) for name in names}
        for server in servers.values():
            server.bind(("127.0.0.1", 0))
        ports = {name: server.getsockname()[1] for name, server in servers.items()}
    return data_root.model_copy(update=ports)


def findings(settings: Settings) -> dict[str, Finding]:
    found = list(examine(settings))
    assert len({finding.subject for finding in found}) == len(found)
    return {finding.subject: finding for finding in found}


def ill(settings: Settings) -> dict[str, Finding]:
    """What is not well; the machine's own disk and packages aside."""
    return {s: f for s, f in findings(settings).items() if not f.is_ok and s not in ("Disk", "Packages")}


def test_a_fresh_root_is_well_and_stays_untouched(settings: Settings) -> None:
    assert ill(settings) == {}
    assert not settings.data_dir.exists()


def test_a_root_in_use_is_well(settings: Settings) -> None:
    with open_warehouse(settings) as session:
        snapshot = publish_warehouse(session, "run-1")
    found = findings(settings)
    assert ill(settings) == {}
    assert found["Publication"].detail == getattr(snapshot, "version", None)
    assert found["Warehouse lock"].detail == "free"


def test_every_finding_that_may_be_bad_says_how_to_mend_it(settings: Settings) -> None:
    told = findings(settings)
    assert {s for s, f in told.items() if not f.mend} <= {
        "Servers",
        "Collector's files",
        "Served models",
        "Compose file",
        "Warehouse lock",
        "Sources",
        "Feature descriptions",
        "Publication",
        "Stores",
    }
    assert all(finding.detail for finding in told.values())


def test_an_old_python_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_PYTHON", (99, 0))
    assert "99" not in findings(settings)["Python"].detail
    assert not findings(settings)["Python"].is_ok


def test_packages_other_than_locked_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# a comment\nduckdb==0.0.1 \\\n    --hash=sha256:00\nno-such-package==1.0 \\\n    --hash=sha256:00\n"
        'not-for-us==1.0 ; sys_platform == "nowhere"\n'
    )
    monkeypatch.setattr(doctor, "_LOCK_FILE", lock)
    found = findings(settings)["Packages"]
    assert not found.is_ok
    assert "instead of 0.0.1" in found.detail
    assert "no-such-package 1.0 is missing" in found.detail
    assert "not-for-us" not in found.detail
    assert "make install" in found.mend


def test_a_root_that_cannot_be_made_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    bad = settings.model_copy(update={"data_dir": tmp_path / "file" / "data"})
    found = findings(bad)["Data root"]
    assert not found.is_ok
    assert "QUALITY_DATA_DIR" in found.mend


def test_a_landing_zone_that_is_a_file_is_told(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.landing_dir.write_text("not a folder")
    assert list(ill(settings)) == ["Landing zone"]


def test_a_full_disk_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 80)
    assert not findings(settings)["Disk"].is_ok
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 0)
    assert findings(settings)["Disk"].is_ok


def test_a_taken_port_is_told_with_its_setting(settings: Settings) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not port_is_free("127.0.0.1", port)
        found = ill(settings.model_copy(update={"dashboard_port": port}))
    assert list(found) == ["Port of Dashboard"]
    assert f":{port} is taken" in found["Port of Dashboard"].detail
    assert "QUALITY_DASHBOARD_PORT" in found["Port of Dashboard"].mend
    assert port_is_free("127.0.0.1", port)


@contextmanager
def _writing(settings: Settings) -> Iterator[None]:
    """As a run has the warehouse."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(settings.data_dir / ".writer.lock"):
            held.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    yield
    done.set()
    other.join()


def test_a_run_that_writes_is_told_and_no_fault(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_warehouse(settings):
        pass
    opened: list[str] = []
    inner = duckdb.connect
    monkeypatch.setattr("duckdb.connect", lambda path, **more: opened.append(path) or inner(path, **more))
    with _writing(settings):
        found = findings(settings)
        told = CliRunner().invoke(app, ["doctor", "--mend"])
    assert {name for name, each in found.items() if not each.is_ok} <= {"Disk", "Packages"}
    assert found["Warehouse lock"].detail == "a run is writing"
    assert "are looked at once the run that writes has ended" in found["Stores"].detail
    # Between two steps a run lets go of the file, and would fail where somebody else has it by then.
    assert str(settings.warehouse_path) not in opened
    assert "a run is writing: stop it" in told.output
    findings(settings)
    assert str(settings.warehouse_path) in opened


def test_what_is_not_ours_to_use_is_named_with_its_owner(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open_warehouse(settings):
        pass
    operations_of(settings)
    close_operations()
    day = settings.lake_dir / "valid_events" / "event_date=2026-01-01"
    old = settings.published_dir / "old" / "warehouse.duckdb"
    for path in (day / "1.parquet", old, settings.landing_dir / "sftp" / "a.csv"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert "Rights" not in ill(settings)
    inner, forbidden = os.access, {str(settings.operations_path): os.W_OK, str(day): os.W_OK, str(old): os.W_OK}
    # What a program of others puts there is only read.
    forbidden[str(settings.landing_dir / "sftp")] = os.W_OK

    def may(path: Any, mode: int) -> bool:
        return not forbidden.get(str(path), 0) & mode and inner(path, mode)

    monkeypatch.setattr("os.access", may)
    found = ill(settings)["Rights"]
    assert found.detail.startswith("2 of the files and folders cannot be used by ")
    assert f"{settings.operations_path}, which {pwd.getpwuid(os.getuid()).pw_name} owns; {day}, which" in found.detail
    assert "chown -R" in found.mend


def test_a_lock_is_looked_at_by_who_may_only_read(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    with FileLock(path):
        path.chmod(0o444)
        assert is_held(path)
    assert not is_held(path)
    assert path.stat().st_size == 0


def test_a_broken_source_is_named_with_its_file(settings: Settings) -> None:
    folder = settings.data_dir / "sources"
    folder.mkdir(parents=True)
    (folder / "shop.yaml").write_text("name: shop\ncolumns: {event_time: {from: ts, unit: fortnights}}\n")
    found = ill(settings)
    assert list(found) == ["Sources"]
    assert "shop.yaml" in found["Sources"].detail
    assert str(folder) in found["Sources"].mend


def test_a_mistake_in_the_descriptions_is_told_with_its_line(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "feature_metadata.csv").write_text("feature,tier\nsearch,9\n")
    found = ill(settings)
    assert list(found) == ["Feature descriptions"]
    assert "line 2: tier '9' is not between 1 and 3" in found["Feature descriptions"].detail


def test_a_refused_publication_is_told_with_since_when_and_why(settings: Settings) -> None:
    at = datetime(2026, 1, 2, 3, 4)
    record_attempt(settings.published_dir, "refused", attempted_at=at, run_id="r", reasons=["rows are missing"])
    found = ill(settings)
    assert list(found) == ["Publication"]
    assert found["Publication"].detail == "refused since 2026-01-02 03:04 UTC: rows are missing"


def test_a_snapshot_whose_file_is_gone_is_told(settings: Settings) -> None:
    with open_warehouse(settings) as session:
        snapshot = publish_warehouse(session, "run-1")
    getattr(snapshot, "warehouse_path", Path()).unlink()
    assert list(ill(settings)) == ["Published snapshot"]


def test_servers_that_a_killed_serve_left_behind_are_named_with_their_processes(settings: Settings) -> None:
    settings.data_dir.mkdir()
    remember_servers(settings.data_dir, {"dagster": process_name(os.getpid())})
    found = ill(settings)
    assert list(found) == ["Servers"]
    assert f"dagster {os.getpid()}" in found["Servers"].detail
    assert "`quality serve --take-over`" in found["Servers"].mend


def test_servers_of_a_serve_that_runs_are_well_and_so_are_their_ports(settings: Settings) -> None:
    settings.data_dir.mkdir()
    remember_servers(settings.data_dir, {"dashboard": process_name(os.getpid())})
    held, done = threading.Event(), threading.Event()

    def serve() -> None:
        with FileLock(settings.data_dir / ".serve.lock"):
            held.set()
            done.wait(30)

    other = threading.Thread(target=serve)
    with socket.socket() as server:
        server.bind(("127.0.0.1", settings.dashboard_port))
        server.listen()
        other.start()
        held.wait(30)
        try:
            assert ill(settings) == {}
            assert findings(settings)["Port of Dashboard"].detail.endswith(f"is our own, process {os.getpid()}")
        finally:
            done.set()
            other.join()


def test_a_mistake_in_what_the_collector_reads_is_told_with_its_file(settings: Settings) -> None:
    settings.data_dir.mkdir()
    keys = settings.data_dir / "write_keys.yaml"
    keys.write_text("write_keys: [{name: web, sha256: short}]")
    assert f"{keys}: write_keys.0.sha256" in ill(settings)["Collector's files"].detail
    keys.unlink()
    (settings.data_dir / "features.yaml").write_text("aggregates: 3")
    assert "features.yaml" in ill(settings)["Collector's files"].detail
    elsewhere = settings.model_copy(update={"collector_host": "0.0.0.0"})
    (settings.data_dir / "features.yaml").unlink()
    assert "Write keys into" in ill(elsewhere)["Collector's files"].detail


def test_a_released_model_whose_file_is_gone_or_another_is_told(settings: Settings) -> None:
    release_log(settings).promote("sales", "3", actor="ann", reason="better")
    found = ill(settings)["Served models"]
    assert found.detail == "there is no version 3 of sales; the registry has: none yet"
    assert "`quality model rollback sales`" in found.mend
    folder = settings.models_dir / "sales"
    (folder / "versions").mkdir(parents=True)
    (folder / "versions" / "3.json").write_text(json.dumps({"version": "3", "file": "3.skops", "sha256": "0" * 64}))
    assert "the file of version 3 of sales is gone" in ill(settings)["Served models"].detail
    (folder / "3.skops").write_bytes(b"another")
    assert "is not the one that was saved" in ill(settings)["Served models"].detail


def test_the_compose_file_is_read_and_what_it_asks_for_is_named(settings: Settings, tmp_path: Path) -> None:
    shipped = compose_finding(COMPOSE_FILE, settings)
    assert shipped.is_ok
    assert "QUALITY_TOKEN (16 or more characters), without which nothing starts" in shipped.detail
    assert f"{COMPOSE_FILE.parent / 'prometheus' / 'token'}, which a profile mounts" in shipped.detail
    own = tmp_path / "compose.yaml"
    assert compose_finding(own, settings).is_ok, "a wheel has none"
    own.write_text("services: {web: {environment: {QUALITY_DASHBORD_PORT: 1}}}")
    assert "sets QUALITY_DASHBORD_PORT, which nothing reads" in compose_finding(own, settings).detail
    for text in ("services: [", "services: 3", "{}", "services: {web: {environment: 3}}"):
        own.write_text(text)
        assert f"{own} cannot be read" in compose_finding(own, settings).detail
