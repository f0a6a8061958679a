"""From whatever arrived to plain UTF-8 text: decompressed and recoded where need be, with its line ends counted."""

from __future__ import annotations

import codecs
import gzip
import re
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from quality_assets.contracts.raw import PERHAPS
from quality_assets.domain.events.texts import BLANKS, Blanks
from quality_assets.stores.file_marks import GZIP, OLE, PARQUET, ZIP, ZSTD
from quality_assets.stores.readers.encodings import other_than_western
from quality_assets.stores.readers.faults import FileRejected

Int64Array = npt.NDArray[np.int64]

HEAD_BYTES = 1 << 16
CHUNK_BYTES = 1 << 18
# More lines with NUL bytes than this are not looked at one by one.
MAX_NUL_LINES = 1000
# Eight bytes each; more are looked for again when they are asked for.
MAX_NEWLINE_OFFSETS = 10_000_000

_MAGIC = {
    ZIP: "a zip archive or an Excel workbook; put the files that are in it into the landing zone, or its sheet as CSV",
    OLE: "an old Office document; put its sheet into the landing zone as CSV",
    b"SQLite format 3\x00": "an SQLite database",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"BZh": "a bzip2 archive; gzip and zstd are read",
    b"\xfd7zXZ": "an xz archive; gzip and zstd are read",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "an Avro file",
    b"\x7fELF": "a program",
    b"\x1f\x9d": "a file of compress (.Z); gzip and zstd are read",
    b"\x89LZO\x00": "an LZO archive; gzip and zstd are read",
    b"\x04\x22\x4d\x18": "an LZ4 archive; gzip and zstd are read",
    b"\xff\x06\x00\x00sNaPpY": "compressed by Snappy; gzip and zstd are read",
    b"PARE": "an encrypted Parquet file",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; gzip and zstd are read",
    b"Rar!\x1a\x07": "a RAR archive; gzip and zstd are read",
    b"ORC": "an ORC file",
    b"FEA1": "a Feather file",
    # What is compressed once has been taken out of it by now.
    GZIP: "compressed twice; once is read",
    **dict.fromkeys(ZSTD, "compressed twice; once is read"),
}
# So many zeros are no sign of an encoding, and no value.
_HOLE = bytes(64)
_MARKUP = re.compile(rb"\s*<(\?xml|!doctype html|html)\b", re.IGNORECASE)
_LFS = b"version https://git-lfs.github.com/spec/"
# Of what is not ASCII so much is looked at; fewer lines than this share are damaged rather than in another encoding.
_SAMPLED_BYTES = 1 << 16
_DAMAGED_SHARE = 0.05
# Where a tar archive says what it is.
_TAR_OFFSET = 257
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_WIDE_BLANKS = "".join(blank for blank in BLANKS if not blank.isascii())
# By byte: what may stand behind a value, and what may enclose one.
_ENDS_VALUE = np.isin(np.arange(256), list(b",;\t|\r\n"))
_IS_QUOTE = np.isin(np.arange(256), list(b"\"'"))
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_UTF8_SIGN = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b\x00"))


@dataclass(frozen=True)
class Text:
    """A plain text file in UTF-8, and what its bytes are like.

    `lines` counts physical lines, and `newline_offsets` has where their newlines are, in order; None for more than
    are kept. `nul_lines` are the numbers, from 1, of those with NUL bytes; None for too many. `blanks` holds for values
    between the usual delimiters and quotes.
    """

    path: Path
    encoding: str
    lines: int
    newline_offsets: Int64Array | None
    nul_lines: tuple[int, ...] | None
    has_long_line: bool
    blanks: Blanks
    has_backslash: bool
    bad_utf8: bool


@dataclass
class _Scan:
    """What one pass over the bytes of a file counts; `line_ends` are those of a return and a newline."""

    newlines: int = 0
    newline_offsets: list[Int64Array] = field(default_factory=list)
    returns: int = 0
    line_ends: int = 0
    size: int = 0
    last: bytes = b""
    nul_lines: set[int] = field(default_factory=set)
    has_long_line: bool = False
    has_other_blanks: bool = False
    ends_in_space: bool = False
    has_backslash: bool = False
    is_ascii: bool = True

    def add(self, chunk: bytes) -> None:
        """Count one chunk of CHUNK_BYTES."""
        codes = np.frombuffer(chunk, np.uint8)
        # Of all that matters here, only newlines are many.
        controls = np.flatnonzero(codes < ord(" "))
        kinds = codes[controls]
        newlines = controls[kinds == ord("\n")]
        self.has_long_line = self.has_long_line or (not len(newlines) and len(chunk) == CHUNK_BYTES)
        self.is_ascii = self.is_ascii and chunk.isascii()
        self.has_backslash = self.has_backslash or b"\\" in chunk
        before, self.last = self.last, (self.last + chunk[-2:])[-2:]
        self.line_ends += before[-1:] == b"\r" and chunk[:1] == b"\n"
        if not self.ends_in_space:
            self.ends_in_space = _ends_in_space(codes) or _ends_in_space(np.frombuffer(before + chunk[:2], np.uint8))
        if len(newlines) != len(controls):
            returns = int(np.count_nonzero(kinds == ord("\r")))
            if returns:
                self.returns += returns
                self.line_ends += chunk.count(b"\r\n")
            if len(self.nul_lines) <= MAX_NUL_LINES:
                within = np.unique(np.searchsorted(newlines, controls[kinds == 0]))
                self.nul_lines.update((self.newlines + 1 + within).tolist())
            self.has_other_blanks = self.has_other_blanks or bool((kinds == ord("\t")).any())
        self.newlines += len(newlines)
        if self.newlines <= MAX_NEWLINE_OFFSETS:
            self.newline_offsets.append(newlines + self.size)
        self.size += len(chunk)

    @property
    def ends_in_returns(self) -> bool:
        """Whether more lines end in a return alone than in a newline."""
        return self.returns - self.line_ends > self.newlines

    @property
    def blanks(self) -> Blanks:
        """What may surround values."""
        if self.has_other_blanks or self.returns != self.line_ends:
            return "any"
        ends_in_space = self.ends_in_space or _ends_in_space(np.frombuffer(self.last + b"\n\n", np.uint8))
        return "spaces" if ends_in_space else "leading"


def _ends_in_space(codes: npt.NDArray[np.uint8]) -> bool:
    """Whether a value ends in a space somewhere before the last two bytes."""
    spaces = np.flatnonzero(codes[:-2] == ord(" "))
    after = codes[spaces + 1]
    return bool(_ENDS_VALUE[np.where(_IS_QUOTE[after], codes[spaces + 2], after)].any())


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The bytes of a stream in chunks of CHUNK_BYTES."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def opened(path: Path, scratch: Path) -> tuple[Path, str | None]:
    """The file itself, or decompressed in the scratch folder, and its compression."""
    try:
        if path.is_dir():
            raise FileRejected("it is a folder, not a file")
        head = head_of(path)
        if not head:
            raise FileRejected("the file is empty")
        if head.startswith(GZIP):
            return _decompressed(gzip.open(path, "rb"), scratch), "gzip"
        if head.startswith(ZSTD):
            return _decompressed(pa.input_stream(str(path), compression="zstd"), scratch), "zstd"
    except FileNotFoundError:
        raise FileRejected("the file is no longer there") from None
    return path, None


def _decompressed(stream: Any, scratch: Path) -> Path:
    target = scratch / "decompressed"
    try:
        with stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, CHUNK_BYTES)
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if "too much memory" in str(error):
            raise FileRejected(
                "it is compressed with a window of more than 128 MB (zstd --long=28 and above);"
                " compress it again with --long=27 or without"
            ) from None
        raise FileRejected(f"the compressed file is truncated or damaged: {error}") from None
    if not head_of(target):
        raise FileRejected("the file is empty once decompressed")
    return target


def head_of(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def is_plain_text(head: bytes) -> bool:
    """Whether the first bytes of a file may be those of plain text, neither compressed nor in a wide encoding."""
    packed = (PARQUET, *_MAGIC)
    return bool(head) and not head.startswith(packed) and _wide_encoding(head) in (None, "utf-8-sig")


def as_text(
    path: Path,
    head: bytes,
    scratch: Path,
    declared: str | None,
    delimiter: str | None = None,
    *,
    is_guess: bool = False,
) -> Text:
    """The file as UTF-8 text, recoded in the scratch folder where it is in another encoding.

    What cannot be read in a declared encoding rejects the file; `is_guess` says that it is but a sign that was lost.
    A delimiter that its source declares may be a control character, as Hive's is.
    """
    if head.startswith(_HOLE):
        path = _behind_hole(path, scratch / "behind-hole")
        head = head_of(path)
    encoding = _wide_encoding(head) or declared
    if encoding is None:
        refuse_binary(head.replace(delimiter.encode(), b",") if delimiter else head, has_source=not is_guess)
    elif encoding not in ("utf-8", "utf-8-sig"):
        path = _recoded(path, scratch / "recoded", encoding, "replace" if is_guess else "strict")
    scan, bad, other = _scanned(path)
    if bad and encoding is None and not other and (found := _single_byte_encoding(path, scan.newlines)):
        encoding, perhaps = found
        recoded = _recoded if scan.has_long_line else _recoded_by_line
        path = recoded(path, scratch / "recoded", encoding)
        encoding += f"{PERHAPS}{perhaps}" if perhaps else ""
        scan, bad, other = _scanned(path)
    if scan.ends_in_returns and _begins_with_return(path):
        path = _with_newlines(path, scratch / "newlines")
        scan, bad, other = _scanned(path)
    content = head_of(path).removeprefix(codecs.BOM_UTF8)
    if not content.strip() and scan.newlines + len(content) < HEAD_BYTES:
        raise FileRejected("the file is empty")
    if (what := _stands_for(content)) is not None:
        raise FileRejected(f"it is {what}, not a table")
    return Text(
        path=without_wildcards(path, scratch),
        encoding=encoding or "utf-8",
        lines=scan.newlines + (scan.last[-1:] != b"\n"),
        newline_offsets=np.concatenate(scan.newline_offsets) if scan.newlines <= MAX_NEWLINE_OFFSETS else None,
        nul_lines=None if len(scan.nul_lines) > MAX_NUL_LINES else tuple(sorted(scan.nul_lines)),
        has_long_line=scan.has_long_line,
        blanks=scan.blanks,
        has_backslash=scan.has_backslash,
        bad_utf8=bad,
    )


def _behind_hole(path: Path, target: Path) -> Path:
    """What stands behind the zeros at the beginning of a file; the file itself where there is nothing else.

    A program that goes on writing where it was leaves them in a log that `copytruncate` has cut to nothing meanwhile.
    """
    with path.open("rb") as stream:
        begun = next((rest for chunk in chunks(stream) if (rest := chunk.lstrip(b"\0"))), b"")
        if not begun:
            return path
        with target.open("wb") as out:
            out.write(begun)
            shutil.copyfileobj(stream, out, CHUNK_BYTES)
    return target


def _wide_encoding(head: bytes) -> str | None:
    """An encoding that shows in the first bytes: by its mark, or UTF-16 by where its zero bytes are."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    even, odd = head[0::2], head[1::2]
    if len(head) >= 8 and odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.1 * len(even):
        return "utf-16-le"
    if len(head) >= 8 and even.count(0) > 0.4 * len(even) and odd.count(0) < 0.1 * len(odd):
        return "utf-16-be"
    return None


def refuse_binary(head: bytes, *, has_source: bool = False) -> None:
    """Raise FileRejected where the first bytes of a file are those of no text; a source's YAML could say otherwise."""
    if head[_TAR_OFFSET:].startswith(b"ustar"):
        raise FileRejected("the file is a tar archive; put the files that are in it into the landing zone")
    for magic, what in _MAGIC.items():
        # A header may begin with these letters: ORCID, PARENT.
        if head.startswith(magic) and (magic not in (b"ORC", b"PARE") or _NO_TEXT.search(head)):
            what, _, read = what.partition("; ")
            raise FileRejected(f"the file is {what}, not CSV, JSON lines or Parquet{read and f'; {read}'}")
    # A machine that lost its power leaves zeros where its last lines were to be: they are of a line that is refused.
    head = re.sub(_HOLE + b"+", b"", head).rstrip(b"\0") or head
    control = len(head) - len(head.translate(None, _CONTROL))
    if control > 0.05 * len(head) or head.count(0) > 0.2 * len(head):
        hint = (
            ". If it is text, its source's YAML says how it is written: `csv: {encoding: utf-16-le}`, or a `delimiter`"
            " that is a control character"
        )
        raise FileRejected(f"the file is binary data, not CSV, JSON lines or Parquet{hint if has_source else ''}")


def _stands_for(head: bytes) -> str | None:
    """What came instead of the data that was asked for, as the first bytes of a text show."""
    if head.startswith(_LFS):
        return "a pointer of Git LFS (`git lfs pull` fetches what it stands for)"
    if (markup := _MARKUP.match(head)) is None:
        return None
    return "XML" if markup[1].lower() == b"?xml" else "an HTML page, perhaps what a sign-in or an error has answered"


def _scanned(path: Path) -> tuple[_Scan, bool, bool]:
    """Counts, whether there is a byte that is not UTF-8, and whether the file is UTF-8 all the same.

    The last is so where well-formed characters outnumber the broken ones: one damaged line does not make Latin-1.
    """
    scan = _Scan()
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_valid = True
    with path.open("rb") as stream:
        for chunk in chunks(stream):
            scan.add(chunk)
            if is_valid and not scan.is_ascii:
                try:
                    text = decoder.decode(chunk)
                except UnicodeDecodeError:
                    is_valid = False
                else:
                    scan.has_other_blanks = scan.has_other_blanks or any(blank in text for blank in _WIDE_BLANKS)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        is_valid = False
    if is_valid:
        return scan, False, True
    scan.has_other_blanks = True
    return scan, True, _is_mostly_utf8(path)


def _is_mostly_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    good = broken = 0
    with path.open("rb") as stream:
        for chunk in chunks(stream):
            text = decoder.decode(chunk)
            replaced = max(text.count("\ufffd") - chunk.count(b"\xef\xbf\xbd"), 0)
            broken += replaced
            good += len(text) - replaced - len(text.encode("ascii", "ignore"))
    return good > broken


def _single_byte_encoding(path: Path, lines: int) -> tuple[str, str | None] | None:
    """Windows-1252, or Latin-1 where the file has one of the five bytes that the former leaves undefined.

    Beside it what the file may be in as well. None where a few lines are rather damaged. Raises FileRejected for what
    is surely neither: a wrong guess would make up names that nobody has given.
    """
    sample = bytearray()
    count = 0
    undefined = False
    with path.open("rb") as stream:
        for chunk in chunks(stream):
            odd = [line for line in chunk.split(b"\n") if not line.isascii()] if not chunk.isascii() else []
            if _UTF8_SIGN.search(chunk):
                odd = [line for line in odd if not _is_utf8(line)]
            count += len(odd)
            found = b"\n".join(odd)
            undefined = undefined or len(found) != len(found.translate(None, b"\x81\x8d\x8f\x90\x9d"))
            sample += found[: max(_SAMPLED_BYTES - len(sample), 0)]
    western = "latin-1" if undefined else "cp1252"
    guess = other_than_western(bytes(sample))
    if guess is None:
        return western, None
    if not guess.is_sure:
        return western, guess.encoding
    # Words of another encoding have several such bytes a line; damage is here and there, and is no word.
    is_scattered = sum(byte > 127 for byte in sample) < 2 * count and 2 * count <= lines
    if not guess.is_text and (is_scattered or count <= _DAMAGED_SHARE * lines):
        return None
    raise FileRejected(
        f"its letters are neither UTF-8 nor Windows-1252; they look most like {guess.encoding}. Save it as UTF-8, or"
        f" name its encoding in its source's YAML: `csv: {{encoding: {guess.encoding}}}`, or whichever it is"
    )


def _recoded(path: Path, target: Path, encoding: str, errors: str = "strict") -> Path:
    try:
        with (
            path.open("r", encoding=encoding, errors=errors, newline="") as stream,
            target.open("w", encoding="utf-8", newline="") as out,
        ):
            while text := stream.read(CHUNK_BYTES):
                out.write(text)
    except UnicodeError as error:
        raise FileRejected(f"the file is not in the encoding {encoding}: {getattr(error, 'reason', error)}") from None
    return target


def _recoded_by_line(path: Path, target: Path, encoding: str) -> Path:
    """A file in an encoding of one byte a letter, whose lines may be UTF-8: logs of two machines that were joined.

    What is letters of Western Europe in one byte each is no UTF-8.
    """
    with path.open("rb") as stream, target.open("wb") as out:
        while lines := stream.readlines(CHUNK_BYTES):
            block = b"".join(lines)
            parts = lines if _UTF8_SIGN.search(block) else [block]
            out.writelines(part if _is_utf8(part) else part.decode(encoding).encode() for part in parts)
    return target


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _begins_with_return(path: Path) -> bool:
    """Whether the first line ends in a return alone, whatever stands within the cells behind it."""
    head = head_of(path)
    first = re.search(rb"[\r\n]+", head)
    return first is None or first[0][:1] == b"\r"


def _with_newlines(path: Path, target: Path) -> Path:
    """A file whose lines end in a carriage return alone, as Excel writes them for Macs; newlines within cells stay."""
    with path.open("rb") as stream, target.open("wb") as out:
        for chunk in chunks(stream):
            out.write(chunk.replace(b"\r", b"\n"))
    return target


def without_wildcards(path: Path, scratch: Path) -> Path:
    """A name for the file that DuckDB can be told, and does not take for a pattern."""
    if not re.search(r"[*?\[\]{}\ud800-\udfff]", str(path)):
        return path
    link = scratch / "file"
    link.symlink_to(path.absolute())
    return link
