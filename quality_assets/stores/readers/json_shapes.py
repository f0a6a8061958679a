"""JSON that is not one object a line: arrays, objects over several lines, objects one behind the other.

Such a file is written anew with one object a line, in order, so that the number of a line is that of the object.
Where the source says so, an object becomes as many lines as an array in it has elements (`explode`).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.readers.records import KEPT_CHARACTERS
from quality_assets.stores.readers.text import CHUNK_BYTES, head_of

MAX_OBJECT_CHARACTERS = 64 << 20
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,\ufeff]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]', re.DOTALL)


def is_one_object_a_line(path: Path) -> bool:
    """Whether a file that begins as JSON has one object a line, as far as its first lines tell."""
    text = head_of(path).decode("utf-8-sig", "replace").lstrip("\ufeff \t\r\n")
    # As is each text of RFC 7464, which a record separator begins.
    if text.startswith(("[", "\x1e")):
        return False
    text = text.lstrip()
    first, _, others = text.partition("\n")
    try:
        _, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        end = error.pos
    except RecursionError:
        return True
    if end <= len(first):
        return not text[end : len(first)].lstrip(" \t\r,").startswith("{") and text[end : end + 1] != ","
    # It goes on over the next line, unless that is a beginning of its own.
    return others.lstrip()[:1] not in ("", '"', "}")


def as_lines(path: Path, target: Path, explode: Sequence[str]) -> None:
    """Write the objects of a file one a line; what cannot be decoded is a line that is no JSON.

    Raises FileRejected for an object beyond MAX_OBJECT_CHARACTERS.
    """
    with (
        path.open("r", encoding="utf-8-sig", errors="backslashreplace", newline="") as stream,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        for text in _texts(stream):
            for line in _exploded(text, explode) if explode else (text,):
                out.write(line.replace("\r", " ").replace("\n", " ") + "\n")


def _texts(stream: io.TextIOBase) -> Iterator[str]:
    """The top-level values of a file, those within top-level arrays included, as they are written."""
    window = _Window(stream)
    while True:
        start = window.skip_between()
        if start is None:
            return
        is_end = window.buffer[start] == "]" and window.depth > 0
        if is_end or window.buffer[start] == "[":
            window.depth += -1 if is_end else 1
            window.position += 1
        else:
            yield window.take_value()


class _Window:
    """What is in memory of a file, and where in it reading stands."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream
        self.buffer = ""
        self.position = 0
        self.depth = 0
        self._is_at_end = False

    def _more(self) -> bool:
        """Read on, twice as much as is there; whether there was more."""
        if self._is_at_end:
            return False
        self.buffer, self.position = self.buffer[self.position :], 0
        if len(self.buffer) > MAX_OBJECT_CHARACTERS:
            raise FileRejected(
                f"it holds a JSON object of more than {MAX_OBJECT_CHARACTERS >> 20} MB; write one object a line"
            )
        read = self._stream.read(max(CHUNK_BYTES, len(self.buffer)))
        self._is_at_end = not read
        self.buffer += read
        return bool(read)

    def skip_between(self) -> int | None:
        """Go to the next value; None at the end of the file."""
        while True:
            match = _BETWEEN.match(self.buffer, self.position)
            assert match is not None
            self.position = match.end()
            if self.position < len(self.buffer):
                return self.position
            if not self._more():
                return None

    def take_value(self) -> str:
        """The text of the value that begins here, which need not be JSON; go behind it."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self.buffer, self.position)
            except RecursionError:
                end = self._end_of_broken()
            except json.JSONDecodeError as error:
                is_cut = error.pos >= len(self.buffer) - 16 or error.msg.startswith("Unterminated string")
                if is_cut and self._more():
                    continue
                end = self._end_of_broken()
            if end == len(self.buffer) and self._more():
                # A number may go on.
                continue
            text = self.buffer[self.position : end]
            self.position = end
            return text

    def _end_of_broken(self) -> int:
        """Where something that is no JSON ends: with its last bracket, or before the next line that begins alike."""
        if self.buffer[self.position] != "{":
            ends = re.compile(r"[\n,\]]").search(self.buffer, self.position + 1)
            return ends.start() if ends else len(self.buffer)
        line = self.buffer.rfind("\n", 0, self.position) + 1
        before = self.buffer[line : self.position]
        indent = "" if before.strip() else before
        again = re.compile(r"\n" + re.escape(indent) + r"[\[{]").search(self.buffer, self.position)
        limit = again.start() if again else len(self.buffer)
        depth = 0
        for token in _TOKEN.finditer(self.buffer, self.position, limit):
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
        return limit


def _exploded(text: str, keys: Sequence[str]) -> Iterator[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        yield text if len(text) <= KEPT_CHARACTERS else text[:KEPT_CHARACTERS]
        return
    for row in elements(value, keys):
        yield json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def elements(value: Any, keys: Sequence[str]) -> Iterator[Any]:
    """Copies of a value, in each of which one element stands in the place of every array on the way of `keys`.

    A value without the array comes back as it is; an empty array gives nothing.
    """
    if isinstance(value, list):
        for item in value:
            # An array in the array that is asked for is an element, as the pairs that Loki answers are.
            yield from elements(item, keys) if keys else (item,)
    elif not keys or not isinstance(value, dict) or keys[0] not in value:
        yield value
    else:
        for item in elements(value[keys[0]], keys[1:]):
            yield {**value, keys[0]: item}
