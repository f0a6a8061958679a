"""The landing zone: what counts as a file, what is passed over and why, and how files come in."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import random
import re
import socket
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from quality_assets.stores.files import holds
from quality_assets.stores.landing import (
    IGNORED_SUFFIXES,
    Ignored,
    LandingFile,
    digests_of,
    gzip_trailer,
    logical_name,
    place,
    scan,
    settle,
    sha256_of,
    unpacked,
)


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """An empty landing zone."""
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


def put(path: Path, text: str = "a,b\n1,2\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def names(zone: Path) -> list[str]:
    return [file.name for file in scan(zone)[0]]


def passed_over(zone: Path) -> dict[str, str]:
    return {item.name: item.reason for item in scan(zone)[1]}


def waiting(path: Path, zone: Path) -> LandingFile:
    (file,) = [file for file in scan(zone)[0] if file.path == path]
    return file


def no_sleep(_: float) -> None:
    """Time passes at once."""


# --- scan -------------------------------------------------------------------------------------------------------------


def test_a_zone_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert scan(tmp_path / "none") == ([], [])


def test_files_of_all_folders_are_found_in_name_order(zone: Path) -> None:
    for name in ("b.csv", "a/z.jsonl", "a/b/c.parquet", "ä 'ö'.csv"):
        put(zone / name)
    (zone / "empty folder").mkdir()
    assert names(zone) == ["a/b/c.parquet", "a/z.jsonl", "b.csv", "ä 'ö'.csv"]
    assert passed_over(zone) == {}


def test_hidden_and_partial_files_do_not_count(zone: Path) -> None:
    for suffix in IGNORED_SUFFIXES:
        put(zone / f"log.csv{suffix}")
    put(zone / ".hidden.csv")
    put(zone / ".git" / "log.csv")
    # A lock of Office, what Emacs saves by itself, a checksum.
    for name in ("~$log.xlsx", "#log.csv#", "log.csv.md5", "log.csv.sha256"):
        put(zone / name)
    assert scan(zone) == ([], [])


def test_what_has_the_name_of_no_log_is_told_where_it_is_asked_for(zone: Path, tmp_path: Path) -> None:
    placed, ignored = place([put(tmp_path / "day.csv~"), put(tmp_path / "day.csv")], zone)
    assert placed == ["day.csv"]
    assert [(Path(item.name).name, item.reason) for item in ignored] == [
        ("day.csv~", "has the name of what is not whole yet or no log; rename it")
    ]


def test_a_link_out_of_the_zone_is_passed_over_with_the_reason(zone: Path, tmp_path: Path) -> None:
    (zone / "out.csv").symlink_to(put(tmp_path / "secret.csv"))
    put(tmp_path / "elsewhere" / "secret.csv")
    (zone / "folder").symlink_to(tmp_path / "elsewhere")
    assert names(zone) == []
    assert passed_over(zone) == dict.fromkeys(["folder", "out.csv"], "is a link out of the landing zone")


def test_a_link_within_the_zone_is_a_file_and_one_to_a_folder_within_is_not(zone: Path) -> None:
    put(zone / "real" / "a.csv")
    (zone / "b.csv").symlink_to(zone / "real" / "a.csv")
    (zone / "again").symlink_to(zone / "real")
    assert names(zone) == ["b.csv", "real/a.csv"]
    assert passed_over(zone) == {"again": "is not a regular file"}


def test_a_broken_link_and_a_loop_of_links_do_not_stop_the_others(zone: Path) -> None:
    (zone / "broken.csv").symlink_to(zone / "nothing.csv")
    (zone / "loop.csv").symlink_to(zone / "loop.csv")
    put(zone / "good.csv")
    assert names(zone) == ["good.csv"]
    assert set(passed_over(zone)) == {"broken.csv", "loop.csv"}


def test_a_pipe_and_a_socket_are_not_read(zone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(zone / "pipe.csv")
    monkeypatch.chdir(zone)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.csv")
        assert passed_over(zone) == dict.fromkeys(["pipe.csv", "socket.csv"], "is not a regular file")
    assert names(zone) == []


def test_what_may_not_be_read_is_told_and_stops_no_other(
    zone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open.csv", "closed.csv", "deep/a.csv"):
        put(zone / name, name)
        put(tmp_path / "in" / name, f"other {name}")
    closed, access = ("closed.csv", "deep"), os.access  # Root, as whom tests may run, may read all.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name not in closed and access(path, mode))
    assert "open.csv" in names(zone)
    assert passed_over(zone) == dict.fromkeys(("closed.csv", "deep"), "cannot be read: permission denied")
    placed, left_out = place([tmp_path / "in"], zone)
    assert "in/open.csv" in placed
    assert "in/closed.csv" not in placed
    assert {Path(item.name).name for item in left_out} == {"closed.csv", "deep"}


def test_a_file_knows_its_size_and_when_it_was_changed(zone: Path) -> None:
    path = put(zone / "a.csv", "12345")
    os.utime(path, ns=(0, 1_767_225_600_999_999_999))
    file = waiting(path, zone)
    assert (file.size_bytes, file.modified_ns) == (5, 1_767_225_600_999_999_999)


# --- settle -----------------------------------------------------------------------------------------------------------


def test_a_file_that_grows_waits_and_a_whole_one_does_not_wait_for_it(zone: Path) -> None:
    growing, whole = put(zone / "growing.csv"), put(zone / "whole.csv")

    def grow(_: float) -> None:
        with growing.open("a") as stream:
            stream.write("3,4\n")

    settled, unsettled = settle(scan(zone)[0], 2.0, grow)
    assert [file.path for file in settled] == [whole]
    assert [(item.name, item.reason) for item in unsettled] == [
        ("growing.csv", "is still being written, or has just vanished")
    ]


def test_a_file_that_vanishes_is_told_and_not_an_error(zone: Path) -> None:
    path = put(zone / "gone.csv")
    settled, unsettled = settle(scan(zone)[0], 2.0, lambda _: path.unlink())
    assert settled == []
    assert [item.name for item in unsettled] == ["gone.csv"]


def test_a_file_rewritten_in_place_with_as_many_bytes_is_noticed(zone: Path) -> None:
    path = put(zone / "a.csv", "1111")
    file = waiting(path, zone)
    path.write_text("2222")
    os.utime(path, ns=(0, file.modified_ns + 1))
    assert not file.is_unchanged()


def test_another_file_of_the_same_size_and_time_is_another(zone: Path) -> None:
    path = put(zone / "a.csv", "1111")
    file = waiting(path, zone)
    later = put(zone / ".a.csv", "2222")
    os.utime(later, ns=(0, file.modified_ns))
    later.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (file.size_bytes, file.modified_ns)
    assert not file.is_unchanged()


CUT_SHORT = """
import os, pathlib, sys
from quality_assets.stores import landing

path, members = pathlib.Path(sys.argv[1]), landing._GZIP_MEMBER

class CutsFirst:
    def search(self, content, *start):
        os.truncate(path, 100)
        return members.search(content, *start)

landing._GZIP_MEMBER = CutsFirst()
landing.gzip_trailer(path)
"""


def test_a_file_that_is_cut_short_while_it_is_looked_through_does_not_end_the_process(zone: Path) -> None:
    packed = zone / "a.gz"
    packed.write_bytes(gzip.compress(random.Random(0).randbytes(3 << 20)))
    assert subprocess.run([sys.executable, "-c", CUT_SHORT, packed], timeout=60, check=False).returncode == 0


def test_what_is_looked_for_is_found_wherever_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    mark, path, piece = re.compile(b"PAR1PAR1"), tmp_path / "a", 1 << 20
    for place_of in (0, piece - 8, piece - 7, piece - 1, piece, 2 * piece - 4, 2 * piece + 1):
        path.write_bytes(bytes(place_of) + b"PAR1PAR1" + bytes(5))
        assert holds(path, mark, 8)
        assert holds(path, mark, 8, start=place_of)
        assert not holds(path, mark, 8, start=place_of + 1)
    path.write_bytes(b"PAR1" + bytes(piece) + b"PAR1")
    assert not holds(path, mark, 8)
    path.write_bytes(b"")
    assert not holds(path, mark, 8)


def test_only_files_that_were_lately_changed_are_waited_for(zone: Path) -> None:
    path = put(zone / "old.csv")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    waits: list[float] = []
    assert len(settle(scan(zone)[0], 2.0, waits.append)[0]) == 1
    assert waits == []
    put(zone / "new.csv")
    assert len(settle(scan(zone)[0], 2.0, waits.append)[0]) == 2
    assert waits == [2.0]


def test_nothing_is_waited_for_where_nothing_waits() -> None:
    waits: list[float] = []
    assert settle([], 2.0, waits.append) == ([], [])
    assert waits == []


# --- place ------------------------------------------------------------------------------------------------------------


def test_files_and_folders_are_copied_under_their_names(zone: Path, tmp_path: Path) -> None:
    put(tmp_path / "in" / "logs" / "a.csv", "a")
    put(tmp_path / "in" / "logs" / "deep" / "b.csv", "b")
    put(tmp_path / "in" / "logs" / ".hidden.csv")
    put(tmp_path / "c.csv", "c")
    placed, left = place([tmp_path / "in" / "logs", tmp_path / "c.csv"], zone, "shop")
    assert (placed, left) == (["shop/logs/a.csv", "shop/logs/deep/b.csv", "shop/c.csv"], [])
    assert names(zone) == sorted(placed)
    assert (zone / "shop/logs/deep/b.csv").read_text() == "b"
    assert not [path for path in zone.rglob("*") if path.name.endswith(".tmp")]


def test_a_copy_keeps_when_the_file_was_changed(zone: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    place([path], zone)
    assert (zone / "a.csv").stat().st_mtime == 1_700_000_000


def test_the_same_bytes_are_not_copied_again(zone: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv")
    assert place([path], zone)[0] == place([path], zone)[0] == ["a.csv"]
    assert names(zone) == ["a.csv"]


def test_other_bytes_under_a_taken_name_get_their_hash_into_it(zone: Path, tmp_path: Path) -> None:
    first, second = put(tmp_path / "1" / "a.csv.gz", "one"), put(tmp_path / "2" / "a.csv.gz", "two")
    place([first], zone)
    digest = sha256_of(second)[:8]
    assert place([second], zone)[0] == [f"a-{digest}.csv.gz"]
    assert place([second], zone)[0] == [f"a-{digest}.csv.gz"]
    assert {path.name: path.read_text() for path in zone.iterdir()} == {
        "a.csv.gz": "one",
        f"a-{digest}.csv.gz": "two",
    }


@pytest.mark.parametrize("name", ["events", "v1.2 events", "2026.01.02.events"])
def test_a_name_without_a_suffix_of_a_format_clashes_without_loss(zone: Path, tmp_path: Path, name: str) -> None:
    place([put(tmp_path / "1" / name, "one")], zone)
    place([put(tmp_path / "2" / name, "two")], zone)
    assert sorted(path.read_text() for path in zone.iterdir()) == ["one", "two"]
    assert len(names(zone)) == 2


def test_a_file_that_lies_in_the_zone_already_stays_as_it_is(zone: Path) -> None:
    path = put(zone / "a.csv")
    before = path.stat().st_ino
    assert place([path], zone) == (["a.csv"], [])
    assert path.stat().st_ino == before
    assert names(zone) == ["a.csv"]


def test_the_zone_itself_can_be_placed_without_copies(zone: Path) -> None:
    put(zone / "a.csv")
    put(zone / "shop" / "b.csv")
    assert place([zone], zone) == (["a.csv", "shop/b.csv"], [])
    assert names(zone) == ["a.csv", "shop/b.csv"]


def test_what_does_not_exist_is_told_and_does_not_stop_the_rest(zone: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    placed, left = place([missing, put(tmp_path / "a.csv")], zone)
    assert placed == ["a.csv"]
    assert [(item.name, item.reason) for item in left] == [(str(missing), "does not exist")]


def test_a_name_as_long_as_the_file_system_takes_is_placed(zone: Path, tmp_path: Path) -> None:
    long = f"{'ä' * 125}a.csv"
    assert len(long.encode()) == 255
    source = put(tmp_path / long)
    assert place([source], zone) == ([long], [])
    source.write_text("other")
    placed, ignored = place([source], zone)
    assert ([(zone / name).read_text() for name in placed], ignored) == (["other"], [])
    assert placed == [f"{'ä' * 121}-{sha256_of(source)[:8]}.csv"]
    assert names(zone) == sorted([long, placed[0]])


def test_a_link_that_leads_out_of_a_folder_is_left_out(zone: Path, tmp_path: Path) -> None:
    put(tmp_path / "secret.csv")
    folder = tmp_path / "logs"
    put(folder / "a.csv")
    (folder / "b.csv").symlink_to(folder / "a.csv")
    (folder / "out.csv").symlink_to(tmp_path / "secret.csv")
    placed, left = place([folder], zone)
    assert placed == ["logs/a.csv", "logs/b.csv"]
    assert [(Path(item.name).name, item.reason) for item in left] == [("out.csv", "is a link to somewhere else")]
    assert not any(path.is_symlink() for path in zone.rglob("*"))


def test_a_link_that_somebody_names_is_followed(zone: Path, tmp_path: Path) -> None:
    (tmp_path / "latest.csv").symlink_to(put(tmp_path / "store" / "a.csv", "one"))
    assert place([tmp_path / "latest.csv"], zone)[0] == ["latest.csv"]
    assert not (zone / "latest.csv").is_symlink()
    assert (zone / "latest.csv").read_text() == "one"


def test_a_link_that_leads_nowhere_is_left_out_as_what_it_is(zone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    put(folder / "a.csv")
    (folder / "broken.csv").symlink_to("nothing.csv")
    (folder / "loop.csv").symlink_to("loop.csv")
    placed, left = place([folder], zone)
    assert placed == ["logs/a.csv"]
    assert {item.reason for item in left} == {"is a link that leads nowhere"}
    assert len(left) == 2


def test_a_pipe_is_left_out(zone: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    placed, left = place([tmp_path / "pipe.csv"], zone)
    assert placed == []
    assert [item.reason for item in left] == ["is not a regular file"]


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_of(put(tmp_path / "a.csv", "")) == empty


def test_beginnings_are_known_by_their_own_hashes() -> None:
    content = bytes(range(256)) * 9000
    found = digests_of(io.BytesIO(content), [1, 1 << 20, len(content), len(content) + 1, 0], with_crc=True)
    assert (found.size_bytes, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert found.crc32 == zlib.crc32(content)
    assert found.beginnings == {
        n: (hashlib.sha256(content[:n]).hexdigest(), zlib.crc32(content[:n])) for n in (1, 1 << 20, len(content))
    }


def test_a_gzip_file_says_what_it_holds(tmp_path: Path) -> None:
    packed, plain = tmp_path / "a.gz", put(tmp_path / "a")
    packed.write_bytes(gzip.compress(b"hello"))
    assert gzip_trailer(packed) == (5, zlib.crc32(b"hello"))
    assert gzip_trailer(plain) is None
    for more in (gzip.compress(b""), gzip.compress(b"you"), bytes(512)):
        packed.write_bytes(gzip.compress(b"hello") + more)
        assert gzip_trailer(packed) is None
    packed.write_bytes(gzip.compress(b"hello"))
    with unpacked(packed) as stream:
        assert stream.read() == b"hello"
    with unpacked(plain) as stream:
        assert stream.read() == b"a,b\n1,2\n"


@pytest.mark.parametrize(
    ("name", "sha256", "logical"),
    [
        ("x/app.log.gz", "1a2b3c4d5e", "x/app.log"),
        ("app-1a2b3c4d.log.zst", "1a2b3c4d5e", "app.log"),
        ("day-20260102.csv", "1a2b3c4d5e", "day-20260102.csv"),
        ("day-20260102.csv", None, "day.csv"),
        ("app.log.1", None, "app.log.1"),
    ],
)
def test_contents_of_one_log_come_under_one_name(name: str, sha256: str | None, logical: str) -> None:
    assert logical_name(name, sha256) == logical


def test_a_file_that_the_file_system_does_not_read_is_left_out_by_name(
    zone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = put(tmp_path / "in" / "good.csv"), put(tmp_path / "in" / "bad.csv")
    opened = Path.open

    def broken(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", broken)
    placed, left_out = place([tmp_path / "in"], zone)
    assert placed == ["in/good.csv"]
    assert left_out == [Ignored(bad.as_posix(), "cannot be read: Input/output error")]
    assert (zone / "in" / "good.csv").read_bytes() == good.read_bytes()
