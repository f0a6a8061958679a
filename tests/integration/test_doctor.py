"""The doctor: what is well is said, what is not is named with the way to mend it, and nothing is changed."""

from __future__ import annotations

import socket
import threading
from datetime import datetime
from pathlib import Path

import pytest
from filelock import FileLock

from quality_assets.cli import doctor
from quality_assets.cli.doctor import Finding, examine
from quality_assets.serve.ports import port_is_free
from quality_assets.settings import Settings
from quality_assets.stores.snapshots import record_attempt
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.publishing import publish_warehouse


@pytest.fixture
def settings(data_root: Settings) -> Settings:
    """A data root whose two ports are free."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = {"dagster_port": one.getsockname()[1], "dashboard_port": two.getsockname()[1]}
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


def test_a_run_that_writes_is_told(settings: Settings) -> None:
    settings.data_dir.mkdir()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(settings.data_dir / ".writer.lock"):
            held.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    try:
        found = ill(settings)
    finally:
        done.set()
        other.join()
    assert list(found) == ["Warehouse lock"]
    assert found["Warehouse lock"].mend


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
