"""Secrets that a root makes for itself: made once, whole, and read by their owner alone."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from quality_assets.stores.files import made_secret


def test_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    assert made_secret(path, b"one") == b"one"
    assert made_secret(path, b"two") == b"one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("has_links", [True, False])
def test_who_comes_second_gets_the_first_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    link = os.link

    def linked(source: Path, target: Path) -> None:
        """Somebody else makes it between the look and the making."""
        target.write_bytes(b"theirs")
        if not has_links:
            raise OSError(errno.EPERM, "no links on this disk")
        link(source, target)

    monkeypatch.setattr(os, "link", linked)
    assert made_secret(tmp_path / "key", b"mine") == b"theirs"
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_made_on_a_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no links on this disk")

    monkeypatch.setattr(os, "link", refused)
    assert made_secret(tmp_path / "key", b"mine") == b"mine"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_many_at_once_agree(tmp_path: Path) -> None:
    start, found = threading.Barrier(8), []

    def make(number: int) -> None:
        start.wait()
        found.append(made_secret(tmp_path / "key", f"{number}".encode()))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {(tmp_path / "key").read_bytes()}
