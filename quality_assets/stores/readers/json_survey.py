"""A look at some lines of a JSON lines file: which keys they have, under which spellings, twice, or no longer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from quality_assets.contracts.sources.paths import found, is_nested, steps_of, texts_on
from quality_assets.stores.readers.records import MAX_LINE_BYTES

SURVEYED_BYTES = 1 << 20
PIECES = 16
HEAD_LINES = 1000
# A key that was in nearly every line and then in none of so many has vanished; in all lines, fewer are enough.
DENSE_SHARE, GONE_LINES, GONE_LINES_IF_ALWAYS = 0.9, 20, 3


class JsonObject(dict[str, Any]):
    """A JSON object that knows its keys as they were written, in order and with those that come twice."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.written = [key for key, _ in pairs]


@dataclass(frozen=True)
class Survey:
    """Some lines of a file, in order: all of a small one, else its first and pieces from everywhere in it."""

    lines: Sequence[bytes]

    @cached_property
    def objects(self) -> list[JsonObject]:
        """The objects of the first lines."""
        return list(_decoded(self.lines[:HEAD_LINES]))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys of the first objects, in order of appearance."""
        return tuple(dict.fromkeys(key for item in self.objects for key in item.written))

    def leads_somewhere(self, path: str) -> bool:
        """Whether a path is found in one of the first objects."""
        return any(found(item, steps_of(path)) is not None for item in self.objects)

    def texts_on(self, path: str) -> tuple[int, ...]:
        """Behind how many steps a path goes on within a text that is JSON, in the first object where it does."""
        if not is_nested(path):
            return ()
        return next((texts for item in self.objects if (texts := texts_on(item, steps_of(path)))), ())

    @cached_property
    def _content(self) -> bytes:
        return b"\n".join(self.lines)

    @cached_property
    def _folded(self) -> bytes:
        return self._content.lower()

    def spellings(self, names: Sequence[str]) -> tuple[str, ...]:
        """Keys of any line that differ from a name in case or outer blanks alone."""
        tokens = [(_token(name), _token(name).lower()) for name in names]
        # Lines are looked at only where the whole says that there is something to be seen.
        tokens = [(token, low) for token, low in tokens if self._folded.count(low) > self._content.count(token)]
        odd = [line for line in self.lines if any(low in line.lower() and token not in line for token, low in tokens)]
        keys = {key for item in _decoded(odd[:HEAD_LINES] if tokens else ()) for key in item}
        keys.update(self.keys)
        folded = {name.strip().casefold() for name in names}
        return tuple(sorted(key for key in keys if key.strip().casefold() in folded and key not in names))

    def repeated(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names that are twice in one object, in any case."""
        tokens = [token for name in names if self._folded.count(token := _token(name).lower()) > len(self.lines)]
        doubtful = [line for line in self.lines if any(line.lower().count(token) > 1 for token in tokens)]
        repeated: set[str] = set()
        for item in _decoded(doubtful[:HEAD_LINES]):
            written = [key.strip().casefold() for key in item.written]
            repeated.update(name for name in names if written.count(name.strip().casefold()) > 1)
        return tuple(sorted(repeated))

    def vanished(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names that were keys of the lines, and are none of the last ones."""
        return tuple(name for name in names if self._is_gone(_token(name)))

    def _is_gone(self, token: bytes) -> bool:
        last = self._content.rfind(token)
        if last < 0 or self._content.count(b"\n", last) < GONE_LINES_IF_ALWAYS:
            return False
        # A line that is no object has lost no key.
        has_it = [token in line for line in self.lines if line.lstrip().startswith(b"{")]
        count = sum(has_it)
        before = len(has_it) - has_it[::-1].index(True)
        after = len(has_it) - before
        return after >= (GONE_LINES_IF_ALWAYS if count == before else GONE_LINES) and count >= DENSE_SHARE * before


def surveyed(path: Path) -> Survey:
    """Look at a file of JSON lines; costs the same however large it is."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= SURVEYED_BYTES:
            content = stream.read()
        else:
            # Nobody knows how long lines are: whole ones at the head, then whole ones of each piece.
            pieces = [stream.read(SURVEYED_BYTES // 4).rpartition(b"\n")[0]]
            if not pieces[0]:
                stream.seek(0)
                pieces = [stream.readline(MAX_LINE_BYTES).removesuffix(b"\n")]
            length = SURVEYED_BYTES // PIECES
            for number in range(1, PIECES + 1):
                stream.seek((size - length) * number // PIECES)
                pieces.append(stream.read(length).partition(b"\n")[2].rpartition(b"\n")[0])
            content = b"\n".join(pieces)
    return Survey([line for line in content.split(b"\n") if line.strip() and len(line) <= MAX_LINE_BYTES])


def _token(name: str) -> bytes:
    return json.dumps(name, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _decoded(lines: Sequence[bytes]) -> Iterator[JsonObject]:
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line.decode().lstrip("\ufeff"), object_pairs_hook=JsonObject)
            if isinstance(value, JsonObject):
                yield value
